"""Work in slices never holds up the sockets: between two slices the hub polls and serves."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gevent, socket
from time import monotonic_ns
from harness.load.recorder import SLICE_NS, Breather
from harness.load.polls import Polls

polls, served = Polls(), 0
left, right = socket.socketpair()
right.send(b"x")  # never read: readable at each poll

def on_readable():
    global served
    served += 1

watcher = gevent.get_hub().loop.io(left.fileno(), 1)
watcher.start(on_readable)
unserved = []

def work():
    breathe = Breather(polls)
    for _ in range(40):
        before = served
        until_ns = monotonic_ns() + SLICE_NS + 1000
        while monotonic_ns() < until_ns:
            pass
        breathe()
        unserved.append(served == before)

gevent.joinall([gevent.spawn(work) for _ in range(3)])
print(len(unserved), sum(unserved))
"""


def test_every_slice_is_followed_by_a_poll() -> None:
    """Three greenlets of forty full slices each; gevent.sleep(0) fails this for nearly all."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["120", "0"]


ALONE = """
import gevent
from harness.load.polls import Polls

polls = Polls()
gevent.spawn(polls.rest).join()
print("rested")
"""


def test_a_rest_waits_for_no_event() -> None:
    """With no socket and no timer to come: a rest that waited for one would never end."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "rested\n", done.stderr


PREPARING = """
from harness.load import worker
from harness.load.polls import Polls

told = []
worker.PREPARING_NS = -1
prepare = worker.Preparation(Polls(), lambda name, data: told.append((name, data)), 3)
prepare()
worker.PREPARING_NS = 10**18
prepare()
worker.PREPARING_NS = -1
prepare()
assert told == [("preparing", {"shard": 3, "count": n}) for n in (1, 3)], told
print("told")
"""


def test_a_worker_tells_how_many_requests_it_has_made() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREPARING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "told\n", done.stderr

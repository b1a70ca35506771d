"""A flush ends, however many requests end while it is at work."""

from __future__ import annotations

import subprocess
import sys

# in a process of its own: gevent's hub, and no test is to run under it
PROGRAM = """
from typing import Any
import gevent
from harness.load.counters import Counters
from harness.load.recorder import MOST_ROWS, Recorder

told = []

class BusyPolls:
    '''Rows keep coming whenever the hub is served.'''
    def rest(self) -> None:
        recorder._rows.append(row())
        assert len(told) < 20, "the flush does not end"
        gevent.sleep(0)

def row() -> dict[str, Any]:
    return {"run_id": "r", "point": 0, "chunk_ns": []}

def tell(kind, data):
    told.append((data["seq"], data["rows"]))

recorder = Recorder(None, Counters(), tell, lambda row: None, lambda x: "", BusyPolls())
recorder._rows.extend(row() for _ in range(2 * MOST_ROWS + 1))
before = len(recorder._rows)
recorder.flush()
assert [n for _, n in told] == [MOST_ROWS, MOST_ROWS, 1], told
assert recorder._rows, "what came meanwhile waits"

# two at a time: neither loses nor repeats a row
left = len(recorder._rows)
BusyPolls.rest = lambda self: gevent.sleep(0)
told.clear()
gevent.joinall([gevent.spawn(recorder.flush) for _ in range(2)])
assert sum(n for _, n in told) == left and not recorder._rows
print("ended")
"""


def test_a_flush_sends_what_is_there_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ended\n"

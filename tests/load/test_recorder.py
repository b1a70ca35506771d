"""A flush ends, however many requests end while it is at work; a backlog of answers goes first."""

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


HURRIED = """
import gevent
from time import monotonic_ns
from harness.load.bodies import ClassPlan
from harness.load.clock import Axis
from harness.load.counters import Counters
from harness.load.dialects import DIALECTS
from harness.load.exchange import Arrival, Exchange
from harness.load.record import RecordContext
from harness.load.recorder import HURRIED_SLICE_NS, MOST_WAITING_BYTES, SLICE_NS, Recorder

slices = []

class Polls:
    def rest(self) -> None:
        slices.append(recorder._breathe.slice_ns)
        gevent.sleep(0)

context = RecordContext("run", 0, "it", 0, Axis())
recorder = Recorder(context, Counters(), None, lambda row: None, lambda x: "", Polls())
plan = ClassPlan("chat", DIALECTS["chat"], "m", b"", ())
event = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\\n\\n' % (b"w" * 4_000)
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n"
answer = head + 256 * event  # a mebibyte

def put(count):
    for ordinal in range(count):
        exchange = Exchange(None, Arrival(0, 1, ordinal, 1, "measured"), plan, None, "id")
        exchange.reader.feed(answer)
        exchange.reader.eof()
        at, size = monotonic_ns(), len(exchange.reader.body)
        exchange.receives.extend((0, at, at, size))
        recorder.put(exchange)

put(1)
assert recorder._breathe.slice_ns == SLICE_NS
put(MOST_WAITING_BYTES // len(answer) + 8)
assert recorder._breathe.slice_ns == HURRIED_SLICE_NS
while recorder._queue or recorder._is_busy:
    gevent.sleep(0.01)
assert recorder._waiting_bytes == 0 and recorder._in_hand == 0
assert slices[0] == HURRIED_SLICE_NS and slices[-1] == SLICE_NS, "in no hurry once half is gone"
assert recorder._counters.finished == MOST_WAITING_BYTES // len(answer) + 9
print("ended")
"""


def test_where_answers_end_faster_than_they_are_parsed_parsing_goes_first() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HURRIED], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ended\n"

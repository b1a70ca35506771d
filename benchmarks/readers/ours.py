"""The harness's own wire: hub callbacks, HTTP framing, kernel stamps mapped onto the clock.

The hot path only, as for the others: bytes are kept, and parsed after the run by other code.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import gevent
import locust  # noqa: F401  (the load process runs under its patches, so do we)
import numpy as np
from gevent.event import Event

from benchmarks.readers.job import Job, Stream
from harness.load.clock import Axis
from harness.load.faults import WireFault
from harness.load.opening import open_connection
from harness.load.polls import Polls
from harness.load.wire import NUM_STAMPS, Connection, hold_kernel_stamps


class Ending:
    """Told once when the answer is over."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def on_answer_end(self, fault: WireFault | None) -> None:
        if fault is not None:
            raise fault
        self._note()


def read(job: Job) -> list[Stream]:
    holder, polls, axis, over = hold_kernel_stamps(), Polls(), Axis(), Event()
    address = [(socket.AF_INET, (job.host, job.port))]
    connections = [
        open_connection(address, job.host, False, 10.0, polls) for _ in range(job.num_streams)
    ]
    num_left = len(connections)

    def end_one() -> None:
        nonlocal num_left
        num_left -= 1
        if not num_left:
            over.set()

    job.start()
    for connection in connections:
        connection.watch()
        connection.begin(Ending(end_one))
        connection.send_rest(connection.send(job.request), 10.0)
        gevent.sleep(0)
    over.wait()
    job.stop()
    holder.close()
    return [_stream(connection, axis) for connection in connections]


def _stream(connection: Connection, axis: Axis) -> Stream:
    rows = np.array(connection.receives, dtype=np.int64).reshape(-1, NUM_STAMPS)
    stamps, _ = axis.map(rows[:, 0], rows[:, 1])
    return Stream(bytearray(connection.reader.body), rows[:, 3].tolist(), stamps.tolist())

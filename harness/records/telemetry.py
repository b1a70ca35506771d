"""What the target says of itself while a point runs: each second, into the point's spool.

A thread of the process that shows progress, never of a load process, so it cannot move a stamp. It
never raises: a source that fails for good, or three times before it ever answered, is left alone;
its reason is kept. One reading comes before the load and one after it, so that counters can be
compared over the whole point. Which source to ask is the caller's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, monotonic_ns
from typing import Protocol

import pyarrow as pa

from harness.errors import HarnessError

from .exposition import Sample
from .metrics_page import PageFault
from .schema import SERVER_SCHEMA
from .spool import ServerSpool

MAX_FIRST_FAULTS = 3
STOP_S = 5.0


class Source(Protocol):
    """Something with numbers, such as a MetricsPage or a GpuReader."""

    @property
    def url(self) -> str: ...
    def read(self) -> list[Sample]: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Readings:
    """How a source did. why: of its last failure, empty where it never failed."""

    url: str
    num_read: int = 0
    num_failed: int = 0
    why: str = ""
    is_given_up: bool = False


class Telemetry:
    """Reads the sources every interval_s from start() to stop()."""

    def __init__(
        self,
        spool: ServerSpool,
        sources: Sequence[Source],
        interval_s: float = 1.0,
        clock_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._spool, self._interval_s, self._clock_ns = spool, interval_s, clock_ns
        self._sources = [(source, Readings(_shown(source.url))) for source in sources]
        self._end = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    @property
    def readings(self) -> tuple[Readings, ...]:
        return tuple(readings for _, readings in self._sources)

    def start(self, first_s: float = STOP_S) -> None:
        """Begin; returns once every source was asked a first time, or after first_s."""
        self._thread.start()
        self._first.wait(first_s)

    def stop(self, wait_s: float = STOP_S) -> tuple[Readings, ...]:
        """Read a last time and end. A source that hangs is not waited for longer than wait_s."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        return self.readings

    def _run(self) -> None:
        begin_s, num_round = monotonic(), 0
        try:
            while self._round():
                self._first.set()
                num_round = max(num_round + 1, int((monotonic() - begin_s) / self._interval_s))
                if self._end.wait(max(0.0, begin_s + num_round * self._interval_s - monotonic())):
                    self._round()
                    return
        finally:
            self._first.set()
            for source, _ in self._sources:
                source.close()
            self._spool.close()

    def _round(self) -> bool:
        """Ask every source that is left; False when none is."""
        for source, readings in self._sources:
            if readings.is_given_up:
                continue
            before_ns = self._clock_ns()
            try:
                samples = source.read()
            except PageFault as fault:
                self._note(readings, fault.why, is_final=fault.is_final)
                continue
            except Exception as error:  # a driver that goes away must not end a measurement
                self._note(readings, f"{type(error).__name__}: {error}", is_final=True)
                continue
            # a value is of some instant between question and answer
            at_ns = (before_ns + self._clock_ns()) // 2
            try:
                self._spool.append(to_batch(at_ns, samples))
            except (HarnessError, OSError) as error:
                self._note(readings, str(getattr(error, "what", error)), is_final=True)
                continue
            readings.num_read += 1
        return any(not readings.is_given_up for _, readings in self._sources)

    @staticmethod
    def _note(readings: Readings, why: str, *, is_final: bool) -> None:
        readings.num_failed += 1
        readings.why = why
        is_hopeless = not readings.num_read and readings.num_failed >= MAX_FIRST_FAULTS
        readings.is_given_up = is_final or is_hopeless


def to_batch(t_ns: int, samples: Sequence[Sample]) -> pa.RecordBatch:
    """Rows of one reading in SERVER_SCHEMA."""
    columns = [
        pa.array([t_ns] * len(samples), pa.int64()),
        pa.array([s.name for s in samples], pa.string()),
        pa.array([s.labels for s in samples], pa.string()),
        pa.array([s.value for s in samples], pa.float64()),
        pa.array([s.kind for s in samples], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SERVER_SCHEMA)


def _shown(url: str) -> str:
    from .provenance import redact

    return redact(url)

"""Arrivals come whether or not earlier ones were answered.

Late arrivals fire at once, for at most 0.3 ms a hub turn so that stamps are taken in between; none
is dropped. Ramps and traces are only other arrays of times.
"""

from __future__ import annotations

from time import monotonic_ns

import numpy as np

from harness.load.alarm import Alarm
from harness.load.drivers.base import Release
from harness.load.exchange import Arrival
from harness.traffic import StageSchedule

TURN_NS = 300_000  # a few sends: receives must not wait for a burst
EARLY_NS = 20_000  # ring that much early rather than late; the send itself takes longer


class OpenDriver:
    """Rows i with i mod W == worker of one open stage; the ordinal of a row is the row."""

    def __init__(
        self, stage: StageSchedule, worker: int, num_workers: int, release: Release
    ) -> None:
        self._stage, self._release = stage, release
        self._rows = range(worker, len(stage), num_workers)
        self._times = stage.intended_ns[worker::num_workers]
        self._next, self._start_ns = 0, 0
        self._alarm = Alarm(self._on_alarm)
        self._measured_ns = (stage.warmup_ns, stage.warmup_ns + stage.window_ns)
        bounds = np.searchsorted(self._times, self._measured_ns)
        self._num_to_measure = int(bounds[1] - bounds[0])
        self.num_due = self.num_measured = self.window_end_ns = 0

    def start(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self.window_end_ns = start_ns + self._measured_ns[1]
        self._set_alarm()

    def on_end(self, arrival: Arrival, *, is_broken: bool) -> None:
        return

    def is_window_over(self, now_ns: int) -> bool:
        return now_ns >= self.window_end_ns and self.num_measured >= self._num_to_measure

    def stop(self) -> None:
        self._next = len(self._rows)
        self._alarm.close()

    def _set_alarm(self) -> None:
        if self._next < len(self._rows):
            self._alarm.set(self._start_ns + int(self._times[self._next]) - EARLY_NS)

    def _on_alarm(self) -> None:
        begin_ns = monotonic_ns()
        due_ns = begin_ns + EARLY_NS - self._start_ns
        last = len(self._rows)
        while self._next < last and (offset_ns := int(self._times[self._next])) <= due_ns:
            row = self._rows[self._next]
            self._next += 1
            self.num_due += 1
            phase = self._phase(offset_ns)
            self.num_measured += phase == "measured"
            self._release(Arrival(self._stage.index, row, row, self._start_ns + offset_ns, phase))
            if monotonic_ns() - begin_ns > TURN_NS:
                break
        self._set_alarm()

    def _phase(self, offset_ns: int) -> str:
        begin_ns, end_ns = self._measured_ns
        if offset_ns < begin_ns:
            return "warmup"
        return "measured" if offset_ns < end_ns else "cooldown"

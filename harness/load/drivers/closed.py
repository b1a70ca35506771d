"""A fixed number of users, each waiting for its answer, then thinking. No evidence for a rate.

Slot s belongs to worker s mod W; its t-th request is row (s + C t) mod n with ordinal s + C t.
Intended time: slot free + think time. A slot whose request never reached the endpoint pauses for
100 ms, so that a dead endpoint is not met by a busy loop.
"""

from __future__ import annotations

import heapq
from time import monotonic_ns

from harness.load.alarm import Alarm
from harness.load.drivers.base import Release
from harness.load.drivers.open import EARLY_NS, TURN_NS
from harness.load.exchange import Arrival
from harness.traffic import StageSchedule

BROKEN_PAUSE_NS = 100_000_000


class ClosedDriver:
    """The slots of one closed stage that belong to this worker."""

    def __init__(
        self, stage: StageSchedule, worker: int, num_workers: int, release: Release
    ) -> None:
        self._stage, self._release = stage, release
        self._slots = range(worker, stage.concurrency, num_workers)
        self._turn = dict.fromkeys(self._slots, 0)
        self._due: list[tuple[int, int]] = []  # (intended, slot)
        self._alarm = Alarm(self._on_alarm)
        self._begin_ns, self._is_stopped = 0, False
        # a window by count is shared out: quotas of the workers add up to it
        self._quota = stage.num_measured // num_workers + (
            worker < stage.num_measured % num_workers
        )
        self._is_counted = stage.num_measured > 0 and stage.window_ns == 0
        self.num_due = self.num_measured = self.window_end_ns = 0

    def start(self, start_ns: int) -> None:
        self._begin_ns = start_ns + self._stage.warmup_ns
        if not self._is_counted:
            self.window_end_ns = self._begin_ns + self._stage.window_ns
        for slot in self._slots:
            think_ns = int(self._stage.think_ns[self._row(slot)])
            self._push(start_ns + int(self._stage.slot_start_ns[slot]) + think_ns, slot)
        self._set_alarm()

    def on_end(self, arrival: Arrival, *, is_broken: bool) -> None:
        """The slot is free: think, then go on."""
        if self._is_stopped:
            return
        think_ns = int(self._stage.think_ns[self._row(arrival.slot)])
        if is_broken:
            think_ns = max(think_ns, BROKEN_PAUSE_NS)
        self._push(monotonic_ns() + think_ns, arrival.slot)
        if think_ns:
            self._set_alarm()
        else:
            self._on_alarm()

    def is_window_over(self, now_ns: int) -> bool:
        if self._is_counted:
            return self.num_measured >= self._quota
        return now_ns >= self.window_end_ns

    def stop(self) -> None:
        self._is_stopped = True
        self._due.clear()
        self._alarm.close()

    def _row(self, slot: int) -> int:
        return self._ordinal(slot) % len(self._stage)

    def _ordinal(self, slot: int) -> int:
        return slot + self._stage.concurrency * self._turn[slot]

    def _push(self, at_ns: int, slot: int) -> None:
        heapq.heappush(self._due, (at_ns, slot))

    def _set_alarm(self) -> None:
        if self._due:
            self._alarm.set(self._due[0][0] - EARLY_NS)

    def _on_alarm(self) -> None:
        begin_ns = monotonic_ns()
        while self._due and self._due[0][0] <= begin_ns + EARLY_NS:
            intended_ns, slot = heapq.heappop(self._due)
            row, ordinal = self._row(slot), self._ordinal(slot)
            self._turn[slot] += 1
            self.num_due += 1
            phase = self._phase(intended_ns)
            self.num_measured += phase == "measured"
            if self._is_counted and phase == "measured" and self.num_measured >= self._quota:
                self.window_end_ns = intended_ns + 1
            self._release(Arrival(self._stage.index, row, ordinal, intended_ns, phase, slot))
            if monotonic_ns() - begin_ns > TURN_NS:
                break
        self._set_alarm()

    def _phase(self, intended_ns: int) -> str:
        if intended_ns < self._begin_ns:
            return "warmup"
        if self._is_counted:
            return "measured" if self.num_measured < self._quota else "cooldown"
        return "measured" if intended_ns < self.window_end_ns else "cooldown"

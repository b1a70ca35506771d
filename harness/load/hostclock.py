"""A worker's monotonic clock against the master's: offset, its uncertainty, and how both drift.

The NTP formula on the exchange with the least round trip of 32 (RFC 5905, section 8): the true
offset lies within half of that round trip. Taken at the start and at the end of a point; linear in
between. Durations need none of this, since all stamps of a request are of one host.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

NUM_EXCHANGES = 32
MAX_UNCERTAINTY_NS = 10_000_000
MAX_STEP_NS = 1_000_000
MAX_SLEW = 500e-6  # what an operating system pulls a clock by at most; more is a step


class Exchange(NamedTuple):
    """Four stamps of one ping-pong, ns: sent and received here are the master's clock, there the
    worker's."""

    sent_here_ns: int
    received_there_ns: int
    sent_there_ns: int
    received_here_ns: int

    @property
    def rtt_ns(self) -> int:
        return (self.received_here_ns - self.sent_here_ns) - (
            self.sent_there_ns - self.received_there_ns
        )

    @property
    def offset_ns(self) -> int:
        """Worker minus master."""
        there = self.received_there_ns + self.sent_there_ns
        return (there - self.sent_here_ns - self.received_here_ns) // 2


@dataclass(frozen=True, slots=True)
class Reading:
    """offset_ns: worker minus master, true within uncertainty_ns.  at_ns: on the master's axis."""

    offset_ns: int
    uncertainty_ns: int
    at_ns: int

    @classmethod
    def best_of(cls, exchanges: Iterable[Exchange]) -> Reading:
        """By the exchange with the least round trip; there must be one."""
        best = min(exchanges, key=lambda exchange: exchange.rtt_ns)
        middle_ns = (best.sent_here_ns + best.received_here_ns) // 2
        return cls(best.offset_ns, -(-max(0, best.rtt_ns) // 2), middle_ns)


class HostClock:
    """One worker's clock during one point. is_shared: it is the master's own, read by both."""

    def __init__(self, start: Reading, *, is_same_boot: bool = False) -> None:
        self.is_shared = is_same_boot and abs(start.offset_ns) <= start.uncertainty_ns
        self.start = Reading(0, 0, start.at_ns) if self.is_shared else start
        self.end: Reading | None = None

    def to_worker(self, ns: int) -> int:
        """A time to come, on the worker's axis; 0 stays 0."""
        return ns + self.start.offset_ns if ns else 0

    def to_master(self, ns: int) -> int:
        """A time of the worker, on the master's axis, as far as it is known now; 0 stays 0."""
        return ns - self.start.offset_ns if ns else 0

    @property
    def uncertainty_ns(self) -> int:
        return max(self.start.uncertainty_ns, self.end.uncertainty_ns if self.end else 0)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the worker's clock ran, parts a million; None without both ends."""
        if self.is_shared:
            return 0.0
        if self.end is None or self.end.at_ns <= self.start.at_ns:
            return None
        change_ns = self.end.offset_ns - self.start.offset_ns
        return 1e6 * change_ns / (self.end.at_ns - self.start.at_ns)

    @property
    def surely_drifts_ppm(self) -> float | None:
        """The part of the drift that the uncertainty of both ends does not explain, no sign."""
        if self.drift_ppm is None:
            return None
        if self.is_shared or self.end is None:
            return 0.0
        elapsed_ns = self.end.at_ns - self.start.at_ns
        unsure_ns = self.start.uncertainty_ns + self.end.uncertainty_ns
        change_ns = abs(self.end.offset_ns - self.start.offset_ns)
        return 1e6 * max(0, change_ns - unsure_ns) / elapsed_ns

    @property
    def step_ns(self) -> int:
        """By how much the offset moved where no drift can have moved it so far, else 0."""
        if self.end is None:
            return 0
        change_ns = self.end.offset_ns - self.start.offset_ns
        elapsed_ns = self.end.at_ns - self.start.at_ns
        unsure_ns = self.start.uncertainty_ns + self.end.uncertainty_ns
        allowed_ns = max(MAX_STEP_NS, MAX_SLEW * elapsed_ns) + unsure_ns
        return change_ns if abs(change_ns) > allowed_ns else 0

"""`stop.max_error_rate` and `stop.over_saturated`: end a point whose rest would tell nothing new.

Both look at the load's pulses, one a second, while the window is measured. An ended point counts:
its errors are errors, its backlog is a finding (unstable), and the run goes on with the next.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.units import format_seconds, write_share

if TYPE_CHECKING:
    from harness.load import Pulse
    from harness.scenario import Point

SURE = math.log(1000)  # of an error rate: less than one false alarm in a thousand looks
LEAST_LOOKS = 5  # pulses that a growth is told from
Z_LIMIT = 2.33  # as of the window's own steady state


@dataclass(slots=True)
class Breaker:
    """max_error_ratio, over_s: None: not asked.  rule, said: of the one that tripped."""

    max_error_ratio: float | None = None
    over_s: float | None = None
    rule: str = ""
    said: str = ""
    _seen: deque[tuple[float, int, int]] = field(default_factory=deque, init=False)
    _stage: str = field(default="", init=False)

    @classmethod
    def of(cls, point: Point) -> Breaker | None:
        """None where the scenario has none."""
        stop = point.document.stop
        if stop is None or (stop.max_error_rate is None and stop.over_saturated is None):
            return None
        return cls(stop.max_error_rate, stop.over_saturated)

    def see(self, pulse: Pulse) -> bool:
        """Whether the point is to end; once it is, that stays."""
        if not self.rule and pulse.phase in ("warmup", "measured"):
            self._look_at_errors(pulse)
        if not self.rule and pulse.phase == "measured":
            self._look_at_backlog(pulse)
        return bool(self.rule)

    def _look_at_errors(self, pulse: Pulse) -> None:
        ended = pulse.ok + pulse.failed
        limit = self.max_error_ratio
        if limit is not None and is_surely_above(pulse.failed, ended, limit):
            self.rule = "max_error_rate"
            self.said = (
                f"stop.max_error_rate: {pulse.failed:,} of {ended:,} answers were errors, limit"
                f" {write_share(limit)}"
            )

    def _look_at_backlog(self, pulse: Pulse) -> None:
        if self.over_s is None:
            return
        if pulse.stage != self._stage:
            self._stage = pulse.stage
            self._seen.clear()
        self._seen.append((pulse.elapsed_s, pulse.in_flight, pulse.sent))
        while len(self._seen) > 1 and pulse.elapsed_s - self._seen[1][0] >= self.over_s:
            self._seen.popleft()
        first, last = self._seen[0], self._seen[-1]
        if last[0] - first[0] < self.over_s or len(self._seen) < LEAST_LOOKS:
            return
        if is_growing([row[1] for row in self._seen], last[2] - first[2]):
            self.rule = "over_saturated"
            self.said = (
                f"stop.over_saturated: requests in flight grew from {first[1]:,} to {last[1]:,}"
                f" within {format_seconds(last[0] - first[0])}"
            )


def is_surely_above(num: int, total: int, limit: float) -> bool:
    """Whether num of total shows a rate above limit: by Chernoff's bound, P(so many) is at most
    exp(-n KL(num / n, limit)), whatever the looks before."""
    if not total or num / total <= limit:
        return False
    share = num / total
    divergence = share * math.log(share / limit)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - limit))
    return total * divergence > SURE


def is_growing(in_flight: list[int], num_sent: int) -> bool:
    """The rule of the window's steady state, on the pulses: they rise (Mann-Kendall), and by more
    than chance backs up at a target that keeps pace, 3 sqrt(arrivals)."""
    import numpy as np

    from harness.analysis.steady_state import mann_kendall_z

    if mann_kendall_z(in_flight) <= Z_LIMIT:
        return False
    slope = float(np.polyfit(np.arange(len(in_flight)), in_flight, 1)[0])
    return slope * len(in_flight) > 3 * math.sqrt(max(1, num_sent))

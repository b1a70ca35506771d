"""The day and the scales at which an autoscaled fleet is played through, whatever plays it: the
twin request by request (fleet_day.py), or a fluid of the same rates (fluid_day.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.decisions.autoscaler import LEAST_TO_ZERO_S, Load, Policy
from harness.decisions.staircase import FloatArray, IntArray, Staircase, demand

DAY_S = 86_400.0
STEADY_S = 7200.0  # of a traffic that is always the same
SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)  # loads: replicas at target load, on average
MOST_REPLICAS = 1_000
EVERY_S = 10.0  # between two looks of the autoscaler
LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class DayFleet:
    """capacity: req/s a replica sustains.  idle_s: from the last request until the last replica
    goes; None, or less than the policy's five minutes: it stays."""

    capacity_req_per_s: float
    load_target: float
    cold_start_s: float
    bill_cold_start: bool = False
    commitment_discount: float = 0.0
    idle_s: float | None = None

    @property
    def unit_req_per_s(self) -> float:
        """The rate of load 1: one replica, as loaded as it is to be."""
        return self.capacity_req_per_s * self.load_target

    @property
    def can_sleep(self) -> bool:
        return self.idle_s is not None and self.idle_s >= LEAST_TO_ZERO_S

    def policy(self, *, sleeps: bool = False) -> Policy:
        """The vendor's windows, on requests/s."""
        return Policy(
            Load(req_per_s=self.capacity_req_per_s), utilisation=self.load_target,
            min_replicas=0 if sleeps else 1, max_replicas=MOST_REPLICAS,
            to_zero_after_s=self.idle_s if sleeps and self.idle_s else 3600.0,
        )  # fmt: skip


def day_of(shape: FloatArray, window_s: float) -> FloatArray:
    """[w] the windows of the day with the highest one; of one window, that window for two hours."""
    if len(shape) == 1:
        return np.repeat(shape, max(1, round(STEADY_S / window_s)))
    return shape[day_begin(shape, window_s) :][: _windows_a_day(window_s)]


def day_begin(shape: FloatArray, window_s: float) -> int:
    """The first window of that day; 0 where the shape is no longer than one."""
    num = _windows_a_day(window_s)
    return max(0, min(int(shape.argmax()) // num * num, len(shape) - num))


def _windows_a_day(window_s: float) -> int:
    return max(1, round(DAY_S / window_s))


@dataclass(frozen=True, slots=True)
class ByStairs:
    """What the staircase has for a day at a load, in full-priced replicas; committed: 0 without a
    discount."""

    plain: float
    committed: float

    @classmethod
    def of(cls, day: FloatArray, load: float, discount: float) -> ByStairs:
        need = demand(day, "autoscaled")

        def at(steps: Staircase) -> float:
            return float(steps.mean_replicas(min(load, steps.end)))

        committed = at(Staircase.committed(need, discount)) if discount > 0 else 0.0
        return cls(at(Staircase.of(need)), committed)


def committed_replicas(
    ready_at: Callable[[npt.NDArray[np.float64]], IntArray], span_s: float, paid: float,
    discount: float,
) -> float:  # fmt: skip
    """Full-priced replicas that the cheapest commitment to this day's own course costs: of the
    k-th, the less of 1 - d and the share of the day in which it was ready. Paid seconds in which
    nothing was ready (cold starts) are paid in full."""
    ready = ready_at(np.arange(0.0, span_s, LOOK_S))
    levels = np.arange(1, int(ready.max(initial=0)) + 1)
    shares = (ready[:, None] >= levels).mean(axis=0)
    return float(np.minimum(1 - discount, shares).sum()) + max(0.0, paid - float(ready.mean()))

"""What the autoscaled fleet paid for and kept, at a few scales of one day's traffic.

A table of days, played through request by request on the twin (fleet_day.py) or as a fluid of their
rates (fluid_day.py), and how far each was from the staircase of the same windows. Between two
scales that ratio runs straight; above the largest it stays what it was there. The ratio and not the
number is carried on, since steps are where the staircase has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.decisions.staircase import FloatArray, Staircase


@dataclass(frozen=True, slots=True)
class FleetDay:
    """One simulated day at one scale; replicas are means over it, spares apart.

    load: mean rate over load target x capacity, what the staircase takes.  span_s: of the day that
    was simulated.  paid: replicas billed,
    begun seconds whole, cold starts where they are billed.  by_stairs: what the staircase has for
    the same windows.  committed, committed_by_stairs: full-priced replicas that the cheapest
    commitment costs; None without a discount.  starts_per_day: cold starts.
    good_ratio, late_ratio: of requests, those that kept every limit, and those that missed one
    after waiting for a cold start. Of a fluid: late_ratio, those that a fleet too small makes wait
    longer than a first token may take; good_ratio, all others, so at most so many are good.
    """

    load: float
    req_per_s: float
    span_s: float
    paid: float
    by_stairs: float
    committed: float | None
    committed_by_stairs: float | None
    starts_per_day: float
    good_ratio: float
    late_ratio: float


@dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """days: by rising load, one replica always up.  to_zero: the same where the last may go, empty
    where it was not asked for.

    attainment: share of good requests that the SLO asks.  how: what played the days.  arrivals: of
    single requests, in words; empty of a fluid.
    """

    days: tuple[FleetDay, ...]
    to_zero: tuple[FleetDay, ...]
    attainment: float
    how: Literal["twin", "fluid"] = "twin"
    arrivals: str = ""

    def autoscaled(self, steps: Staircase) -> Staircase:
        """The staircase as those days would have it."""
        loads = np.array([0.0, *(d.load for d in self.days)])
        return steps.adjusted(loads, factor=np.array([1.0, *(d.paid / d.by_stairs
                                                             for d in self.days)]))  # fmt: skip

    def committed(self, steps: Staircase) -> Staircase:
        """Of the committed staircase."""
        loads = np.array([0.0, *(d.load for d in self.days)])
        ratios = [
            d.committed / d.committed_by_stairs
            for d in self.days
            if d.committed is not None and d.committed_by_stairs
        ]
        return steps.adjusted(loads, factor=np.array([1.0, *ratios]))

    def asleep(self, steps: Staircase) -> Staircase:
        """Scaled to zero: below the least scale simulated the bill falls with the traffic."""
        loads = np.array([0.0, *(d.load for d in self.to_zero)])
        factor = np.array([0.0, *(d.paid / d.by_stairs for d in self.to_zero)])
        return steps.adjusted(loads, factor=factor)

    def good_at(self, load: float | FloatArray) -> FloatArray:
        """Share of good requests at a load, straight between the scales; NaN outside them."""
        loads = [d.load for d in self.days]
        good = [d.good_ratio for d in self.days]
        return np.asarray(np.interp(load, loads, good, left=np.nan, right=np.nan))

    def per_good(self, steps: Staircase) -> Staircase:
        """The autoscaled fleet a good request: what is late or refused is paid and not had."""
        own = self.autoscaled(steps)
        loads = np.array([d.load for d in self.days])
        good = np.maximum([d.good_ratio for d in self.days], 1e-6)
        kept = own.kept
        whole = own.with_kept(0.0).adjusted(loads, factor=1 / good)
        return whole.with_kept(kept)

"""A day of traffic on the twin's autoscaled fleet, at several scales: what a bill is made of.

The policy is the vendor's (autoscaler.py) at the measured capacity; each scale is one simulation,
request by request (a trace's own, thinned or repeated to the scale, else drawn), with cold starts
and, where it is asked for, the last replica going to sleep.
Of a longer forecast the day with its highest window is taken, of a flat one two hours. A scale
with too many requests is simulated over a stretch of that day, and compared with the staircase of
the same stretch; the user's own traffic over all of it, if at all possible.
"""

from __future__ import annotations

import math

import numpy as np

from harness.decisions.fleet_scales import (
    DAY_S,
    EVERY_S,
    MOST_REPLICAS,
    SCALES,
    ByStairs,
    DayFleet,
    committed_replicas,
    day_begin,
    day_of,
)
from harness.decisions.played_sizes import good_of
from harness.decisions.replicas import arrivals_of
from harness.decisions.simulated_fleet import FleetDay, SimulatedFleet
from harness.decisions.staircase import FloatArray
from harness.decisions.step_fit import StepFit
from harness.decisions.twin import Deployment, simulate_autoscaled
from harness.decisions.twin_capacity import Mix, Objective, step_model

QUIET = (1 / 64, 1 / 8, 0.5, 1.0, 4.0)  # of a fleet that may sleep: where it mostly waits
MOST_REQUESTS = 400_000  # of one simulation
MOST_OWN = 2_000_000  # and of the user's own traffic
LEAST_S = 3600.0  # a stretch that has seen the autoscaler go up and down


def simulate_days(
    fit: StepFit, deployment: Deployment, mix: Mix, objective: Objective, shape: FloatArray,
    window_s: float, fleet: DayFleet, own_req_per_s: float | None = None, *, seed: int = 0,
    scales: tuple[float, ...] = SCALES, quiet: tuple[float, ...] = QUIET,
) -> SimulatedFleet | None:  # fmt: skip
    """shape: [w] rates over their mean.  own_req_per_s: a mean rate that has to be among the
    scales, if two million requests suffice for a day of it.  None where not even an hour at the
    least scale can be simulated.
    """
    day, unit = day_of(shape, window_s), fleet.unit_req_per_s
    begin = day_begin(shape, window_s)
    own = [] if own_req_per_s is None else [own_req_per_s / unit]
    per_load = unit * len(day) * window_s * float(day.mean())  # requests of a day at load 1
    own = [x for x in own if x * per_load <= MOST_OWN and x <= 0.5 * MOST_REPLICAS]

    def run(loads: tuple[float, ...], sleeps: bool) -> tuple[FleetDay, ...]:
        found = []
        for x in sorted({*loads, *own}):
            part = range(len(day)) if x in own else _stretch(day, window_s, x * unit)
            if len(part) * window_s >= min(LEAST_S, len(day) * window_s):
                own_day = day[part.start : part.stop]
                found.append(_one_day(fit, deployment, mix, objective, own_day, begin + part.start,
                                      window_s, fleet, x, sleeps, seed))  # fmt: skip
        return tuple(found)

    days = run(scales, False)
    if not days:
        return None
    asleep = run(quiet, True) if fleet.can_sleep else ()
    return SimulatedFleet(days, asleep, objective.attainment, arrivals=mix.arrivals())


def _stretch(day: FloatArray, window_s: float, req_per_s: float) -> range:
    """As many windows one after the other as MOST_REQUESTS allow, their mean as near to the day's
    as any such stretch's."""
    num = min(len(day), math.floor(MOST_REQUESTS / (req_per_s * window_s)))
    if num == len(day) or num < 1:
        return range(num)
    sums = np.concatenate([[0.0], np.cumsum(day)])
    means = (sums[num:] - sums[:-num]) / num
    begin = int(np.abs(means - day.mean()).argmin())
    return range(begin, begin + num)


def _one_day(
    fit: StepFit, deployment: Deployment, mix: Mix, objective: Objective, day: FloatArray,
    begin: int, window_s: float, fleet: DayFleet, load: float, sleeps: bool, seed: int,
) -> FleetDay:  # fmt: skip
    """begin: the first window of `day` in the whole forecast."""
    span_s = len(day) * window_s
    rates = day * load * fleet.unit_req_per_s
    rng = np.random.default_rng([seed, 11])
    arrivals = arrivals_of(mix, rates, window_s, rng, first=begin)
    first = math.ceil(float(day[0]) * load - 1e-9)
    found = simulate_autoscaled(
        step_model(fit.hinge), deployment, arrivals, policy=fleet.policy(sleeps=sleeps),
        every_s=EVERY_S, cold_start_s=(fleet.cold_start_s,), bill_cold_start=fleet.bill_cold_start,
        end_s=span_s, initial=first if sleeps else max(1, first),
    )  # fmt: skip
    is_good = good_of(fit, arrivals, found.outcome, objective)
    # until the last request has its answer: it is billed as long
    paid, off = found.billed_s / found.end_s, fleet.commitment_discount
    stairs = ByStairs.of(day, load, off)
    return FleetDay(
        load=load, req_per_s=load * fleet.unit_req_per_s, span_s=span_s, paid=paid,
        by_stairs=stairs.plain,
        committed=committed_replicas(found.ready_at, span_s, paid, off) if off > 0 else None,
        committed_by_stairs=stairs.committed if off > 0 else None,
        starts_per_day=found.cold_starts * DAY_S / span_s,
        good_ratio=float(is_good.mean()) if len(is_good) else 1.0,
        late_ratio=float((found.is_held & ~is_good).mean()) if len(is_good) else 0.0,
    )  # fmt: skip

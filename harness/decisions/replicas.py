"""Replicas over a day of traffic: a fixed fleet and an autoscaled one, sized and then simulated.

Sized by arithmetic: the busiest window of an hour over what one replica surely sustains (the lower
end of its interval; the upper end and the point give the band). A trace is also played, hour by
hour, and its bursts may need more (played_sizes.py). Then the whole day is simulated on the fleets
so sized, request by request, and the shares of good requests are printed beside the sizes: short
peaks and scaling delays show there, not in a quotient of averages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.decisions.autoscaler import Load, Policy
from harness.decisions.fleet_scales import MOST_REPLICAS
from harness.decisions.planner import replicas_needed
from harness.decisions.played_sizes import Sizes, good_of, played_sizes
from harness.decisions.step_fit import StepFit
from harness.decisions.twin import Deployment, Requests, simulate_autoscaled, simulate_fleet
from harness.decisions.twin_capacity import Mix, Objective, TwinCapacity, step_model

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HOUR_S = 3600.0
MOST_REQUESTS = 2_000_000  # simulated; of a longer day each window is cut to an equal share of it
MOST_SIZED = 400_000  # played again and again to size a trace's hours; else cut likewise


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the planner asks for. spare: replicas beside those needed.  load_target: share of its
    capacity at which the autoscaler keeps a replica.  cold_start_s: from asked for to ready."""

    spare: int = 1
    load_target: float = 0.8
    cold_start_s: float = 60.0


@dataclass(frozen=True, slots=True)
class HourPlan:
    """hour: from the forecast's start, in which its windows begin (one longer than an hour has its
    own row). Rates in requests/s, peak: of its busiest window.

    fewest, likely, needed: replicas that carry the peak if each sustains the upper end, the point,
    the lower end; of a trace at least those that its bursts need.  autoscaled: mean ready replicas.
    good_*: share of good requests of that hour; NaN where none arrived or nothing was simulated.
    """

    hour: int
    mean_req_per_s: float
    peak_req_per_s: float
    fewest: int
    likely: int
    needed: int
    good_fixed: float
    autoscaled: float
    good_autoscaled: float


@dataclass(frozen=True, slots=True)
class FixedFleet:
    """replicas = at_lower_bound + spare. good: share of good requests over all the time, without
    one: in the busiest window, with a replica down.  replica_hours: of the whole forecast.
    by_rates: what at_lower_bound would be by the rates alone."""

    replicas: int
    at_lower_bound: int
    likely: int
    good: float
    good_without_one: float
    replica_hours: float
    by_rates: int


@dataclass(frozen=True, slots=True)
class AutoscaledFleet:
    """cold_starts: replicas started after the beginning. is_simulated: False for a day with too
    many requests, whose figures are then arithmetic and have no share of good requests."""

    mean_replicas: float
    most_replicas: int
    replica_hours: float
    cold_starts: int
    good: float
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """cut: share of each window that was simulated, 1 for all of it."""

    hours: tuple[HourPlan, ...]
    fixed: FixedFleet
    autoscaled: AutoscaledFleet
    peak_req_per_s: float
    mean_req_per_s: float
    num_requests: int
    cut: float


def plan_replicas(
    fit: StepFit, deployment: Deployment, capacity: TwinCapacity, mix: Mix, objective: Objective,
    rates: FloatArray, window_s: float, fleet: Fleet, *, seed: int = 0,
) -> ReplicaPlan:  # fmt: skip
    """rates: [w] requests/s of windows of window_s, one after the other.

    Raises ValueError where the capacity is no positive number, or the fleet passes MOST_REPLICAS.
    """
    low, point, high = _ends(capacity)
    # the hour in which each window begins, and the row of the plan that this is
    hours, row_of = np.unique(
        (np.arange(len(rates)) * window_s / HOUR_S + 1e-9).astype(np.int64), return_inverse=True
    )
    peaks = [float(rates[row_of == row].max()) for row in range(len(hours))]
    sizes = [
        Sizes(*(max(1, replicas_needed(peak, each)) for each in (high, point, low)))
        for peak in peaks
    ]
    by_rates = max(size.needed for size in sizes)
    if by_rates + fleet.spare > MOST_REPLICAS:
        raise ValueError(f"{by_rates:,} replicas; the twin plans for {MOST_REPLICAS:,} at most")
    cut = min(1.0, MOST_REQUESTS / max(1.0, float(rates.sum()) * window_s))

    def arrive(cut: float) -> Requests:
        return arrivals_of(mix, rates, window_s, np.random.default_rng([seed, 7]), cut=cut)

    def windows_of(arrivals: Requests, cut: float) -> IntArray:
        index = (arrivals.arrival_s / (window_s * cut)).astype(np.int64)
        return np.minimum(index, len(rates) - 1)

    arrivals = arrive(cut)
    if mix.recorded is not None:
        part = cut * min(1.0, MOST_SIZED / max(1, len(arrivals)))
        played = arrive(part)
        row = row_of[windows_of(played, part)]
        own = [_chosen(played, row == k) for k in range(len(hours))]
        most = MOST_REPLICAS - fleet.spare
        sizes = played_sizes(fit, deployment, capacity, objective, own, sizes, most)
    base = max(size.needed for size in sizes)
    model = step_model(fit.hinge)
    num = base + fleet.spare
    fixed = simulate_fleet(model, deployment, arrivals, replicas=num, router="least_loaded")
    is_good = good_of(fit, arrivals, fixed, objective)
    window = windows_of(arrivals, cut)
    busiest = _chosen(arrivals, window == int(rates.argmax()))
    without = simulate_fleet(
        model, deployment, busiest, replicas=max(1, num - 1), router="least_loaded"
    )
    scaled = _autoscaled(
        fit, deployment, arrivals, objective, rates, window_s, low, fleet, cut, row_of
    )
    arrived = row_of[window]
    return ReplicaPlan(
        tuple(
            HourPlan(
                int(hour), float(rates[row_of == row].mean()), peaks[row], *sizes[row],
                _share(is_good[arrived == row]), scaled.by_row[row],
                _share(scaled.is_good[arrived == row]) if len(scaled.is_good) else math.nan,
            )
            for row, hour in enumerate(hours)
        ),
        FixedFleet(
            num, base, max(size.likely for size in sizes), _share(is_good),
            _share(good_of(fit, busiest, without, objective)) if num > 1 else 0.0,
            num * len(rates) * window_s / HOUR_S, by_rates,
        ),
        scaled.fleet, float(rates.max()), float(rates.mean()), len(arrivals), cut,
    )  # fmt: skip


def arrivals_of(
    mix: Mix, rates: FloatArray, window_s: float, rng: np.random.Generator, *, first: int = 0,
    cut: float = 1.0,
) -> Requests:  # fmt: skip
    """Requests whose rate follows the windows: a recorded mix's own, from its window `first` on;
    else arrivals of 1/s, in a time that runs by the rates.

    Poisson gaps stay Poisson within a window; bursts of a gamma process keep their irregularity.
    cut: only this share of each window, the windows then as much shorter.
    """
    if mix.recorded is not None:
        return mix.recorded.at(rates, rng, first=first, cut=cut)
    window_s *= cut
    edges = np.concatenate([[0.0], np.cumsum(rates * window_s)])
    num = math.ceil(edges[-1] + 6 * mix.cv * math.sqrt(edges[-1]) + 20)
    unit = mix.requests(rng, num)
    inside = unit.arrival_s < edges[-1]
    at_s = np.interp(unit.arrival_s[inside], edges, np.arange(len(edges)) * window_s)
    return Requests(at_s, unit.n_in[inside], unit.n_out[inside])


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    fleet: AutoscaledFleet
    by_row: tuple[float, ...]
    is_good: npt.NDArray[np.bool_]


def _autoscaled(
    fit: StepFit, deployment: Deployment, arrivals: Requests, objective: Objective,
    rates: FloatArray, window_s: float, low: float, fleet: Fleet, cut: float, row_of: IntArray,
) -> _Scaled:  # fmt: skip
    """The same day under the policy; by arithmetic where the day was cut, since its delays are
    those of the whole one: what this window needs or the last one did."""
    span_s = len(rates) * window_s
    times_s = np.arange(0.0, span_s, min(60.0, window_s))
    at = np.minimum((times_s / window_s + 1e-9).astype(np.int64), len(rates) - 1)

    def by_row(ready: npt.NDArray[np.generic]) -> tuple[float, ...]:
        return tuple(float(ready[row_of[at] == k].mean()) for k in range(int(row_of.max()) + 1))

    if cut < 1:
        need = np.ceil(rates / (fleet.load_target * low) - 1e-9)
        before = np.concatenate([need[:1], need[:-1]])
        ready = np.maximum(np.maximum(need, before), 1)
        total_h = float(ready.sum()) * window_s / HOUR_S
        told = AutoscaledFleet(float(ready.mean()), int(ready.max()), total_h, 0, math.nan, False)
        return _Scaled(told, by_row(ready[at]), np.zeros(0, np.bool_))
    policy = Policy(
        Load(req_per_s=low), utilisation=fleet.load_target, min_replicas=1,
        max_replicas=MOST_REPLICAS,
    )  # fmt: skip
    begin = max(1, math.ceil(float(rates[0]) / (fleet.load_target * low) - 1e-9))
    found = simulate_autoscaled(
        step_model(fit.hinge), deployment, arrivals, policy=policy,
        cold_start_s=(fleet.cold_start_s,), end_s=span_s, initial=begin,
    )  # fmt: skip
    is_good = good_of(fit, arrivals, found.outcome, objective)
    ready = found.ready_at(times_s)
    told = AutoscaledFleet(
        float(ready.mean()), int(ready.max()), found.billed_s / HOUR_S, found.cold_starts,
        _share(is_good), True,
    )  # fmt: skip
    return _Scaled(told, by_row(ready), is_good)


def _chosen(arrivals: Requests, which: npt.NDArray[np.bool_]) -> Requests:
    return Requests(arrivals.arrival_s[which], arrivals.n_in[which], arrivals.n_out[which])


def _ends(capacity: TwinCapacity) -> tuple[float, float, float]:
    e = capacity.estimate
    if e.value is None or e.low is None or e.high is None or not 0 < e.low <= e.high < math.inf:
        raise ValueError(e.reason or "the sustained rate has no lower end above 0")
    return e.low, e.value, e.high


def _share(is_good: npt.NDArray[np.bool_]) -> float:
    return float(is_good.mean()) if len(is_good) else math.nan

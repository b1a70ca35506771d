"""The highest rate one replica sustains within the SLO, simulated for traffic never sent to it.

Of a fit's every draw the rate is searched at which the share of good requests leaves what was
asked: the interval is theirs, and so holds both what the sweep leaves open and the luck of the
arrivals (each draw has arrivals of its own). What the step law itself cannot follow is not in it:
that is the fit's held-out error. A state outside the swept region is named, and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.analysis.steps import IDLE_S
from harness.decisions.hinge import Hinge
from harness.decisions.recorded import Recorded
from harness.decisions.step_fit import StepFit
from harness.decisions.swept_hull import SweptHull
from harness.decisions.twin import Deployment, Outcome, Requests, StepModel, simulate
from harness.estimate import Estimate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NUM_REQUESTS = 4_000  # of one simulation; the first tenth fills the empty server, uncounted
WARMUP_SHARE = 0.1
RESOLUTION = 1.003  # the search ends where the bracket is this narrow
MOST_REQ_PER_S = 1e6
MOST_HELD_OUT = 0.25  # median held-out error of a calibration that decides anything
KV_FULL, GROWN = "the KV cache is full", "steps grow with the batch"


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """What is asked: lengths to draw requests from, and how irregularly they come.

    n_in, n_out: [m] tokens.  cv: of the gaps between arrivals, 1 for Poisson (gamma otherwise).
    measured: where that is from, in words.  recorded: a trace that a day of it is played from; what
    one replica sustains is still asked of drawn arrivals.
    """

    name: str
    n_in: IntArray
    n_out: IntArray
    cv: float = 1.0
    measured: str = ""
    recorded: Recorded | None = None

    def requests(self, rng: np.random.Generator, num: int = NUM_REQUESTS) -> Requests:
        """num requests at 1 request/s on average."""
        rows = rng.integers(0, len(self.n_in), num)
        shape = 1 / self.cv**2
        gaps = rng.gamma(shape, 1 / shape, num)
        return Requests(np.cumsum(gaps), self.n_in[rows], self.n_out[rows])

    @property
    def how(self) -> Literal["trace", "gamma", "poisson"]:
        """Where the arrivals of a day are from."""
        if self.recorded is not None:
            return "trace"
        return "poisson" if self.cv == 1 else "gamma"

    def arrivals(self, mean_req_per_s: float | None = None) -> str:
        """The same in words. mean_req_per_s: of the plan; None: it has several."""
        if self.recorded is not None:
            return self.recorded.told(mean_req_per_s)
        law = "Poisson" if self.cv == 1 else f"gamma with gaps of CV {self.cv:.3g}"
        return f"drawn, {law} within each window{self.measured and ', '}{self.measured}"


@dataclass(frozen=True, slots=True)
class Objective:
    """A good request's limits, seconds (None: none), and the least share of good requests."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    attainment: float = 0.99

    @property
    def text(self) -> str:
        """`TTFT at most 1.00 s and TPOT at most 100 ms`"""
        from harness.units import format_seconds

        parts = (("TTFT", self.ttft_s), ("TPOT", self.tpot_s), ("E2E", self.e2e_s))
        given = [f"{name} at most {format_seconds(v)}" for name, v in parts if v is not None]
        return " and ".join(given)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """[n] what clients would see, seconds; inf where refused. totals of the replica in outcome."""

    requests: Requests
    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray
    outcome: Outcome

    def misses(self, objective: Objective) -> dict[str, BoolArray]:
        """[n] by limit: who missed it."""
        limits = {"ttft": objective.ttft_s, "tpot": objective.tpot_s, "e2e": objective.e2e_s}
        seen = {"ttft": self.ttft_s, "tpot": self.tpot_s, "e2e": self.e2e_s}
        # an answer of one token has no TPOT and misses no limit on it
        return {k: np.nan_to_num(seen[k]) > v for k, v in limits.items() if v is not None}

    def good_share(self, objective: Objective) -> float:
        """Of the requests after the warm-up."""
        bad = np.any(list(self.misses(objective).values()), axis=0)
        return float(1 - bad[int(len(bad) * WARMUP_SHARE) :].mean())


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One rate of the headroom curve, from the point fit; low and high over the draws."""

    load_ratio: float  # of the sustained rate
    req_per_s: float
    good_ratio: float
    good_low: float
    good_high: float
    ttft_p95_s: float
    tpot_p95_s: float | None  # None: no answer has two tokens


@dataclass(frozen=True, slots=True)
class TwinCapacity:
    """estimate: `max_goodput`, req/s of one replica.  draws: [d] the same of each draw.

    breaks_first: what leaves its limit just above it, in words.  extrapolated: in which ways the
    states at that rate leave the swept region; empty: none.  headroom: by rising load.
    """

    estimate: Estimate
    draws: tuple[float, ...]
    breaks_first: str
    extrapolated: tuple[str, ...]
    headroom: tuple[LoadPoint, ...]
    good_tok_per_req: float
    doubt: str = ""  # of the calibration itself

    @property
    def low(self) -> float:
        return self.estimate.low if self.estimate.low is not None else 0.0


def step_model(hinge: Hinge) -> StepModel:
    """The twin's parameters of a fit."""
    return StepModel(
        hinge.a0, hinge.b, hinge.a1, hinge.c, hinge.e, hinge.d, hinge.r, hinge.g,
        hinge.h, IDLE_S,
    )  # fmt: skip


def serve(fit: StepFit, hinge: Hinge, deployment: Deployment, requests: Requests) -> Served:
    """Simulate one replica and add what lies outside its engine."""
    outcome = simulate(step_model(hinge), deployment, requests)
    outside_s = fit.outside_s(hinge, requests.n_in)
    ttft_s, e2e_s = outcome.ttft_s + outside_s, outcome.e2e_s + outside_s
    for values in (ttft_s, e2e_s):
        values[outcome.is_refused] = np.inf
    return Served(requests, ttft_s, outcome.tpot_s, e2e_s, outcome)


def twin_capacity(
    fit: StepFit, deployment: Deployment, mix: Mix, objective: Objective, *, seed: int = 0,
    num_requests: int = NUM_REQUESTS,
) -> TwinCapacity:  # fmt: skip
    """Search the sustained rate of the fit and of each of its draws, at a pace of its own.

    A mix that misses the objective even alone has capacity 0, with the reason in the estimate.
    """

    def highest(hinge: Hinge, requests: Requests, begin: float) -> float:
        def good_at(rate: float) -> float:
            return serve(fit, hinge, deployment, at_rate(requests, rate)).good_share(objective)

        most = saturation(hinge, deployment, requests)
        return search(good_at, objective.attainment, begin, most) if most else 0.0

    requests = mix.requests(np.random.default_rng([seed, 0]), num_requests)
    point = highest(fit.hinge, requests, 1.0)
    draws = []
    for k, draw in enumerate(fit.likely):
        own = mix.requests(np.random.default_rng([seed, k + 1]), num_requests)
        draws.append(highest(draw, own, point or 1.0))
    low, high = np.percentile([*draws, point], [2.5, 97.5]) if draws else (point, point)
    reason = "" if point else "not even a lone request keeps the limits"
    estimate = Estimate(
        "max_goodput", "rate", "req/s", point, min(float(low), point), max(float(high), point),
        n=num_requests, n_eff=float(num_requests), reason=reason,
        method=f"capacity twin, {len(draws)} draws of the step fit and its drift",
    )  # fmt: skip
    above = serve(fit, fit.hinge, deployment, at_rate(requests, max(point, 1e-3) * 1.1))
    at = serve(fit, fit.hinge, deployment, at_rate(requests, max(point, 1e-3)))
    return TwinCapacity(
        estimate, tuple(draws), breaks_first(above, objective), beyond_sweep(at, fit.hull),
        headroom(fit, deployment, requests, objective, point),
        float((mix.n_in + mix.n_out).mean()), doubt_of(fit),
    )  # fmt: skip


def doubt_of(fit: StepFit) -> str:
    """Why nothing can be decided from a fit; empty where it can."""
    missed = fit.held_out.median_ratio
    if missed <= MOST_HELD_OUT:
        return ""
    return f"half of the swept points are missed by more than {missed:.0%} when left out of the fit"


def at_rate(requests: Requests, rate: float) -> Requests:
    """Requests of 1/s on average, at another rate: the same order, the same irregularity."""
    return replace(requests, arrival_s=requests.arrival_s / rate)


def search(
    good_at: Callable[[float], float], share: float, begin: float, most: float = MOST_REQ_PER_S
) -> float:
    """The highest rate up to `most` with at least this share of good requests, to 0.3 %; 0 where
    none has."""
    low = high = min(begin, most)
    while good_at(low) < share:
        low, high = low / 2, low
        if low < begin / 2**20:
            return 0.0
    while high == low or good_at(high) >= share:
        if high >= most:
            return most
        low, high = high, min(high * 2, most)
    while high / low > RESOLUTION:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if good_at(middle) >= share else (low, middle)
    return low


def saturation(hinge: Hinge, deployment: Deployment, requests: Requests) -> float:
    """Requests/s served when all are there at once: no rate above it lasts, whatever a simulation
    too short for its queue to pass a generous limit may show."""
    at_once = replace(requests, arrival_s=np.zeros(len(requests)))
    outcome = simulate(step_model(hinge), deployment, at_once)
    return float((~outcome.is_refused).sum() / max(outcome.totals.end_s, 1e-9))


def breaks_first(served: Served, objective: Objective) -> str:
    """Which limit more requests miss, and why: what kept them waiting, or how long steps grew."""
    missed = {k: v for k, v in served.misses(objective).items() if v.any()}
    if not missed:
        return ""
    key = max(missed, key=lambda k: float(missed[k].mean()))
    late, outcome = missed[key], served.outcome
    name = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E"}[key]
    if outcome.is_refused[late].any():
        return f"{name}: requests that no KV cache of this size can hold"
    if key == "tpot":
        lost = float(np.mean(outcome.preemptions[late] > 0))
        return f"{name}: {KV_FULL if lost > 0.5 else GROWN}"
    whole_s = (served.ttft_s if key == "ttft" else served.e2e_s)[late]
    if outcome.queue_s[late].sum() < 0.5 * whole_s.sum():
        return f"{name}: {GROWN}"
    totals = outcome.totals
    waits = {
        KV_FULL: totals.waiting_for_kv_s,
        "every place in the batch is taken": totals.waiting_for_batch_s,
        "prompts queue for the step's tokens": totals.waiting_for_budget_s,
    }
    return f"{name}: {max(waits, key=lambda k: waits[k])}"


def beyond_sweep(served: Served, hull: SweptHull) -> tuple[str, ...]:
    """Ways in which the simulated states (99 in 100 arrivals' view) leave the swept region."""
    outcome, requests = served.outcome, served.requests
    kept = ~outcome.is_refused
    if not kept.any():
        return ()
    arrival_s = requests.arrival_s[kept]
    begin_s, end_s = arrival_s + outcome.queue_s[kept], arrival_s + outcome.e2e_s[kept]
    own_tok = (requests.n_in + requests.n_out / 2)[kept]

    def present(weight: FloatArray) -> float:
        """p99 over arrivals of the weight of the requests that are running."""
        sums = []
        for at_s in (begin_s, end_s):
            order = np.argsort(at_s)
            total = np.concatenate([[0.0], np.cumsum(weight[order])])
            sums.append(total[np.searchsorted(at_s[order], arrival_s, "right")])
        return float(np.percentile(sums[0] - sums[1], 99))

    longest = float(requests.n_in.max())
    return hull.beyond(present(np.ones(len(own_tok))), present(own_tok), longest)


def headroom(
    fit: StepFit, deployment: Deployment, requests: Requests, objective: Objective, rate: float
) -> tuple[LoadPoint, ...]:
    """Good share and tails at 30 to 120 % of the sustained rate; nothing where that is 0."""
    if not rate:
        return ()
    rows, likely = [], fit.likely[:20]
    for ratio in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2):
        now = at_rate(requests, rate * ratio)
        served = serve(fit, fit.hinge, deployment, now)
        goods = [serve(fit, d, deployment, now).good_share(objective) for d in likely]
        good = served.good_share(objective)
        counted = slice(int(len(requests) * WARMUP_SHARE), None)
        tpot_s = served.tpot_s[counted]
        rows.append(
            LoadPoint(
                ratio, rate * ratio, good, min([*goods, good]), max([*goods, good]),
                float(np.percentile(served.ttft_s[counted], 95, method="inverted_cdf")),
                float(np.nanpercentile(tpot_s, 95)) if np.isfinite(tpot_s).any() else None,
            )
        )  # fmt: skip
    return tuple(rows)


def capacity_json(capacity: TwinCapacity) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "sustained": capacity.estimate.to_json(),
        "breaks_first": capacity.breaks_first,
        "extrapolated": list(capacity.extrapolated),
        "headroom": [
            {k: (v if v is None or math.isfinite(v) else "inf") for k, v in zip(LoadPoint.__slots__,
             (getattr(row, k) for k in LoadPoint.__slots__), strict=True)}
            for row in capacity.headroom
        ],
    }  # fmt: skip

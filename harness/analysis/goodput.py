"""Good requests: slo_attainment (their share) and goodput_req_per_s (their rate).

A request is good when it succeeded and kept every limit it can have. Denominators: `valid`
requests intended in the window; the window. A failure is a miss, never a missing row. A limit on a
metric the request does not have (tpot of a one-token answer) is skipped, and the share of such
requests is reported. Limits: `good_request`, else the highest-percentile limit of each metric; a
class's own limits replace them by metric name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.quantiles import Pair
from harness.analysis.shares import share_pair
from harness.analysis.throughput import Bins, rate_pair
from harness.estimate import Estimate
from harness.scenario.slo import GoodRequest, Slo

REQUEST_METRICS = (
    "ttft", "ttfv", "tpot", "e2e_latency", "max_stall", "time_to_first_argument",
    "time_to_tool_call",
)  # fmt: skip
NUM_PARTS = 10
_HIGHEST_FIRST = ("max", "p99", "p95", "p90", "p50")
NO_LIMIT = "the scenario sets no limit that a single request could keep"


@dataclass(frozen=True, slots=True)
class Goodness:
    """is_good: [n] over all requests.  num_skipped: metric -> measured successes without it.

    has_limit: [n] whether the request's class sets any limit.  margin: [n] the largest of value /
    limit, at most 1 where good; infinite for a failure.
    """

    is_good: BoolArray
    has_limit: BoolArray
    num_skipped: dict[str, int]
    margin: FloatArray


def effective_slo(base: Slo, own: Slo | None) -> Slo:
    """The limits of a class: its own replace the scenario's by metric name."""
    if own is None:
        return base
    changed = {k: v for k in Slo.model_fields if (v := getattr(own, k)) is not None}
    if own.good_request is not None and base.good_request is not None:
        given = own.good_request.model_dump(exclude_none=True)
        limits = {
            metric: getattr(own.good_request if metric in given else base.good_request, metric)
            for metric in GoodRequest.model_fields
        }
        changed["good_request"] = GoodRequest.model_construct(**limits)
    return base.model_copy(update=changed)


def request_limits(slo: Slo) -> dict[str, float]:
    """Metric -> largest value in seconds that a good request may have."""
    if slo.good_request is not None:
        limits = {m: getattr(slo.good_request, m) for m in REQUEST_METRICS}
        return {m: limit for m, limit in limits.items() if limit is not None}
    found: dict[str, float] = {}
    for metric in REQUEST_METRICS:
        block = getattr(slo, metric)
        given = [getattr(block, q) for q in _HIGHEST_FIRST] if block is not None else []
        given = [limit for limit in given if limit is not None]
        if given:
            found[metric] = given[0]
    return found


def judge_requests(
    frame: Frame, values: dict[str, FloatArray], slo: Slo, class_slos: dict[str, Slo]
) -> Goodness:
    """values: metric -> [n], NaN where the request does not have it."""
    is_good = frame.is_success.copy()
    has_limit = np.zeros(len(frame), dtype=np.bool_)
    margin = np.where(frame.is_success, 0.0, np.inf)
    skipped: dict[str, int] = {}
    for name in sorted(set(frame.class_name.tolist())):
        members = frame.scope(name)
        limits = request_limits(effective_slo(slo, class_slos.get(name)))
        has_limit |= members & bool(limits)
        for metric, limit in limits.items():
            is_missing = np.isnan(values[metric])
            with np.errstate(invalid="ignore"):
                is_good &= ~members | is_missing | (values[metric] <= limit)
                ratio = np.where(is_missing, 0.0, values[metric] / max(limit, 1e-12))
            margin = np.where(members, np.maximum(margin, ratio), margin)
            lacking = members & is_missing & frame.is_success & frame.is_measured
            skipped[metric] = skipped.get(metric, 0) + int(lacking.sum())
    return Goodness(is_good, has_limit, skipped, margin)


def margin_design_effect(margin: FloatArray, share: float) -> float:
    """How correlated the requests are that a share of good ones hangs on.

    That `share` of requests are good says that this quantile of the margin is at most 1, so what
    counts is the design effect of the indicator at the quantile itself. That of good requests
    alone takes a window without a miss for independent, and near capacity misses come in clusters
    with long calm between them: on the simulated engine half of all searches then held a rate
    above capacity. 1 where the quantile falls among failures.  margin: [n] in order of send.
    """
    if not len(margin):
        return 1.0
    rank = min(len(margin), max(1, math.ceil(share * len(margin)))) - 1
    quantile = np.partition(margin, rank)[rank]
    return design_effect(margin <= quantile) if np.isfinite(quantile) else 1.0


def goodput_pairs(
    frame: Frame,
    goodness: Goodness,
    scope: str,
    rng: np.random.Generator,
    share: float | None = None,
) -> list[Pair]:
    """slo_attainment and goodput_req_per_s of one scope. share: what the scenario asks for."""
    members = frame.is_measured & frame.is_last & frame.is_valid & frame.scope(scope)
    if members.any() and not goodness.has_limit[members].any():
        return [
            _absent("slo_attainment", "ratio", scope),
            _absent("goodput_req_per_s", "rate", scope),
        ]
    bins = Bins.over(frame.window_s)
    good = frame.intended_s[members & goodness.is_good]
    return [
        share_pair(
            "slo_attainment",
            goodness.is_good[members],
            scope=scope,
            least_deff=margin_design_effect(goodness.margin[members], share) if share else 1.0,
        ),
        rate_pair("goodput_req_per_s", "req/s", bins.count(good), bins, frame, scope, rng, "valid"),
    ]


def good_parts(frame: Frame, goodness: Goodness) -> tuple[tuple[int, int], ...]:
    """(good, valid) requests by intended send in each tenth of the window, in order of time.

    Sums to the counts of slo_attainment; empty where no request has a limit to keep.
    """
    members = frame.is_measured & frame.is_last & frame.is_valid
    if not goodness.has_limit[members].any():
        return ()
    edges = np.linspace(0.0, frame.window_s, NUM_PARTS + 1)
    part = np.clip(np.searchsorted(edges, frame.intended_s, side="right") - 1, 0, NUM_PARTS - 1)
    valid = np.bincount(part[members], minlength=NUM_PARTS)
    good = np.bincount(part[members & goodness.is_good], minlength=NUM_PARTS)
    return tuple(zip(map(int, good), map(int, valid), strict=True))


def _absent(metric: str, stat: str, scope: str) -> Pair:
    unit = "ratio" if stat == "ratio" else "req/s"
    row = Estimate(metric, stat, unit, None, reason=NO_LIMIT, scope=scope, population="valid")
    return Pair(row, row)

"""The capacity planner's sentence: what rate is sustained, what gives way, how many replicas.

Built from a Capacity, whose interval it prints; the number of replicas rests on the lower end of
that interval, never on the point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis import PointMeta, PointSummary, effective_slo, request_limits
from harness.decisions.broke_first import broke_first
from harness.decisions.capacity import Capacity, find_capacity
from harness.decisions.headline import Headline
from harness.decisions.wording import amount, counted, interval, metric_name
from harness.scenario.slo import Slo
from harness.units import brief

SPARE = 1


def replicas_needed(rate_req_per_s: float, low_req_per_s: float) -> int:
    """Replicas that carry a rate if each only sustains the lower end; spare ones come on top."""
    return math.ceil(rate_req_per_s / low_req_per_s - 1e-9)


def example_rate(low_req_per_s: float) -> float:
    """A round rate of some replicas, for a reader who has not said his own: 1, 2, 4 or 5 and
    zeros, the nearest below ten times the lower end."""
    most = 10 * low_req_per_s
    power = 10.0 ** math.floor(math.log10(most))
    return next(k * power for k in (5, 4, 2, 1) if k * power <= most * (1 + 1e-9))


def planner_sentence(
    points: Sequence[PointSummary], who: str = "", more: str = ""
) -> Headline | None:
    """The sentence of one ladder of rates; None where the scenario asks for no share of good
    requests. more: what a search says of its own end."""
    capacity = find_capacity(points)
    if capacity.share is None or not capacity.levels:
        return None
    first = broke_first(list(points), capacity)
    broken = f"First limit reached: {first.sentence}." if first else ""
    answer, detail = _answer(capacity)
    terms = _terms(points[0].meta)
    parts = [f"{detail} [{terms}]." if terms else f"{detail}.", more, broken, _replicas(capacity)]
    parts += [_contradictions(capacity)]
    return Headline(f"{who}{answer}", " ".join(part for part in parts if part))


def _answer(capacity: Capacity) -> tuple[str, str]:
    e = capacity.estimate
    good = f"with {amount(capacity.share, 'ratio')} of requests good"
    lowest, highest = (amount(capacity.levels[i].rate_req_per_s, "req/s") for i in (0, -1))
    if e.value is None:
        return f"Not even {lowest} is sustained", f"{good}: the lowest rate measured"
    if e.low is None:
        return (
            "No rate measured surely holds",
            f"{good}: the fit crosses at {amount(e.value, 'req/s')}, but each rate has too few"
            " requests to show it",
        )
    if e.high is None and capacity.bracket.low == capacity.levels[-1].rate_req_per_s:
        return f"Sustains at least {highest}", f"{good}, the highest rate measured"
    if e.high is None:
        return (
            f"Sustains {amount(e.low, 'req/s')} or more",
            f"{good}: no rate measured surely misses, up to {highest}",
        )
    return (
        f"Sustains {amount(e.value, 'req/s')}",
        f"({interval(e.low, e.high, 'req/s')}) {good}",
    )


def _terms(meta: PointMeta) -> str:
    """What a good request is; and of each class with limits of its own, what it is there."""
    slos = {name: effective_slo(meta.slo, meta.class_slos.get(name)) for name in meta.classes}
    told, common = {name: _limits(slo) for name, slo in slos.items()}, _limits(meta.slo)
    if len(set(told.values())) <= 1:
        return next(iter(told.values()), common)
    parts = [common] if common in told.values() else []
    parts += [f"{name}: {own}" for name, own in told.items() if own != common]
    return "; ".join(part for part in parts if part)


def _limits(slo: Slo) -> str:
    limits = request_limits(slo).items()
    return " and ".join(f"{metric_name(m)} at most {amount(limit, 's')}" for m, limit in limits)


def _replicas(capacity: Capacity) -> str:
    low = capacity.estimate.low
    if not low or capacity.estimate.value is None:
        return ""
    rate = example_rate(low)
    need = replicas_needed(rate, low)
    return (
        f"For example {brief(rate)} req/s needs {counted(need + SPARE, 'replica')}: {need} at"
        f" the lower bound, {SPARE} spare."
    )


def _contradictions(capacity: Capacity) -> str:
    """Rates that did better than lower ones: told, since the fit smooths them over."""
    told = [
        f"{amount(v.high_req_per_s, 'req/s')} had {amount(v.high_share, 'ratio')} good and"
        f" {amount(v.low_req_per_s, 'req/s')} only {amount(v.low_share, 'ratio')}"
        for v in capacity.violations
    ]
    if not told:
        return ""
    return f"Not monotone: {'; '.join(told)}; a cache that warms with load can do that."

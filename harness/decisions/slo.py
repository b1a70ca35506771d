"""SLO rules against a point: each limit becomes one verdict with its reason.

A rule passes when the one-sided 95 % bound keeps the limit, fails when the opposite bound breaks
it, and is inconclusive between. Latency is judged over `valid` requests with failures = infinity;
shares by Clopper-Pearson at the effective sample size; rates by the bootstrap. A limit of 0 %
errors (or 100 % good) means none observed. `max` looks at what was observed and says so. Over
capacity a latency, attainment or goodput rule fails: there the backlog grows without end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.analysis import PointSummary, effective_slo
from harness.decisions.wording import amount, statistic
from harness.estimate import Estimate, Outcome, Verdict
from harness.scenario.slo import LatencyLimits, RtfLimits, Slo

Direction = Literal["max", "min"]

LATENCIES = (
    "ttft", "ttfv", "tpot", "itl", "icl", "e2e_latency", "max_stall", "time_to_first_argument",
    "time_to_tool_call", "rtf",
)  # fmt: skip
GAPS = ("itl", "icl")
_SHARES = ("error_rate", "throttle_rate")
_FITNESS = ("tool_valid", "schema_valid")
_RATES = (
    "output_tok_per_s", "valid_tok_per_s", "input_tok_per_s", "vector_per_s", "audio_min_per_s",
    "goodput_req_per_s", "request_per_s",
)  # fmt: skip
# rules that a growing backlog breaks sooner or later, whatever this window shows
_BROKEN_BY_OVERLOAD = (*LATENCIES, "slo_attainment", "goodput_req_per_s")
_ENDS = {"max": ("at most", "above"), "min": ("at least", "below")}


@dataclass(frozen=True, slots=True)
class _Rule:
    """One limit of an SLO block, resolved to the estimate it is held against."""

    rule: str
    metric: str
    stat: str
    population: str
    scope: str
    limit: float
    direction: Direction


def judge_slo(summary: PointSummary, slo: Slo) -> tuple[Verdict, ...]:
    """Every rule of the scenario's SLO, then those of classes with limits of their own.

    With a single class its own limits replace the scenario's by metric name.
    """
    own = summary.meta.class_slos
    if len(summary.meta.classes) == 1:
        rules = list(_rules(effective_slo(slo, own.get(summary.meta.classes[0])), "all"))
    else:
        rules = list(_rules(slo, "all"))
        for name in summary.meta.classes:
            rules += _rules(own[name], name) if name in own else ()
    return tuple(_judge(summary, rule) for rule in rules)


def _rules(slo: Slo, scope: str) -> Iterator[_Rule]:
    start = "slo-" if scope == "all" else f"slo-{scope}-"
    for metric in LATENCIES:
        limits: LatencyLimits | RtfLimits | None = getattr(slo, metric)
        population = "gaps" if metric in GAPS else "valid"
        for stat in LatencyLimits.model_fields if limits else ():
            limit = getattr(limits, stat)
            if limit is not None:
                name = f"{start}{metric}-{stat}"
                yield _Rule(name, metric, stat, population, scope, limit, "max")
    if slo.attainment is not None:
        name = f"{start}attainment"
        yield _Rule(name, "slo_attainment", "ratio", "valid", scope, slo.attainment, "min")
    for metric in _SHARES:
        block = getattr(slo, metric)
        if block is not None:
            yield _Rule(f"{start}{metric}", metric, "ratio", "valid", scope, block.max, "max")
    for metric in _FITNESS:
        block = getattr(slo, metric)
        if block is not None:
            yield _Rule(f"{start}{metric}", metric, "ratio", "complete", scope, block.min, "min")
    for metric in _RATES:
        block = getattr(slo, metric)
        if block is not None:
            population = "valid" if metric == "goodput_req_per_s" else "system"
            yield _Rule(f"{start}{metric}", metric, "rate", population, scope, block.min, "min")
    if slo.uptime is not None and scope == "all":
        objective = slo.uptime.objective
        yield _Rule(f"{start}uptime", "uptime", "ratio", "windows", "all", objective, "min")


def _judge(summary: PointSummary, rule: _Rule) -> Verdict:
    key = {"scope": rule.scope, "population": rule.population}
    shown = summary.find(rule.metric, rule.stat, **key)
    bound = summary.bound(rule.metric, rule.stat, **key)
    if not summary.is_valid:
        reason = f"the measurement is not valid: {summary.invalid_reasons[0]}"
        return _verdict(summary, rule, shown, Outcome.INVALID, reason)
    if not summary.is_stable and rule.metric in _BROKEN_BY_OVERLOAD:
        before, after = summary.backlog
        reason = (
            "offered more than the capacity: requests in flight grew from"
            f" {before:.0f} to {after:.0f} in the window"
        )
        return _verdict(summary, rule, shown, Outcome.FAIL, reason)
    if shown is None or bound is None or shown.value is None:
        reason = shown.reason if shown else _missing(rule)
        return _verdict(summary, rule, shown, Outcome.INCONCLUSIVE, reason)
    if rule.stat == "max":
        return _observed(summary, rule, shown)
    if (rule.direction, rule.limit) in (("max", 0.0), ("min", 1.0)) and shown.unit == "ratio":
        return _none_allowed(summary, rule, shown, bound)
    return _by_bounds(summary, rule, shown, bound)


def _by_bounds(summary: PointSummary, rule: _Rule, shown: Estimate, bound: Estimate) -> Verdict:
    """The bound on the limit's side passes, the opposite one fails, between them it is open."""
    is_max = rule.direction == "max"
    keeping, breaking = (bound.high, bound.low) if is_max else (bound.low, bound.high)
    limit, unit = rule.limit, shown.unit
    within, beyond = _ENDS[rule.direction]
    seen = f"{statistic(shown)} is {amount(shown.value, unit)}"
    allowed = f"limit {amount(limit, unit)}"
    if keeping is not None and (keeping <= limit if is_max else keeping >= limit):
        kept = f"{within} {amount(keeping, unit)}"
        reason = f"{seen}, with 95% confidence {kept} ({allowed}, n={shown.n:,})"
        return _verdict(summary, rule, shown, Outcome.PASS, reason, keeping)
    if breaking is not None and (breaking > limit if is_max else breaking < limit):
        least = f"{'at least' if is_max else 'at most'} {amount(breaking, unit)}"
        sure = f"with 95% confidence {least}, {beyond} the limit of {amount(limit, unit)}"
        if math.isinf(breaking):
            sure = f"{shown.reason.removeprefix('not reached: ')} (limit {amount(limit, unit)})"
        reason = f"{seen}: {sure}" if math.isinf(breaking) else f"{seen}, {sure}"
        reason += f" (n={shown.n:,})"
        return _verdict(summary, rule, shown, Outcome.FAIL, reason, breaking)
    if keeping is None:
        reason = f"{seen} without an interval ({allowed}): {bound.reason or 'too few observations'}"
    else:
        low, high = amount(bound.low, unit), amount(bound.high, unit)
        reason = (
            f"{seen} and may lie between {low} and {high}, which holds the limit of"
            f" {amount(limit, unit)} (n={shown.n:,}); measure longer"
        )
    return _verdict(summary, rule, shown, Outcome.INCONCLUSIVE, reason, keeping)


def _observed(summary: PointSummary, rule: _Rule, shown: Estimate) -> Verdict:
    """A maximum is about what was seen: no confidence about what was not."""
    assert shown.value is not None
    limit = amount(rule.limit, shown.unit)
    if shown.value > rule.limit:
        what = "a request failed" if math.isinf(shown.value) else f"one took {_of(shown)}"
        reason = f"{what}, above the limit of {limit} for every one of {shown.n:,} observed"
        return _verdict(summary, rule, shown, Outcome.FAIL, reason, shown.value)
    reason = f"none of {shown.n:,} observed was above {limit}; the largest was {_of(shown)}"
    return _verdict(summary, rule, shown, Outcome.PASS, reason, shown.value)


def _none_allowed(summary: PointSummary, rule: _Rule, shown: Estimate, bound: Estimate) -> Verdict:
    """A limit of 0 % asks whether any was observed; the bound says what that demonstrates."""
    assert shown.value is not None
    end = bound.high if rule.direction == "max" else bound.low
    if shown.value == rule.limit:
        shows = f"{_ENDS[rule.direction][0]} {amount(end, 'ratio')}"
        reason = (
            f"{statistic(shown)} is {_of(shown)}: no exception among {shown.n:,}"
            f" (which shows {shows} with 95% confidence)"
        )
        return _verdict(summary, rule, shown, Outcome.PASS, reason, end)
    count = round(abs(shown.value - rule.limit) * shown.n)
    reason = (
        f"{statistic(shown)} is {_of(shown)}: {count:,} of {shown.n:,} where the limit of"
        f" {amount(rule.limit, 'ratio')} allows no exception"
    )
    return _verdict(summary, rule, shown, Outcome.FAIL, reason, shown.value)


def _verdict(
    summary: PointSummary,
    rule: _Rule,
    estimate: Estimate | None,
    outcome: Outcome,
    reason: str,
    bound: float | None = None,
) -> Verdict:
    value = estimate.value if estimate else None
    # how far the bound lies from the value is the distance this sample can tell apart
    is_told = bound is not None and value is not None and rule.stat != "max"
    visible = abs(bound - value) if is_told and bound is not None and value is not None else None
    return Verdict(
        rule=rule.rule,
        outcome=outcome,
        reason=reason,
        estimate=estimate,
        limit=rule.limit,
        direction=rule.direction,
        bound=bound,
        smallest_visible=visible if visible is not None and math.isfinite(visible) else None,
        point=summary.meta.name,
    )


def _of(e: Estimate) -> str:
    return amount(e.value, e.unit)


def _missing(rule: _Rule) -> str:
    if rule.metric == "itl":
        return "a chunk is not one token here, so there is no itl; limit icl or tpot instead"
    if rule.stat == "max":
        return "some requests were cut by the end of the run, so the largest is unknown"
    return f"{rule.metric} {rule.stat} was not measured for {rule.scope}"

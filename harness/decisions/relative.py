"""A relative rule: did the candidate get worse than allowed, yes, no, or cannot tell.

fail: Holm-adjusted p < alpha and the mean change is at or beyond the limit (significant and
material). pass: the change is shown to lie below the limit (non-inferiority p <= alpha).
inconclusive: neither, with the reason. d = log(candidate / baseline), positive = worse, swapped
where higher is better; limits likewise: log(1 + max_increase), -log(1 - max_decrease).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.analysis.intervals import Interval
from harness.analysis.multiplicity import holm
from harness.analysis.power import smallest_visible
from harness.decisions.looks import Look
from harness.decisions.wording import percent_change
from harness.estimate import Outcome
from harness.scenario.gate import HIGHER_IS_BETTER, RelativeRule


class Shift(Protocol):
    """What a test of paired blocks or of sessions can say about the change."""

    @property
    def mean(self) -> float: ...
    def p_worse(self, x: float = 0.0) -> float: ...
    def p_better(self, x: float = 0.0) -> float: ...
    def p_two_sided(self) -> float: ...
    def interval(self, level: float = 0.95) -> Interval: ...
    def upper(self, alpha: float = 0.05) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the runs gave for one rule. shift: None where they give no test, then why.

    k: valid blocks, or stored sessions.  sd: of d, so that sd / sqrt k is the error of the mean.
    is_exact: by subset means, whose smallest p depends on k.  broken: the rule fails whatever the
    test says (not reached, or saturated, in the candidate only).
    """

    rule: RelativeRule
    shift: Shift | None
    k: int = 0
    sd: float = math.nan
    why: str = ""
    broken: str = ""
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    """A relative rule's answer. Changes are ratios - 1 of the metric itself: +0.05 is 5 % more.

    effect, ci: of the metric; worse: the same change counted so that positive is worse.
    """

    rule: RelativeRule
    outcome: Outcome
    reason: str
    k: int = 0
    effect: float | None = None
    ci: tuple[float | None, float | None] = (None, None)
    upper: float | None = None
    p: float | None = None
    p_holm: float | None = None
    p_noninferior: float | None = None
    mde_after: float | None = None
    is_improved: bool = False


def worse(metric: str, baseline: float, candidate: float) -> float:
    """log(candidate / baseline), swapped where higher is better."""
    d = math.log(candidate) - math.log(baseline)
    return -d if metric in HIGHER_IS_BETTER else d


def limit_log(rule: RelativeRule) -> float:
    """The limit on the same scale."""
    if rule.metric in HIGHER_IS_BETTER:
        return -math.log1p(-rule.limit_ratio)
    return math.log1p(rule.limit_ratio)


def as_change(metric: str, d: float | None) -> float | None:
    """A d as the change of the metric itself, ratio - 1."""
    if d is None:
        return None
    return math.expm1(-d if metric in HIGHER_IS_BETTER else d)


def judge_relative(found: Sequence[Evidence], look: Look) -> tuple[Judged, ...]:
    """All rules together: a rule without a test counts in Holm's m with p = 1."""
    p_values = [e.shift.p_two_sided() if e.shift else 1.0 for e in found]
    adjusted = holm(p_values)
    return tuple(
        _judge(e, look, p, p_holm, len(found))
        for e, p, p_holm in zip(found, p_values, adjusted, strict=True)
    )


def _judge(e: Evidence, look: Look, p: float, p_holm: float, m: int) -> Judged:
    if e.broken:
        return Judged(e.rule, Outcome.FAIL, e.broken, e.k)
    if e.shift is None:
        return Judged(e.rule, Outcome.INCONCLUSIVE, e.why, e.k)
    delta, metric = limit_log(e.rule), e.rule.metric
    ends = e.shift.interval()
    ci = (as_change(metric, ends.low), as_change(metric, ends.high))
    if metric in HIGHER_IS_BETTER:
        ci = ci[::-1]
    # where even the largest change could not be told, no size is "the smallest visible"
    is_blind = e.is_exact and not look.can_fail(m)
    visible = None if is_blind else smallest_visible(e.sd, e.k, look.alpha)
    row = Judged(
        e.rule, Outcome.INCONCLUSIVE, "", e.k, as_change(metric, e.shift.mean), ci,
        as_change(metric, e.shift.upper(look.alpha)), p, p_holm, e.shift.p_better(delta),
        visible, e.shift.mean < 0 and p_holm < look.alpha,
    )  # fmt: skip
    is_material = e.shift.mean >= delta - 1e-12
    if p_holm < look.alpha + 1e-12 and is_material:
        return replace(row, outcome=Outcome.FAIL, reason=_said(row, "significant and material"))
    if row.p_noninferior is not None and row.p_noninferior <= look.alpha + 1e-12:
        word = "shown to be better" if row.is_improved else "shown to stay within the limit"
        return replace(row, outcome=Outcome.PASS, reason=_said(row, word))
    return replace(row, reason=_said(row, _open(row, look, m if e.is_exact else 0, is_material)))


def _open(row: Judged, look: Look, m: int, is_material: bool) -> str:
    """Why neither could be said. m: rules that share alpha, 0 where no p is too coarse."""
    if m and not (look.can_fail(m) and look.can_pass):
        least = 2.0 ** (1 - row.k) * m
        return (
            f"too few blocks, {row.k} can reach p = {min(1.0, least):.2g} at best over {m}"
            f" rule{'s' if m > 1 else ''}, and {look.alpha:.3g} is asked"
        )
    if is_material:
        return "beyond the limit, but not told apart from noise"
    if row.p_holm is not None and row.p_holm < look.alpha and not row.is_improved:
        return "a change, but not shown to stay within the limit"
    return "not told apart from the limit"


def _said(row: Judged, why: str) -> str:
    change = percent_change(row.effect)
    low, high = (percent_change(end) for end in row.ci)
    ends = f"95% CI {low} to {high}" if row.ci[0] is not None else "no 95% interval"
    return f"{change} ({ends}), limit {percent_change(_limit(row.rule))}: {why}"


def _limit(rule: RelativeRule) -> float:
    return -rule.limit_ratio if rule.metric in HIGHER_IS_BETTER else rule.limit_ratio

"""The blocks of a gate as a picture: each block's ratio, and the mean that a rule judges."""

from __future__ import annotations

import math
from typing import NamedTuple

from harness.decisions import wording
from harness.decisions.gate import GateResult, RuleResult
from harness.decisions.gate_words import rule_name
from harness.scenario.gate import HIGHER_IS_BETTER
from reports.view import Chart, Limit, Line, Panel, digits

MOST_DRAWN = 6
_GAP, _STEP = 0.03, 0.045  # of the blocks' width: before the means, and between two of them


class Mean(NamedTuple):
    """In percent of the baseline, with its 95 % interval."""

    low: float
    value: float
    high: float


def block_chart(result: GateResult) -> Chart | None:
    """Candidate over baseline, block by block, and the means beside them."""
    rules = [rule for rule in result.rules if rule.judged and len(_ratios(rule)) > 1][:MOST_DRAWN]
    if not rules:
        return None
    means = {rule.id: mean for rule in rules if (mean := _mean(rule)) is not None}
    ticks = tuple(sorted({x for rule in rules for x, _ in _ratios(rule)}))
    width = ticks[-1] - ticks[0] + 1
    begin = end = ticks[-1]
    lines = []
    if means:
        begin, end = begin + _GAP * width, begin + (_GAP + (len(rules) + 1) * _STEP) * width
    for k, rule in enumerate(rules):
        lines.append(_line(rule, begin + (k + 1) * _STEP * width, means.get(rule.id)))
    lines.append(Line("no change", (ticks[0], end), (100.0, 100.0), is_guide=True))
    told = {rule.id: f"{rule_name(rule)}: {_in_words(rule)}." for rule in rules}
    limits = tuple(
        Limit(100 * (1 + _worst(r)), f"{rule_name(r)} limit {wording.percent_change(_worst(r))}")
        for r in rules
    )
    judged = ", shaded with its 95% interval," if means else ""
    return Chart(
        id="chart-blocks",
        title="Candidate against baseline, block by block",
        caption=told[rules[0].id],
        definition=(
            "One mark a block and rule: the candidate's number over the baseline's, both replaying"
            f" one schedule. A rule judges the mean of its marks{judged} and not each of them."
        ),
        description=" ".join(told.values()),
        x_label="block",
        panels=(
            Panel("candidate, % of baseline", tuple(lines), "log", limits,
                  bands=((begin, end, "mean"),) if means else ()),
        ),
        x_ticks=ticks,
        own_data=(
            ("block", "candidate, % of baseline", "low", "high"),
            tuple((rule_name(rule), _rows(rule)) for rule in rules),
        ),
    )  # fmt: skip


def _ratios(rule: RuleResult) -> list[tuple[float, float]]:
    """Number of the block, candidate in percent of its baseline."""
    return [
        (b.index + 1.0, 100 * b.candidate / b.baseline)
        for b in rule.blocks
        if b.baseline and b.candidate and math.isfinite(b.candidate)
    ]


def _mean(rule: RuleResult) -> Mean | None:
    """None where it has no interval."""
    judged = rule.judged
    low, high = judged.ci if judged is not None else (None, None)
    if judged is None or judged.effect is None or low is None or high is None:
        return None
    return Mean(100 * (1 + low), 100 * (1 + judged.effect), 100 * (1 + high))


def _line(rule: RuleResult, at: float, mean: Mean | None) -> Line:
    """Its blocks, a gap, and its mean at x `at`."""
    xs, ys = zip(*_ratios(rule), strict=True)
    if mean is None:
        return Line(rule_name(rule), xs, ys, has_marks=True)
    none = (math.nan,) * (len(xs) + 1)
    return Line(
        rule_name(rule), (*xs, xs[-1], at), (*ys, math.nan, mean.value), (*none, mean.low),
        (*none, mean.high), has_marks=True,
    )  # fmt: skip


def _rows(rule: RuleResult) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = [(f"{x:.0f}", digits(y), "", "") for x, y in _ratios(rule)]
    mean = _mean(rule)
    if mean is not None:
        rows.append(("mean", digits(mean.value), digits(mean.low), digits(mean.high)))
    return tuple(rows)


def _in_words(rule: RuleResult) -> str:
    ratios = [y for _, y in _ratios(rule)]
    single = f"{min(ratios):.1f} to {max(ratios):.1f}%"
    mean = _mean(rule)
    if mean is None:
        return f"candidate at {single} of the baseline in {len(ratios)} blocks"
    return (
        f"candidate at {mean.value:.1f}% of the baseline (95% CI {mean.low:.1f} to"
        f" {mean.high:.1f}%), single blocks at {single}"
    )


def _worst(rule: RuleResult) -> float:
    """The change at its limit: above zero, or below where more is better."""
    limit = rule.judged.rule.limit_ratio if rule.judged else 0.0
    return -limit if rule.metric in HIGHER_IS_BETTER else limit

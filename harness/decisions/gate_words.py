"""The sentence of a gate: answer - interval - rule in brackets - the count - what was compared."""

from __future__ import annotations

from harness.decisions.comparison import Comparison, Row, outcome_of
from harness.decisions.gate import GateResult, RuleResult
from harness.decisions.headline import Headline
from harness.decisions.wording import capital, counted, metric_name, percent_change, tally
from harness.estimate import Estimate, Outcome, Verdict
from harness.scenario.gate import HIGHER_IS_BETTER


def gate_headline(comparison: Comparison, result: GateResult) -> Headline:
    """One sentence; of an invalid gate its reason and nothing else."""
    if result.outcome is Outcome.INVALID:
        return Headline("INVALID: no verdict.", f"{capital(result.reason)}.", "invalid")
    worst = _gravest(result)
    word = result.outcome.value.upper()
    count = tally(rule.outcome for rule in result.rules)
    against = _compared(comparison)
    if result.outcome is Outcome.PASS:
        answer = "PASS: all rules are kept." if len(result.rules) > 1 else "PASS: the rule is kept."
        closest = f"Closest: {rule_name(worst)} {worst.reason}." if worst.judged else ""
        return Headline(answer, f"{closest} {_design(result)} {against}".strip(), "pass")
    if worst.judged is None or worst.judged.effect is None:
        detail = f"{capital(worst.reason)}. {count} {_design(result)} {against}"
        return Headline(f"{word}: {rule_name(worst)}.", detail, result.outcome.value)
    return Headline(
        f"{word}: {metric_name(worst.metric, worst.stat)} {_direction(worst)}",
        f"{_interval(worst)} {_bracket(worst, result)}. {_visible(worst)}{count} {against}",
        result.outcome.value,
    )


def comparison_headline(comparison: Comparison) -> Headline:
    """Of a comparison without rules: the gravest row, or why there is no verdict."""
    outcome = outcome_of(comparison)
    if not comparison.rows:
        return Headline("INVALID: no verdict.", "No metric was measured by both.", "invalid")
    row = max(
        (r for r in comparison.rows if r.outcome is outcome), key=_row_beyond
    )  # fmt: skip
    low, high = row.ci
    ends = (
        f"(95% CI {percent_change(low)} to {percent_change(high)})"
        if low is not None
        else "(no 95% interval)"
    )
    finding = f"{metric_name(row.metric, row.stat)} {percent_change(row.effect)}"
    against = _compared(comparison)
    if outcome is Outcome.PASS:
        answer = "PASS: every metric is shown to stay within its default limit."
        return Headline(answer, f"Closest: {finding} {ends}. {against}", "pass")
    why = f"{capital(row.reason.rpartition(': ')[2] if row.p is not None else row.reason)}. "
    return Headline(f"{outcome.value.upper()}: {finding}", f"{ends} {why}{against}", outcome.value)


def _compared(comparison: Comparison) -> str:
    """What was set against what, where the names of the arms do not say so themselves."""
    if (comparison.candidate, comparison.baseline) == ("candidate", "baseline"):
        return "The arms are comparable."
    return f"Candidate {comparison.candidate}, baseline {comparison.baseline}: comparable."


def rule_name(rule: RuleResult) -> str:
    """`TTFT p50`, with its stage unless it is the main one; its id if the metric has no name."""
    name = metric_name(rule.metric, rule.stat)
    if metric_name(rule.metric) == rule.metric:  # no metric that people know by a name
        name = rule.id
    return f"{name}, {rule.stage}" if rule.stage not in ("", "main") else name


def _row_beyond(row: Row) -> float:
    effect = row.effect or 0.0
    worse = -effect if row.metric in HIGHER_IS_BETTER else effect
    return worse / (row.limit or 1.0)


def rule_verdict(rule: RuleResult) -> Verdict:
    """A rule as the verdict that tables, JSON and JUnit know; a change is in the unit `ratio`."""
    if rule.verdict is not None:
        return rule.verdict
    judged = rule.judged
    if judged is None:
        return Verdict(rule.id, rule.outcome, rule.reason)
    is_up = rule.metric in HIGHER_IS_BETTER
    limit = judged.rule.limit_ratio
    change = Estimate(
        rule.metric, rule.stat, "ratio", judged.effect, judged.ci[0], judged.ci[1], 0.95, judged.k,
        float(judged.k), "means of subsets of paired blocks", judged.reason, "all", "blocks",
    )  # fmt: skip
    return Verdict(
        rule.id, rule.outcome, rule.reason, change, -limit if is_up else limit,
        "min" if is_up else "max", judged.upper, judged.mde_after,
    )  # fmt: skip


def _gravest(result: GateResult) -> RuleResult:
    """The rule that made the outcome; of several the one furthest beyond its limit."""

    def beyond(rule: RuleResult) -> float:
        if rule.judged is None or rule.judged.effect is None:
            return float("inf") if result.outcome is Outcome.FAIL else float("-inf")
        effect = rule.judged.effect
        return (-effect if rule.metric in HIGHER_IS_BETTER else effect) / max(
            rule.judged.rule.limit_ratio, 1e-9
        )

    own = [r for r in result.rules if r.outcome is result.outcome]
    return max(own, key=beyond)


def _direction(rule: RuleResult) -> str:
    assert rule.judged is not None
    effect = rule.judged.effect or 0.0
    if rule.outcome is Outcome.INCONCLUSIVE:
        return percent_change(effect)
    size = percent_change(abs(effect)).lstrip("+")
    if rule.metric in HIGHER_IS_BETTER:
        return f"is {size} {'lower' if effect < 0 else 'higher'}"
    return f"is {size} {'slower' if effect > 0 else 'faster'}"


def _interval(rule: RuleResult) -> str:
    assert rule.judged is not None
    low, high = rule.judged.ci
    if low is None:
        return "(no 95% interval)"
    return f"(95% CI {percent_change(low)} to {percent_change(high)})"


def _bracket(rule: RuleResult, result: GateResult) -> str:
    assert rule.judged is not None
    limit = percent_change(rule.judged.rule.limit_ratio).lstrip("+")
    return (
        f"[limit {limit}, {counted(rule.judged.k, 'block')}, Holm, alpha {result.look.alpha:.3g}]"
    )


def _visible(rule: RuleResult) -> str:
    assert rule.judged is not None
    if rule.outcome is not Outcome.INCONCLUSIVE:
        return ""
    seen = rule.judged.mde_after
    told = f"{capital(rule.judged.reason.rpartition(': ')[2])}. "
    if seen is None:
        return told
    size = percent_change(seen).lstrip("+")
    after = counted(rule.judged.k, "block")
    return f"{told}After {after} the smallest change this design can see is {size}. "


def _design(result: GateResult) -> str:
    lost = f", {len(result.discarded)} discarded" if result.discarded else ""
    kind = "paired block" if result.is_paired else "run"
    against = "" if result.is_paired else " against stored sessions"
    return f"[{counted(result.num_valid, kind)}{against}{lost}, alpha {result.look.alpha:.3g}]."

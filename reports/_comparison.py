"""The comparison section: rules, observations, blocks, both distributions, and what was checked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis import Curve
from harness.decisions import wording
from harness.decisions.comparison import Comparison, Row
from harness.decisions.gate import GateResult, RuleResult
from harness.decisions.gate_words import rule_name
from harness.estimate import SEVERITY, Outcome
from harness.scenario.gate import HIGHER_IS_BETTER
from harness.units import brief
from reports import view
from reports._blocks import block_chart
from reports._text import amount, name_of
from reports.view import Align, Block, Cell, Chart, Definitions, Line, Panel, Table, folded

LEFT: Align = "left"
RIGHT: Align = "right"
_COLUMNS: tuple[tuple[str, Align], ...] = (
    ("rule", LEFT), ("verdict", LEFT), ("limit", RIGHT), ("baseline", RIGHT),
    ("candidate", RIGHT), ("change", RIGHT), ("95% interval", RIGHT),
    ("smallest visible", RIGHT),
)  # fmt: skip


def rule_table(result: GateResult) -> Table:
    """One row a rule, the gravest first."""
    ordered = sorted(result.rules, key=lambda r: SEVERITY.index(r.outcome))
    rows = tuple(_rule_row(rule) for rule in ordered)
    looks = ", ".join(str(look.k) for look in result.looks)
    note = (
        f"Decided after {wording.counted(result.look.k, 'block' if result.is_paired else 'run')}"
        f" (looks at {looks}), alpha {brief(result.look.alpha)} here."
        " A relative rule fails when its change is significant (Holm) and at or beyond the limit,"
        " passes when it is shown to stay within it, else it is inconclusive. smallest visible:"
        " the least change that so many blocks, scattering as these did, find 8 times of 10."
    )
    if not any(row.cells[-1].text for row in rows):
        rows = tuple(view.Row(row.cells[:-1], row.id, row.detail) for row in rows)
        return Table(
            "verdicts", "Rules", _COLUMNS[:-1], rows, note.partition(" smallest visible")[0]
        )
    return Table("verdicts", "Rules", _COLUMNS, rows, note)


def observation_table(comparison: Comparison) -> Table | None:
    """Everything no rule names; of a comparison without rules, all of it."""
    if not comparison.rows:
        return None
    has_rules = comparison.result is not None
    stages = {row.stage for row in comparison.rows}
    columns: list[tuple[str, Align]] = [("metric", LEFT)]
    columns += [("stage", LEFT)] if len(stages) > 1 else []
    columns += [] if has_rules else [("verdict", LEFT), ("limit", RIGHT)]
    columns += [("baseline", RIGHT), ("candidate", RIGHT), ("change", RIGHT)]
    columns += [("95% interval", RIGHT), ("smallest visible", RIGHT)]
    columns += [("p", RIGHT)] if any(r.p is not None for r in comparison.rows) else []
    rows = tuple(_row(row, columns, has_rules) for row in comparison.rows)
    note = (
        "Never gates. ~ marks a change that is not told apart from noise; * one that survives"
        " Benjamini-Hochberg at a false discovery rate of 10%."
        if has_rules
        else "Limits are the defaults: 5% at p50, 10% at p95, 3% of a rate. ~ marks a change that"
        " is not told apart from noise."
    )
    title = "Other metrics" if has_rules else "Metrics"
    return Table("comparison", title, tuple(columns), rows, note)


def block_table(result: GateResult) -> Table | None:
    """The numbers behind it."""
    rules = [r for r in result.rules if r.judged and r.blocks]
    if not rules:
        return None
    columns: list[tuple[str, Align]] = [("block", RIGHT), ("order", LEFT)]
    for rule in rules:
        columns += [(f"{rule_name(rule)}, baseline", RIGHT), ("candidate", RIGHT)]
    rows = []
    for i, block in enumerate(rules[0].blocks):
        cells = [Cell(str(block.index + 1), block.index + 1.0), Cell(block.order)]
        for rule in rules:
            unit = _unit(rule.metric)
            cells += [_cell(v, unit) for v in (rule.blocks[i].baseline, rule.blocks[i].candidate)]
        rows.append(view.Row(tuple(cells), f"block-{block.index + 1}"))
    note = "A is the baseline. Both runs of a block replay one schedule; blocks differ in seed."
    return Table("blocks", "Blocks", tuple(columns), tuple(rows), note)


def overlays(comparison: Comparison) -> list[Chart]:
    """Both arms' distributions in one picture, all counted runs pooled."""
    names = (comparison.baseline, comparison.candidate)
    return [_overlay(pair, names) for pair in comparison.curves]


def check_list(comparison: Comparison) -> Definitions:
    """What had to agree between the arms, and what did not."""
    entries = []
    for name in comparison.checked:
        apart = [d for d in comparison.differences if d.startswith(name)]
        entries.append((name.replace("_", " "), "; ".join(apart) if apart else "agrees"))
    return Definitions("comparable", "Comparability", tuple(entries))


def discarded_table(result: GateResult) -> Table | None:
    if not result.discarded:
        return None
    rows = tuple(
        view.Row((Cell(str(i + 1), i + 1.0), Cell(why)), f"discarded-{i + 1}")
        for i, why in result.discarded
    )
    note = "Both runs of such a block are left out, and it is replaced; over one in five: invalid."
    return Table("discarded", "Discarded blocks", (("block", RIGHT), ("why", LEFT)), rows, note)


def comparison_blocks(comparison: Comparison) -> tuple[Block, ...]:
    """Everything of the section but the rules, which stand under the verdict."""
    result = comparison.result
    found: list[Block | None] = [
        *overlays(comparison),
        block_chart(result) if result else None,
        observation_table(comparison),
        *folded(block_table(result) if result else None),
        discarded_table(result) if result else None,
        check_list(comparison),
    ]
    return tuple(b for b in found if b is not None)


def _rule_row(rule: RuleResult) -> view.Row:
    unit = _unit(rule.metric)
    if rule.verdict is not None:
        e, v = rule.verdict.estimate, rule.verdict
        sign = "≤" if v.direction == "max" else "≥"
        limit = Cell(f"{sign} {amount(v.limit, e.unit if e else unit)}", v.limit)
        cells = [limit, Cell(""), _cell(rule.candidate, unit), Cell(""), Cell(""), Cell("")]
    elif rule.judged is None:
        cells = [Cell("") for _ in range(6)]
    else:
        j = rule.judged
        sign = "-" if rule.metric in HIGHER_IS_BETTER else "+"
        size = wording.percent_change(j.rule.limit_ratio).lstrip("+")
        cells = [
            Cell(f"{sign}{size}", j.rule.limit_ratio), _cell(rule.baseline, unit),
            _cell(rule.candidate, unit), _change(j.effect, False), Cell(_span(j.ci)),
            _size(j.mde_after),
        ]  # fmt: skip
    told = _why(rule)
    head = [Cell(rule_name(rule)), Cell(rule.outcome.value, outcome=rule.outcome.value)]
    return view.Row((*head, *cells), rule.id, told)


def _why(rule: RuleResult) -> str:
    """What the row's own numbers do not say already."""
    if rule.outcome not in (Outcome.INCONCLUSIVE, Outcome.FAIL):
        return ""
    if rule.judged is not None and rule.judged.effect is not None:
        return rule.reason.partition(": ")[2]
    return rule.reason


def _row(row: Row, columns: Sequence[tuple[str, Align]], has_rules: bool) -> view.Row:
    is_noise = row.p is None or row.p > 0.05
    known = {
        "metric": Cell(name_of(row.metric) + (f" {row.stat}" if row.stat != "rate" else "")),
        "stage": Cell(row.stage),
        "verdict": Cell(row.outcome.value, outcome=row.outcome.value),
        "limit": _size(row.limit),
        "baseline": _cell(row.baseline, row.unit), "candidate": _cell(row.candidate, row.unit),
        "change": _change(row.effect, is_noise, row.is_flagged),
        "95% interval": Cell(_span(row.ci)), "smallest visible": _size(row.mde),
        "p": Cell("" if row.p is None else brief(row.p, 2), row.p),
    }  # fmt: skip
    anchor = f"compare-{row.stage}-{row.metric}-{row.stat}"
    told = "" if has_rules or row.outcome is Outcome.PASS else row.reason
    return view.Row(tuple(known[name] for name, _ in columns), anchor, told)


def _overlay(pair: tuple[Curve, Curve], names: tuple[str, str]) -> Chart:
    base, cand = pair
    is_cdf = base.kind == "cdf"
    lines = []
    for curve, name in zip(pair, names, strict=True):
        points = [
            (v * 1e3, x * 100) if is_cdf else (x, v * 1e3)
            for x, v in zip(curve.x, curve.value, strict=True)
            if math.isfinite(v) and (v > 0 or is_cdf)
        ]
        xs, ys = zip(*points, strict=True) if points else ((), ())
        lines.append(Line(name, xs, ys, is_step=is_cdf))
    title = name_of(base.metric)
    middle = [_middle(curve) for curve in pair]
    caption = (
        f"Median {amount(middle[0], 's')} with {names[0]}, {amount(middle[1], 's')} with"
        f" {names[1]}; {base.n:,} and {cand.n:,} requests."
    )
    if is_cdf:
        panel = Panel("% at or below", tuple(lines))
        x_label = f"{title}, milliseconds"
    else:
        panel, x_label = Panel("milliseconds", tuple(lines), "log"), "percentile of requests"
    told = "answered requests" if is_cdf else "valid requests, a failure counts as infinitely late"
    return Chart(
        id=f"chart-both-{base.metric}-{base.kind}",
        title=f"{title}, both arms" + ("" if is_cdf else ", by percentile"),
        caption=caption,
        definition=f"All counted runs of an arm pooled. Population: {told}.",
        description=caption,
        x_label=x_label,
        panels=(panel,),
        x_scale="linear" if is_cdf else "nines",
    )


def _middle(curve: Curve) -> float | None:
    at = min(range(len(curve.x)), key=lambda i: abs(curve.x[i] - 0.5))
    return curve.value[at]


_RATE_UNITS = {
    "output_tok_per_s": "tok/s", "input_tok_per_s": "tok/s", "vector_per_s": "vec/s",
    "audio_min_per_s": "min/s",
}  # fmt: skip


def _unit(metric: str) -> str:
    if metric in ("error_rate", "throttle_rate", "slo_attainment"):
        return "ratio"
    if metric.endswith("_per_s"):
        return _RATE_UNITS.get(metric, "req/s")
    return "s/s" if metric == "rtf" else "s"


def _cell(value: float | None, unit: str) -> Cell:
    if value is None:
        return Cell("")
    return Cell(amount(value, unit), value if math.isfinite(value) else None)


def _change(ratio: float | None, is_noise: bool, is_flagged: bool = False) -> Cell:
    if ratio is None:
        return Cell("")
    mark = "*" if is_flagged else "~" if is_noise else ""
    return Cell(f"{mark}{wording.percent_change(ratio)}", ratio)


def _size(ratio: float | None) -> Cell:
    return Cell("" if ratio is None else wording.percent_change(ratio).lstrip("+"), ratio)


def _span(ends: tuple[float | None, float | None]) -> str:
    if ends[0] is None or ends[1] is None:
        return ""
    return f"{wording.percent_change(ends[0])} to {wording.percent_change(ends[1])}"

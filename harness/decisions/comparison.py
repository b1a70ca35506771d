"""Two measurements side by side, metric by metric: what a report and `compare` print.

Paired blocks of one run carry a verdict each by the same rules as a gate. Metrics that no rule
names are observations: their p-values go through Benjamini-Hochberg at q = .10 and gate nothing.
Two runs apart in time differ by more than their requests show, and how much is not known from two:
their ratio is printed with the interval of these two runs, and the verdict is inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.multiplicity import benjamini_hochberg
from harness.analysis.run_sample import RunSample
from harness.analysis.sessions import log_ratio
from harness.analysis.summary import Curve, PointSummary
from harness.decisions.gate import Block, GateResult, rule_evidence
from harness.decisions.looks import Look
from harness.decisions.migration import Migration
from harness.decisions.relative import Judged, judge_relative
from harness.estimate import Estimate, Outcome
from harness.scenario.gate import HIGHER_IS_BETTER, RelativeRule

# decisions.md: 5 % p50, 10 % p95, 3 % throughput
DEFAULT_LIMITS = {"p50": 0.05, "p95": 0.10, "rate": 0.03}
SHOWN = (
    ("ttft", "p50"), ("ttft", "p95"), ("tpot", "p50"), ("tpot", "p95"), ("e2e_latency", "p50"),
    ("e2e_latency", "p95"), ("rtf", "p50"), ("rtf", "p95"), ("output_tok_per_s", "rate"),
    ("vector_per_s", "rate"), ("audio_min_per_s", "rate"), ("goodput_req_per_s", "rate"),
)  # fmt: skip
OF_LIMITS = ("goodput_req_per_s", "slo_attainment")
ALONE = (
    "one run against one: how much two runs of the same thing differ is not known from these two,"
    " so no change can be told from that; measure both in blocks (a scenario with a gate)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of both arms. effect, ci: change of the metric, ratio - 1.  limit: in the worse
    direction.  is_flagged: an observation that survives Benjamini-Hochberg.  mde: the least change
    that this many blocks could have told, None where nothing says.
    """

    metric: str
    stat: str
    unit: str
    baseline: float | None
    candidate: float | None
    effect: float | None
    ci: tuple[float | None, float | None]
    outcome: Outcome
    reason: str
    p: float | None = None
    limit: float | None = None
    mde: float | None = None
    is_flagged: bool = False
    stage: str = "main"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms by name, what was checked between them, and every row.

    curves: of both arms pooled, baseline first, one pair a metric.  result: of a gate, else None.
    rows: observations beside a gate's rules, or everything `compare` tells.  migration: what either
    side cost, where that was asked.
    """

    baseline: str
    candidate: str
    checked: tuple[str, ...]
    differences: tuple[str, ...]
    rows: tuple[Row, ...]
    curves: tuple[tuple[Curve, Curve], ...] = ()
    result: GateResult | None = None
    alpha: float = 0.05
    num_blocks: int = 0
    migration: Migration | None = None

    @property
    def is_comparable(self) -> bool:
        return not self.differences


def paired_rows(
    blocks: Sequence[Block], alpha: float = 0.05, without: Sequence[tuple[str, str, str]] = ()
) -> tuple[Row, ...]:
    """Every usual metric of every stage, judged by its default limit; sound blocks only.

    without: (metric, stat, stage) that a rule judges already.
    """
    if not blocks:
        return ()
    rules = [
        _default_rule(metric, stat, stage)
        for stage in blocks[0].candidate
        for metric, stat in SHOWN
        if (metric, stat, stage) not in without and _is_there(blocks, metric, stat, stage)
    ]
    evidence = [rule_evidence(rule, blocks) for rule in rules]
    # a table of observations is not the declared family of a gate: each at alpha, BH marks it
    judged = [judge_relative([e], Look(len(blocks), alpha))[0] for e in evidence]
    p_values = [j.p if j.p is not None else 1.0 for j in judged]
    flags = benjamini_hochberg(p_values)
    rows = [_paired_row(blocks, j, is_flagged) for j, is_flagged in zip(judged, flags, strict=True)]
    return tuple(row for row in rows if row.baseline is not None)


def _is_there(blocks: Sequence[Block], metric: str, stat: str, stage: str) -> bool:
    """Whether the requests have such a thing: what no run could show is in no family of tests."""
    runs = [run[stage] for b in blocks for run in (b.baseline, b.candidate)]
    return any(run.number(metric, stat).n or run.number(metric, stat).value for run in runs)


def lone_rows(base: Sequence[PointSummary], other: Sequence[PointSummary]) -> tuple[Row, ...]:
    """Points matched by name: the ratio of their estimates, its interval from within the runs."""
    rows = []
    named = {s.meta.name: s for s in other}
    for summary in base:
        twin = named.get(summary.meta.name)
        if twin is None:
            continue
        for metric, stat in SHOWN:
            a, b = (_estimate(s, metric, stat) for s in (summary, twin))
            if a is None or b is None or a.value is None or b.value is None:
                continue
            rows.append(_lone_row(a, b, summary.meta.name))
    return tuple(rows)


def without_goodput(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Of two runs that call other requests good, both numbers but no change between them."""
    why = "the two were held to other limits (slo), so their good requests are not the same thing"
    return tuple(
        replace(
            row, effect=None, ci=(None, None), outcome=Outcome.INCONCLUSIVE, reason=why, p=None,
            mde=None, is_flagged=False,
        )
        if row.metric in OF_LIMITS
        else row
        for row in rows
    )  # fmt: skip


def _default_rule(metric: str, stat: str, stage: str) -> RelativeRule:
    limit, is_up = DEFAULT_LIMITS[stat], metric in HIGHER_IS_BETTER
    data = {
        "kind": "relative", "id": f"{metric}-{stat}", "metric": metric, "stage": stage,
        "max_decrease" if is_up else "max_increase": f"{limit * 100:g}%",
    }  # fmt: skip
    return RelativeRule.model_validate(data | ({} if stat == "rate" else {"stat": stat}))


def _paired_row(blocks: Sequence[Block], judged: Judged, is_flagged: bool) -> Row:
    rule = judged.rule
    stat = rule.stat or "rate"
    stage = rule.stage or "main"
    values = [
        [runs[stage].number(rule.metric, stat).value for runs in (b.baseline, b.candidate)]
        for b in blocks
    ]
    base, cand = (_geometric([pair[arm] for pair in values]) for arm in (0, 1))
    return Row(
        rule.metric, stat, _unit(blocks[0].candidate[stage], rule.metric, stat), base, cand,
        judged.effect, judged.ci, judged.outcome, judged.reason, judged.p, rule.limit_ratio,
        judged.mde_after, is_flagged, stage,
    )  # fmt: skip


def _lone_row(a: Estimate, b: Estimate, stage: str) -> Row:
    shift, ends = log_ratio(a, b)
    low, high = (None if end is None else math.expm1(end) for end in (ends.low, ends.high))
    return Row(
        a.metric, a.stat, a.unit, a.value, b.value, None if shift is None else math.expm1(shift),
        (low, high), Outcome.INCONCLUSIVE, ALONE, limit=DEFAULT_LIMITS[a.stat], stage=stage,
    )  # fmt: skip


def _estimate(summary: PointSummary, metric: str, stat: str) -> Estimate | None:
    """Latencies over `valid`, failures = infinity, as rules judge them."""
    return summary.find(metric, stat, population="valid") or summary.find(metric, stat)


def _unit(run: RunSample, metric: str, stat: str) -> str:
    found = run.summary.find(metric, stat)
    return found.unit if found else "s"


def _geometric(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and 0 < v < math.inf]
    if not known or len(known) < len(values):
        return None
    return math.exp(sum(map(math.log, known)) / len(known))


def outcome_of(comparison: Comparison) -> Outcome:
    """Of a comparison without rules: invalid, or what its rows come to."""
    if not comparison.is_comparable or not comparison.rows:
        return Outcome.INVALID
    outcomes = {row.outcome for row in comparison.rows}
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS


def unpaired(rows: Sequence[Row], reason: str) -> tuple[Row, ...]:
    """The same figures without a verdict, where the runs were not interleaved."""
    return tuple(
        replace(row, outcome=Outcome.INCONCLUSIVE, reason=reason, is_flagged=False, p=None)
        for row in rows
    )

"""The gate: blocks of paired runs, and rules declared before, to one verdict with its reasons.

A block counts when both of its runs are valid measurements of a baseline that kept up. What only
the candidate does badly (saturates, fails so often that a quantile is not reached) fails its rules;
what the measurement did badly discards the block, and more than one block in five discarded makes
the gate invalid. Passing needs every rule to pass, so passing needs no correction; failing is
corrected by Holm over the relative rules and by the looks' own levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.paired import SubsetMeans
from harness.analysis.pooled import pooled_summary
from harness.analysis.power import noise_floor, smallest_visible
from harness.analysis.run_sample import RunNumber, RunSample
from harness.decisions.looks import Look, plan_looks
from harness.decisions.relative import Evidence, Judged, judge_relative, worse
from harness.decisions.slo import judge_slo
from harness.estimate import Outcome, Verdict, overall
from harness.scenario.gate import AbsoluteRule, Gate, RelativeRule, SloRule, as_slo
from harness.scenario.slo import Slo

MOST_DISCARDED = 0.20
SHORT_ANSWERS = "answer-length"  # the id of a rule that is always on


@dataclass(frozen=True, slots=True)
class Block:
    """Two runs of one schedule, each by stage. order: AB or BA, A being the baseline."""

    index: int
    order: str
    baseline: Mapping[str, RunSample]
    candidate: Mapping[str, RunSample]
    schedule_sha256: str = ""

    @property
    def fault(self) -> str:
        """Why the block does not count; empty where it does."""
        for arm, runs in (("baseline", self.baseline), ("candidate", self.candidate)):
            if not runs or runs.keys() != (self.baseline.keys() | self.candidate.keys()):
                return (
                    f"{arm}: a stage was not measured" if runs else f"{arm}: nothing was measured"
                )
            for run in runs.values():
                if not run.summary.is_valid:
                    return f"{arm}: {next(iter(run.summary.invalid_reasons), 'not valid')}"
        if not all(run.summary.is_stable for run in self.baseline.values()):
            return "baseline: offered more than its capacity"
        return ""


@dataclass(frozen=True, slots=True)
class BlockNumbers:
    """What one block gave for one rule: each arm's own number, None or inf where it has none."""

    index: int
    order: str
    baseline: float | None
    candidate: float | None
    num_requests: int
    schedule_sha256: str


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule's answer. judged: of a relative rule.  verdict: of an absolute or SLO one.

    baseline, candidate: the metric over the counted runs (geometric mean of a relative rule's).
    sigma, floor: from a calibration, None without one.
    """

    id: str
    kind: str
    metric: str
    stat: str
    stage: str
    outcome: Outcome
    reason: str
    judged: Judged | None = None
    verdict: Verdict | None = None
    baseline: float | None = None
    candidate: float | None = None
    mde_before: float | None = None
    floor: float | None = None
    blocks: tuple[BlockNumbers, ...] = ()


@dataclass(frozen=True, slots=True)
class GateResult:
    """The whole gate. look: the one it was decided at.  discarded: (block, why)."""

    outcome: Outcome
    reason: str
    rules: tuple[RuleResult, ...]
    look: Look
    looks: tuple[Look, ...]
    num_valid: int
    discarded: tuple[tuple[int, str], ...] = ()
    is_paired: bool = True


def judge_gate(
    gate: Gate,
    slo: Slo,
    blocks: Sequence[Block],
    look: Look | None = None,
    sigma_of: Mapping[str, float] | None = None,
    differences: Sequence[str] = (),
    short: Sequence[str] = (),
) -> GateResult:
    """The verdict at a look, by default the last whose blocks are there (else the first).

    slo: of the scenario.  sigma_of: rule id -> SD of d from a calibration.  differences: fields in
    which the arms cannot be compared; any makes the gate invalid.  short: where only the
    candidate's answers end before the length asked for; any fails it.
    """
    sound, discarded = sort_blocks(gate, blocks)
    looks = plan_looks(gate)
    look = look or _reached(looks, len(sound))
    reason = _invalid(sound, discarded, differences)
    if reason:
        rules = tuple(void_rule(rule, reason) for rule in gate.rules)
        return GateResult(
            Outcome.INVALID, reason, rules, look, looks, len(sound), tuple(discarded)
        )  # fmt: skip
    used = sound[: look.k]
    evidence = [rule_evidence(rule, used) for rule in gate.relative]
    judged = {j.rule.id: j for j in judge_relative(evidence, replace(look, k=len(used)))}
    rules = tuple(
        result
        for rule in gate.rules
        for result in _results(rule, judged, used, slo, look, dict(sigma_of or {}))
    )
    rules = with_short_answers(rules, short)
    outcome = overall(r.outcome for r in rules)
    return GateResult(
        outcome, gravest_reason(rules, outcome), rules, look, looks, len(sound), tuple(discarded)
    )  # fmt: skip


def is_decided(result: GateResult) -> bool:
    """Whether more blocks would change nothing: it failed, or every rule passed."""
    return result.outcome in (Outcome.FAIL, Outcome.PASS)


def has_too_many_faults(num_valid: int, num_discarded: int) -> bool:
    """More than one block in five; a first bad one is not yet a pattern."""
    total = num_valid + num_discarded
    return num_discarded > max(1, MOST_DISCARDED * total)


def sort_blocks(gate: Gate, blocks: Sequence[Block]) -> tuple[list[Block], list[tuple[int, str]]]:
    """The blocks that count, and those that do not with the reason."""
    sound, discarded = [], []
    for block in blocks:
        why = block.fault or _unreached(gate, block)
        if why:
            discarded.append((block.index, why))
        else:
            sound.append(block)
    return sound, discarded


def _unreached(gate: Gate, block: Block) -> str:
    for rule in gate.relative:
        number = run_of(block.baseline, rule).number(rule.metric, rule.stat or stat_of(rule.metric))
        if number.value is not None and math.isinf(number.value):
            return f"baseline: {rule.metric} {rule.stat} was not reached"
    return ""


def _reached(looks: Sequence[Look], num_valid: int) -> Look:
    return next((look for look in reversed(looks) if look.k <= num_valid), looks[0])


def _invalid(
    sound: Sequence[Block], discarded: Sequence[tuple[int, str]], differences: Sequence[str]
) -> str:
    if differences:
        return f"the arms cannot be compared: {'; '.join(differences)}"
    if not sound:
        why = discarded[0][1] if discarded else "nothing was measured"
        return f"no block counts: {why}"
    if has_too_many_faults(len(sound), len(discarded)):
        total = len(sound) + len(discarded)
        return (
            f"{len(discarded)} of {total} blocks were discarded, more than one in five:"
            f" {discarded[0][1]}"
        )
    return ""


def rule_evidence(rule: RelativeRule, blocks: Sequence[Block]) -> Evidence:
    """What the blocks gave for one relative rule. blocks: sound ones."""
    differences: list[float] = []
    for block in blocks:
        if not run_of(block.candidate, rule).summary.is_stable:
            told = f"in block {block.index + 1} the candidate alone was offered more than it serves"
            return Evidence(rule, None, len(blocks), broken=told)
        base, cand = (_number(runs, rule) for runs in (block.baseline, block.candidate))
        if cand.value is not None and math.isinf(cand.value):
            told = (
                f"in block {block.index + 1} the candidate's {rule.metric} {rule.stat} was not"
                " reached, so many requests failed"
            )
            return Evidence(rule, None, len(blocks), broken=told)
        for number in (base, cand):
            if number.value is None:
                return Evidence(rule, None, len(blocks), why=number.reason)
        assert base.value is not None
        assert cand.value is not None
        if base.value <= 0 or cand.value <= 0:
            return Evidence(rule, None, len(blocks), why="a value of 0 has no ratio")
        differences.append(worse(rule.metric, base.value, cand.value))
    shift = SubsetMeans.of(differences)
    return Evidence(rule, shift, shift.k, shift.sd)


def _results(
    rule: SloRule | AbsoluteRule | RelativeRule,
    judged: Mapping[str, Judged],
    blocks: Sequence[Block],
    slo: Slo,
    look: Look,
    sigma_of: Mapping[str, float],
) -> list[RuleResult]:
    if isinstance(rule, RelativeRule):
        return [_relative(rule, judged[rule.id], blocks, look, sigma_of.get(rule.id))]
    pooled = pooled_summary([run_of(b.candidate, rule) for b in blocks], look.alpha)
    own = slo if isinstance(rule, SloRule) else as_slo(rule)
    verdicts = judge_slo(
        pooled if isinstance(rule, SloRule) else replace(
            pooled, meta=replace(pooled.meta, class_slos={})
        ), own,
    )  # fmt: skip
    return [held_rule(rule, v) for v in verdicts]


def _relative(
    rule: RelativeRule, judged: Judged, blocks: Sequence[Block], look: Look, sigma: float | None
) -> RuleResult:
    last = look.k
    rows = tuple(_row(block, rule) for block in blocks)
    return RuleResult(
        rule.id, rule.kind, rule.metric, rule.stat or stat_of(rule.metric), rule.stage or "main",
        judged.outcome, judged.reason, judged=judged,
        baseline=_geometric([row.baseline for row in rows]),
        candidate=_geometric([row.candidate for row in rows]),
        mde_before=None if sigma is None else smallest_visible(sigma, last, look.alpha),
        floor=None if sigma is None else noise_floor(sigma, last),
        blocks=rows,
    )  # fmt: skip


def held_rule(rule: SloRule | AbsoluteRule, verdict: Verdict) -> RuleResult:
    e = verdict.estimate
    name = rule.id if isinstance(rule, AbsoluteRule) else f"{rule.id}-{verdict.rule[4:]}"
    return RuleResult(
        name, rule.kind, e.metric if e else "", e.stat if e else "", rule.stage or "main",
        verdict.outcome, verdict.reason, verdict=replace(verdict, rule=name, point=""),
        candidate=e.value if e else None,
    )  # fmt: skip


def _row(block: Block, rule: RelativeRule) -> BlockNumbers:
    base, cand = (_number(runs, rule) for runs in (block.baseline, block.candidate))
    return BlockNumbers(
        block.index, block.order, base.value, cand.value, cand.n, block.schedule_sha256
    )


def _number(runs: Mapping[str, RunSample], rule: RelativeRule) -> RunNumber:
    return run_of(runs, rule).number(rule.metric, rule.stat or stat_of(rule.metric))


def run_of(runs: Mapping[str, RunSample], rule: SloRule | AbsoluteRule | RelativeRule) -> RunSample:
    """The run, or its stage; the only one where the rule names none."""
    return runs[rule.stage] if rule.stage is not None else next(iter(runs.values()))


def stat_of(metric: str) -> str:
    return "rate" if metric.endswith("_per_s") else "ratio"


def _geometric(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and 0 < v < math.inf]
    return math.exp(sum(map(math.log, known)) / len(known)) if len(known) == len(values) else None


def void_rule(rule: SloRule | AbsoluteRule | RelativeRule, reason: str) -> RuleResult:
    is_slo = isinstance(rule, SloRule)
    metric = "" if is_slo else rule.metric  # type: ignore[union-attr]
    stat = "" if is_slo else rule.stat or stat_of(metric)  # type: ignore[union-attr]
    return RuleResult(
        rule.id, rule.kind, metric, stat, rule.stage or "main", Outcome.INVALID, reason
    )  # fmt: skip


def with_short_answers(rules: Sequence[RuleResult], short: Sequence[str]) -> tuple[RuleResult, ...]:
    """The rules and, first, the failed one that no scenario has to declare: answers end early.

    A rule kept on shorter answers shows nothing, so what passed is open.
    """
    if not short:
        return tuple(rules)
    own = RuleResult(
        SHORT_ANSWERS, "lengths", "output_tok", "mean", "main", Outcome.FAIL, "; ".join(short)
    )
    why = "the candidate's answers were shorter than the baseline's, which makes requests cheaper"
    return (own, *(
        replace(r, outcome=Outcome.INCONCLUSIVE, reason=why) if r.outcome is Outcome.PASS else r
        for r in rules
    ))  # fmt: skip


def gravest_reason(rules: Sequence[RuleResult], outcome: Outcome) -> str:
    if outcome is Outcome.PASS:
        return "every rule was shown to be kept"
    worst = next(r for r in rules if r.outcome is outcome)
    return f"{worst.id}: {worst.reason}"

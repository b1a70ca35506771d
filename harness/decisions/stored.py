"""A gate against stored sessions: the candidate's runs are one session more, and so many there are.

Nothing is interleaved, so drift between sessions counts as noise and must be known: below five
stored sessions every relative rule is inconclusive by rule. Absolute and SLO rules look at the
candidate alone and need no baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.analysis.pooled import pooled_summary
from harness.analysis.run_sample import RunSample
from harness.analysis.sessions import LEAST_SESSIONS, SessionShift
from harness.decisions.gate import (
    GateResult,
    RuleResult,
    gravest_reason,
    held_rule,
    run_of,
    stat_of,
    void_rule,
    with_short_answers,
)
from harness.decisions.looks import Look
from harness.decisions.relative import Evidence, Judged, judge_relative
from harness.decisions.slo import judge_slo
from harness.estimate import Outcome, overall
from harness.scenario.gate import HIGHER_IS_BETTER, Gate, RelativeRule, SloRule, as_slo
from harness.scenario.slo import Slo

Values = Mapping[str, Sequence[float]]  # metric key -> one number a run


def metric_key(metric: str, stat: str, stage: str) -> str:
    """`steady/ttft/p95`: how a number is named in a stored session and a calibration."""
    return f"{stage}/{metric}/{stat}"


def key_of(rule: RelativeRule) -> str:
    return metric_key(rule.metric, rule.stat or stat_of(rule.metric), rule.stage or "main")


def run_values(
    runs: Sequence[Mapping[str, RunSample]], wanted: Sequence[tuple[str, str]]
) -> Values:
    """What a session is stored as: every wanted (metric, stat) that all of its runs can give."""
    found: dict[str, list[float]] = {}
    for stage in runs[0] if runs else ():
        for metric, stat in wanted:
            numbers = [run[stage].number(metric, stat).value for run in runs if stage in run]
            known = [v for v in numbers if v is not None and 0 < v < math.inf]
            if known and len(known) == len(runs):
                found[metric_key(metric, stat, stage)] = known
    return found


def judge_stored(
    gate: Gate,
    slo: Slo,
    runs: Sequence[Mapping[str, RunSample]],
    sessions: Sequence[Values],
    differences: Sequence[str] = (),
    short: Sequence[str] = (),
) -> GateResult:
    """runs: of the candidate, each by stage.  sessions: stored ones in use, comparable ones.

    differences, short: as judge_gate has them.
    """
    sound = [r for r in runs if r and all(s.summary.is_valid for s in r.values())]
    look = Look(max(1, len(sound)), gate.alpha)
    reason = ""
    if differences:
        reason = f"the arms cannot be compared: {'; '.join(differences)}"
    elif not sound:
        reason = "no run of the candidate is valid"
    elif len(runs) - len(sound) > max(1, 0.2 * len(runs)):
        reason = f"{len(runs) - len(sound)} of {len(runs)} runs are not valid"
    if reason:
        void = tuple(void_rule(rule, reason) for rule in gate.rules)
        return GateResult(Outcome.INVALID, reason, void, look, (look,), len(sound), (), False)
    evidence = [_evidence(rule, sound, sessions) for rule in gate.relative]
    judged = {j.rule.id: j for j in judge_relative(evidence, look)}
    rules: list[RuleResult] = []
    for rule in gate.rules:
        if isinstance(rule, RelativeRule):
            rules.append(_relative(rule, judged[rule.id], sound, sessions))
            continue
        pooled = pooled_summary([run_of(run, rule) for run in sound], look.alpha)
        own = slo if isinstance(rule, SloRule) else as_slo(rule)
        rules += [held_rule(rule, verdict) for verdict in judge_slo(pooled, own)]
    rules = list(with_short_answers(rules, short))
    outcome = overall(r.outcome for r in rules)
    return GateResult(
        outcome, gravest_reason(rules, outcome), tuple(rules), look, (look,), len(sound), (), False
    )


def _evidence(
    rule: RelativeRule, runs: Sequence[Mapping[str, RunSample]], sessions: Sequence[Values]
) -> Evidence:
    numbers = [run_of(r, rule).number(rule.metric, rule.stat or stat_of(rule.metric)) for r in runs]
    if any(n.value is not None and math.isinf(n.value) for n in numbers):
        told = f"{rule.metric} {rule.stat} was not reached, so many requests failed"
        return Evidence(rule, None, len(runs), broken=told)
    values = [n.value for n in numbers if n.value]
    if len(values) < len(numbers):
        why = next((n.reason for n in numbers if n.reason), "a value of 0 has no ratio")
        return Evidence(rule, None, len(runs), why=why)
    sign = -1.0 if rule.metric in HIGHER_IS_BETTER else 1.0
    stored = [sign * _mean_log(s[key_of(rule)]) for s in sessions if key_of(rule) in s]
    shift = SessionShift.of(stored, sign * _mean_log(values))
    if shift is None:
        why = (
            f"{len(stored)} stored session{'' if len(stored) == 1 else 's'} of the baseline:"
            f" {LEAST_SESSIONS} are needed to know how much sessions of the same thing differ"
        )
        return Evidence(rule, None, len(runs), why=why)
    k = shift.df + 1
    return Evidence(rule, shift, k, shift.se * math.sqrt(k), is_exact=False)


def _relative(
    rule: RelativeRule, judged: Judged, runs: Sequence[Mapping[str, RunSample]],
    sessions: Sequence[Values],
) -> RuleResult:  # fmt: skip
    stat = rule.stat or stat_of(rule.metric)
    numbers = [run_of(r, rule).number(rule.metric, stat).value for r in runs]
    known = [v for v in numbers if v is not None and 0 < v < math.inf]
    stored = [_mean_log(s[key_of(rule)]) for s in sessions if key_of(rule) in s]
    return RuleResult(
        rule.id, rule.kind, rule.metric, stat, rule.stage or "main", judged.outcome, judged.reason,
        judged=judged,
        baseline=math.exp(sum(stored) / len(stored)) if stored else None,
        candidate=math.exp(_mean_log(known)) if known else None,
    )  # fmt: skip


def _mean_log(values: Sequence[float]) -> float:
    return sum(map(math.log, values)) / len(values)

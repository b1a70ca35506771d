"""A gate's runs read back from their records: blocks, what was compared, and the verdict.

The same for a gate that is being measured, that just ended, and that is judged again later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.curves import cdf_curve, nines_curve
from harness.analysis.quantiles import Sample
from harness.analysis.run_sample import RunSample, run_sample
from harness.analysis.summary import Curve, PointSummary
from harness.cli._judge import stage_metas
from harness.decisions.comparable import Fingerprint, differences, fingerprint, shortfalls
from harness.decisions.comparison import Comparison, paired_rows
from harness.decisions.gate import Block, GateResult, judge_gate
from harness.decisions.looks import Look
from harness.records import SCHEMA_VERSION, PointRecords, Run
from harness.scenario import Point, Scenario, comparability_hash
from harness.scenario.document import ReferenceTarget
from harness.scenario.gate import Gate

DRAWN = ("ttft", "tpot")


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One run of one arm: its point, its records and what they came to, by stage."""

    point: Point
    records: PointRecords
    stages: dict[str, RunSample]


def read_arm(point: Point, records: PointRecords) -> ArmRun:
    """Analyse one run of a gate."""
    requests, clients, server = records.requests(), records.clients(), records.server()
    stages = {
        meta.stage_name: run_sample(requests, clients, meta, server)
        for meta in stage_metas(point, records)
    }
    return ArmRun(point, records, stages)


def read_arms(run: Run, points: Sequence[Point]) -> list[ArmRun]:
    """Every run that was measured to its end, in order."""
    return [read_arm(points[p.index], p) for p in run.points if not p.is_partial]


def as_blocks(gate: Gate, arms: Iterable[ArmRun]) -> list[Block]:
    """Whole blocks in order; one whose other run is missing is left out."""
    by_block: dict[int, list[ArmRun]] = {}
    for arm in arms:
        by_block.setdefault(arm.point.repeat, []).append(arm)
    baseline = gate.baseline.target if gate.baseline.kind == "target" else None
    blocks = []
    for index, runs in sorted(by_block.items()):
        named = {arm.point.target_name: arm for arm in runs}
        if baseline is None or not {baseline, gate.candidate} <= named.keys():
            continue
        first = min(runs, key=lambda arm: arm.point.index)
        blocks.append(
            Block(
                index, "AB" if first.point.target_name == baseline else "BA",
                named[baseline].stages, named[gate.candidate].stages,
                str(named[baseline].records.meta.get("schedule_sha256", "")),
            )
        )  # fmt: skip
    return blocks


def fingerprint_of(
    arms: Sequence[ArmRun], document: Scenario, provenance: dict[str, object]
) -> Fingerprint:
    """The fingerprint of one target's runs."""
    first = arms[0]
    target = first.point.target
    flags = target.flags if isinstance(target, ReferenceTarget) else {}
    facts = first.records.meta.get("facts", {})
    return fingerprint(
        scenario_sha256=comparability_hash(document),
        model=str(facts.get("model", "")),
        engine_flags=flags,
        provenance=provenance,
        schema_version=SCHEMA_VERSION,
        lengths=_lengths([s.summary for arm in arms for s in arm.stages.values()]),
    )


def _lengths(
    summaries: Sequence[PointSummary],
) -> dict[str, tuple[float | None, float | None]]:
    """Class -> mean realised tokens over all runs, weighted by their requests."""
    found: dict[str, tuple[float | None, float | None]] = {}
    rows = [row for summary in summaries for row in summary.class_rows]
    for name in dict.fromkeys(row.name for row in rows):
        own = [row for row in rows if row.name == name and row.num_success]
        weights = [row.num_success for row in own]
        sides: list[float | None] = []
        for side in ("realised_in_tok", "realised_out_tok"):
            values = [getattr(row, side) for row in own]
            known = bool(values) and None not in values
            sides.append(float(np.average(values, weights=weights)) if known else None)
        found[name] = (sides[0], sides[1])
    return found


def compare_arms(
    gate: Gate,
    document: Scenario,
    arms: Sequence[ArmRun],
    provenance: dict[str, object],
    look: Look | None = None,
    sigma_of: dict[str, float] | None = None,
) -> Comparison:
    """A paired gate, judged: its rules, everything else as observations, both distributions."""
    assert gate.baseline.kind == "target"
    blocks = as_blocks(gate, arms)
    own = {
        name: [a for a in arms if a.point.target_name == name]
        for name in (gate.baseline.target, gate.candidate)
    }
    found: tuple[str, ...] = ()
    short: dict[str, str] = {}
    if all(own.values()):
        fingerprints = [fingerprint_of(runs, document, provenance) for runs in own.values()]
        short = short_of(gate, fingerprints[0], fingerprints[1], own[gate.candidate])
        found = differences(fingerprints[0], fingerprints[1], gate.require_comparable, short)
    result = judge_gate(
        gate, document.slo, blocks, look, sigma_of, found, tuple(short.values())
    )  # fmt: skip
    sound = [b for b in blocks if b.index not in {index for index, _ in result.discarded}]
    used = sound[: result.look.k]
    ruled = [(r.metric, r.stat, r.stage) for r in result.rules if r.judged]
    return Comparison(
        gate.baseline.target, gate.candidate, gate.require_comparable, found,
        paired_rows(used, gate.alpha, ruled), both_curves(used), result, gate.alpha, len(used),
    )  # fmt: skip


def short_of(
    gate: Gate, baseline: Fingerprint, candidate: Fingerprint, arms: Sequence[ArmRun]
) -> dict[str, str]:
    """The candidate's shortfalls, where the gate looks at lengths. arms: the candidate's."""
    if "realised_lengths" not in gate.require_comparable:
        return {}
    rows = [r for arm in arms for s in arm.stages.values() for r in s.summary.class_rows]
    asked: dict[str, float | None] = {}
    for name in dict.fromkeys(row.name for row in rows):
        own = [r for r in rows if r.name == name and r.num_success]
        known = [r.asked_out_tok for r in own if r.asked_out_tok is not None]
        weights = [r.num_success for r in own]
        is_known = bool(own) and len(known) == len(own)
        asked[name] = float(np.average(known, weights=weights)) if is_known else None
    return shortfalls(baseline, candidate, asked)


def both_curves(blocks: Sequence[Block]) -> tuple[tuple[Curve, Curve], ...]:
    """Of the last stage, all runs of an arm pooled: by percentile, and as shares."""
    if not blocks:
        return ()
    stage = list(blocks[0].candidate)[-1]
    arms = ([b.baseline[stage] for b in blocks], [b.candidate[stage] for b in blocks])
    found = []
    for metric in DRAWN:
        for kind in ("cdf", "nines"):
            pair = [_curve(runs, metric, kind) for runs in arms]
            if pair[0] is not None and pair[1] is not None:
                found.append((pair[0], pair[1]))
    return tuple(found)


def _curve(runs: Sequence[RunSample], metric: str, kind: str) -> Curve | None:
    parts = [r.samples[metric, "all"] for r in runs if (metric, "all") in r.samples]
    values = np.concatenate(parts) if parts else np.zeros(0)
    unit = "s/tok" if metric == "tpot" else "s"
    if kind == "cdf":
        return cdf_curve(metric, unit, "valid", values[np.isfinite(values)])
    return nines_curve(Sample(metric, unit, values, population="valid"))


def summaries_of(arms: Sequence[ArmRun]) -> tuple[PointSummary, ...]:
    return tuple(stage.summary for arm in arms for stage in arm.stages.values())


def result_of(comparison: Comparison) -> GateResult:
    assert comparison.result is not None
    return comparison.result

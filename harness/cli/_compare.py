"""Two stored runs, or two targets of one, made into pairs that replay one schedule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.frame import Frame, read_frame
from harness.cli._gate import ArmRun, both_curves, fingerprint_of, read_arm, summaries_of
from harness.cli._judge import Judgement
from harness.decisions.billed import Billed, billed_of, both_told, is_told
from harness.decisions.comparable import FIELDS, differences
from harness.decisions.comparison import (
    Comparison,
    lone_rows,
    outcome_of,
    paired_rows,
    unpaired,
    without_goodput,
)
from harness.decisions.gate import Block
from harness.decisions.gate_words import comparison_headline
from harness.decisions.migration import SideUsage, side_by_side
from harness.errors import MeasurementError, UsageError
from harness.records import Run
from harness.scenario import (
    Scenario,
    expand,
    limits_differ,
    load_resolved,
    question_differences,
)
from harness.scenario.document import OpenAITarget
from harness.scenario.prices import load_prices

APART = (
    "measured in two sessions, one after the other: drift between them looks like a change; measure"
    " both in interleaved blocks (a scenario with a gate)"
)


_HASH = "scenario.sha256 "
MOST_TOLD = 6
# what differs by intent when one moves from one provider to another
OF_MIGRATION = ("model", "hardware", "engine_flags", "realised_lengths")


@dataclass(frozen=True, slots=True)
class Side:
    """One target of one run. name: as reports print it."""

    name: str
    run: Run
    document: Scenario
    arms: tuple[ArmRun, ...]


def open_side(text: str, root: Path) -> Side:
    """`RUN` or `RUN@TARGET`: a directory, a name below root, or `latest`.

    Raises UsageError where the target is not told and the run has several.
    """
    name, _, target = text.partition("@")
    run = Run.open(name, out_root=root)
    run.require_whole()
    document = load_resolved(run.path / "scenario.resolved.yaml").document
    chosen = target or _only_target(document, run)
    points = expand(document)
    arms = tuple(
        read_arm(points[p.index], p)
        for p in run.points
        if not p.is_partial and points[p.index].target_name == chosen
    )
    if not arms:
        legal = ", ".join(document.targets)
        raise UsageError(
            f"run {run.manifest.run_id} holds no whole point of target '{chosen}'",
            why=f"its targets are {legal}; it is {run.manifest.status}",
        )
    return Side(f"{run.manifest.run_id}@{chosen}", run, document, arms)


def _only_target(document: Scenario, run: Run) -> str:
    if document.gate is not None:
        return document.gate.candidate
    if len(document.targets) > 1:
        raise UsageError(
            f"run {run.manifest.run_id} has several targets",
            why=", ".join(document.targets), do="say which: RUN@TARGET",
        )  # fmt: skip
    return next(iter(document.targets))


def compare_sides(base: Side, other: Side, allowed: Sequence[str]) -> Comparison:
    """Every usual metric of both. Raises MeasurementError naming each field that differs.

    allowed: fields of comparability that may differ; what differs is then shown, not refused.
    """
    fingerprints = [
        fingerprint_of(s.arms, s.document, s.run.manifest.provenance) for s in (base, other)
    ]
    checked = tuple(name for name in FIELDS if name not in allowed)
    found = _told(
        differences(fingerprints[0], fingerprints[1], checked), base.document, other.document
    )
    if found:
        fields = sorted({d.partition(".")[0].partition(" ")[0] for d in found})
        raise MeasurementError(
            "these two runs cannot be compared",
            where=f"{base.name} against {other.name}",
            why="\n         ".join(found),
            do=f"measure both alike; or say which may differ: --allow {' --allow '.join(fields)}",
        )
    pairs = _pairs(base, other)
    if not pairs:
        raise MeasurementError(
            "these two runs cannot be compared",
            where=f"{base.name} against {other.name}",
            why="no point of the one replays the schedule of a point of the other",
            do="run the same scenario with the same seed on both",
        )
    names = (base.name, other.name)
    levels = {json.dumps(dict(a.point.swept), default=str, sort_keys=True) for a, _ in pairs}
    if len(pairs) > 1 and len(levels) == 1:
        compared = _in_blocks(names, pairs, checked, is_one_run=base.run.path == other.run.path)
    else:
        sides = ([s for arm in side for s in summaries_of([arm])] for side in _alike(pairs))
        blocks = _as_blocks(pairs)
        curves = both_curves(blocks) if len(pairs) == 1 else ()
        compared = Comparison(*names, checked, (), lone_rows(*sides), curves)
    if limits_differ(base.document, other.document):
        return replace(compared, rows=without_goodput(compared.rows))
    return compared


def _told(found: Sequence[str], base: Scenario, other: Scenario) -> list[str]:
    """The same, where the question differs with the values that do, not with their hash alone."""
    told: list[str] = []
    for sentence in found:
        values = question_differences(base, other) if sentence.startswith(_HASH) else ()
        told += [f"scenario.{text}" for text in values[:MOST_TOLD]] or [sentence]
        if len(values) > MOST_TOLD:
            told.append(f"scenario and {len(values) - MOST_TOLD} more of its values differ")
    return told


def _in_blocks(
    names: tuple[str, str], pairs: Sequence[tuple[ArmRun, ArmRun]], checked: Sequence[str],
    *, is_one_run: bool,
) -> Comparison:  # fmt: skip
    """Repeats of one load pair up; only within one run were they interleaved."""
    blocks = [b for b in _as_blocks(pairs) if not b.fault]
    rows = paired_rows(blocks)
    if not is_one_run:
        rows = unpaired(rows, APART)
    return Comparison(*names, tuple(checked), (), rows, both_curves(blocks), num_blocks=len(blocks))


def _pairs(base: Side, other: Side) -> list[tuple[ArmRun, ArmRun]]:
    """Points that sent the same schedule at the same load, in order."""

    def key(arm: ArmRun) -> tuple[str, int, str]:
        swept = json.dumps(dict(arm.point.swept), default=str, sort_keys=True)
        return swept, arm.point.repeat, str(arm.records.meta.get("schedule_sha256"))

    twins = {key(arm): arm for arm in other.arms}
    return [(arm, twins[key(arm)]) for arm in base.arms if key(arm) in twins]


def _alike(
    pairs: Sequence[tuple[ArmRun, ArmRun]],
) -> tuple[list[ArmRun], list[ArmRun]]:
    """Both sides of the pairs under the base's labels, which name the target where it has two."""
    others = []
    for base, other in pairs:
        stages = {
            name: replace(
                run, summary=replace(
                    run.summary, meta=replace(run.summary.meta, label=base.point.label)
                ),
            )
            for name, run in other.stages.items()
        }  # fmt: skip
        others.append(replace(other, stages=stages))
    return [base for base, _ in pairs], others


def _as_blocks(pairs: Sequence[tuple[ArmRun, ArmRun]]) -> list[Block]:
    return [
        Block(
            i, "AB" if a.point.index <= b.point.index else "BA", a.stages, b.stages,
            str(a.records.meta.get("schedule_sha256", "")),
        )
        for i, (a, b) in enumerate(pairs)
    ]  # fmt: skip


def with_costs(
    comparison: Comparison, base: Side, other: Side, sheets: Sequence[str]
) -> Comparison:
    """The same with what either side asked, sent and used, and cost by the sheets."""
    pairs = _pairs(base, other)
    known = [load_prices(name) for name in sheets]
    frames = [(_frame_of(a), _frame_of(b)) for a, b in pairs]
    both = [both_told(a, b) for a, b in frames]
    sides = []
    for i, side in enumerate((base, other)):
        own = [pair[i] for pair in frames]
        usages = tuple(billed_of(f, told[i]) for f, told in zip(own, both, strict=True))
        sides.append(_usage_of(side, pairs[0][i], own, usages))
    return replace(comparison, migration=side_by_side(sides[0], sides[1], known))


def _frame_of(arm: ArmRun) -> Frame:
    meta = next(iter(arm.stages.values())).summary.meta
    return read_frame(arm.records.requests(), meta.t0_ns, meta.t1_ns)


def _usage_of(
    side: Side, arm: ArmRun, frames: Sequence[Frame], usages: tuple[Billed, ...]
) -> SideUsage:
    target = arm.point.target
    sent = str(arm.records.meta.get("facts", {}).get("model", ""))
    asked = target.model if isinstance(target, OpenAITarget) else sent
    return SideUsage(
        side.name, sent if asked == "auto" else asked, sent, usages,
        sum(int(f.was_sent.sum()) for f in frames), sum(int(is_told(f).sum()) for f in frames),
    )  # fmt: skip


def judgement_of(comparison: Comparison, base: Side, other: Side) -> Judgement:
    """As of a run, for the renderers."""
    summaries = (*summaries_of(base.arms), *summaries_of(other.arms))
    lines = (comparison_headline(comparison),)
    return Judgement(
        summaries, (), lines, outcome_of(comparison), "complete", None, comparison
    )  # fmt: skip

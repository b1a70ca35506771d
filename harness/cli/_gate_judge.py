"""A stored gate judged: against its own other arm, a stored baseline, or an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cli._gate import (
    ArmRun,
    compare_arms,
    fingerprint_of,
    read_arms,
    result_of,
    short_of,
    summaries_of,
)
from harness.cli._judge import Judgement
from harness.cli._unfinished import no_verdict, refusal_of
from harness.decisions.comparable import Fingerprint, differences
from harness.decisions.comparison import SHOWN, Comparison
from harness.decisions.gate import stat_of
from harness.decisions.gate_document import gate_document
from harness.decisions.gate_words import gate_headline, rule_verdict
from harness.decisions.stored import Values, judge_stored, key_of, run_values
from harness.errors import MeasurementError, UsageError
from harness.estimate import Outcome
from harness.records import Run, Session, baseline_names, read_calibrations, read_sessions
from harness.scenario import Point, Scenario, comparability_hash, expand, load_resolved
from harness.scenario.document import ReferenceTarget
from harness.scenario.gate import Baseline, Gate, RunBaseline, StoredBaseline

FAULTED = "fault_injected"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a baseline that was not measured beside the candidate holds."""

    name: str
    sessions: tuple[Values, ...]
    fingerprint: Fingerprint | None
    build: str


def baseline_of(text: str, root: Path) -> Baseline:
    """What `--baseline TEXT` means: the stored one of that name, else a run."""
    if text in baseline_names(root):
        return StoredBaseline(kind="stored", name=text)
    return RunBaseline(kind="run", run=text)


def judge_gate_run(
    run: Run, points: tuple[Point, ...], baseline: Baseline | None = None, root: Path | None = None
) -> Judgement:
    """Every rule of the run's gate. baseline: another than its own."""
    document = points[0].document
    gate = document.gate
    assert gate is not None
    gate = gate if baseline is None else gate.model_copy(update={"baseline": baseline})
    arms = read_arms(run, points)
    status, refusal = run.manifest.status, refusal_of(run)
    root = root or run.path.parent
    if gate.baseline.kind == "target":
        sigma = sigma_of(gate, document, run.manifest.provenance, root)
        comparison = compare_arms(gate, document, arms, run.manifest.provenance, None, sigma)
    else:
        comparison = _against_stored(gate, document, run, arms, root)
    result = result_of(comparison)
    lines = (gate_headline(comparison, result),)
    outcome = result.outcome
    if refusal is not None or status != "complete":
        outcome = Outcome.INVALID
        lines = (no_verdict(run, len(run.points), refusal),)
    verdicts = tuple(rule_verdict(rule) for rule in result.rules)
    return Judgement(
        summaries_of(arms), verdicts, lines, outcome, status, refusal, comparison
    )  # fmt: skip


def sigma_of(
    gate: Gate, document: Scenario, provenance: dict[str, Any], root: Path
) -> dict[str, float]:
    """rule id -> SD of d, from the newest calibration of this load on this machine; else none."""
    host = provenance.get("machine", {}).get("host_sha256")
    key = comparability_hash(document)
    own = [c for c in read_calibrations(root) if c.get("key") == key and c.get("host") == host]
    if not own:
        return {}
    sigma = own[-1]["sigma"]
    return {r.id: float(sigma[key_of(r)]) for r in gate.relative if key_of(r) in sigma}


def as_session(run: Run, points: Sequence[Point], saved_utc: str) -> Session:
    """The candidate's runs as a session to store. Raises MeasurementError where they must not be
    one: not complete, not valid, or of an engine that was told to misbehave."""
    document = points[0].document
    gate = document.gate
    assert gate is not None
    arms = [a for a in read_arms(run, points) if a.point.target_name == gate.candidate]
    sound = [a for a in arms if all(s.summary.is_valid for s in a.stages.values())]
    why = ""
    if run.manifest.status != "complete":
        why = f"the run is {run.manifest.status}"
    elif len(sound) < 2:
        why = f"it holds {len(sound)} valid run of the candidate, and 2 are the least"
    elif any(_is_faulted(a) for a in sound):
        why = "its target answered with injected faults: it was told to misbehave"
    if why:
        raise MeasurementError(
            f"run {run.manifest.run_id} cannot be a baseline", why=why,
            do="save one that ended, on an engine without a fault plan",
        )  # fmt: skip
    return Session(
        run_id=run.manifest.run_id,
        saved_utc=saved_utc,
        key=comparability_hash(document),
        build=build_of(sound[0], run),
        fingerprint=fingerprint_of(sound, document, run.manifest.provenance).to_json(),
        values={
            name: tuple(values)
            for name, values in run_values([a.stages for a in sound], _wanted(gate)).items()
        },
    )


def document_of(
    run: Run, points: Sequence[Point], judgement: Judgement, exit_code: int
) -> dict[str, Any]:
    """gate.json of a judged gate. points: of the run as it was measured."""
    comparison, document = judgement.comparison, points[0].document
    assert comparison is not None
    arms: dict[str, list[ArmRun]] = {}
    for arm in read_arms(run, points):
        arms.setdefault(arm.point.target_name, []).append(arm)
    named = {}
    for role in ("baseline", "candidate"):
        own = arms.get(getattr(comparison, role))
        if own:
            fingerprint = fingerprint_of(own, document, run.manifest.provenance)
            named[role] = (build_of(own[0], run), fingerprint)
    return gate_document(
        comparison,
        scenario=document.name,
        scenario_sha256=comparability_hash(document),
        seed=document.seed,
        exit_code=exit_code,
        arms=named,
    )


def build_of(arm: ArmRun, run: Run) -> str:
    """Which build of the engine was measured: our own by the checkout, others as they say."""
    if isinstance(arm.point.target, ReferenceTarget):
        git = run.manifest.provenance.get("git") or {}
        sha = str(git.get("sha", ""))[:12] or "unknown"
        return f"{sha}{' (modified)' if git.get('is_dirty') else ''}"
    return str(arm.records.meta.get("facts", {}).get("server") or "not told")


def _wanted(gate: Gate) -> list[tuple[str, str]]:
    ruled = [(r.metric, r.stat or stat_of(r.metric)) for r in gate.relative]
    return list(dict.fromkeys([*SHOWN, *ruled]))


def _is_faulted(arm: ArmRun) -> bool:
    checks = [c for s in arm.stages.values() for c in s.summary.checks]
    return any(c.code == FAULTED and c.status != "ok" for c in checks)


def _against_stored(
    gate: Gate, document: Scenario, run: Run, arms: Sequence[ArmRun], root: Path
) -> Comparison:
    own = [a for a in arms if a.point.target_name == gate.candidate]
    stored = _stored(gate, document, run.manifest.run_id, root)
    found: tuple[str, ...] = ()
    short: dict[str, str] = {}
    if own and stored.fingerprint is not None:
        mine = fingerprint_of(own, document, run.manifest.provenance)
        short = short_of(gate, stored.fingerprint, mine, own)
        found = differences(stored.fingerprint, mine, gate.require_comparable, short)
    runs = [a.stages for a in own]
    result = judge_stored(
        gate, document.slo, runs, stored.sessions, found, tuple(short.values())
    )  # fmt: skip
    return Comparison(
        stored.name, gate.candidate, gate.require_comparable, found, (), (), result, gate.alpha,
        len(own),
    )  # fmt: skip


def _stored(gate: Gate, document: Scenario, run_id: str, root: Path) -> Stored:
    if isinstance(gate.baseline, StoredBaseline):
        name = gate.baseline.name
        if name not in baseline_names(root):
            return Stored(f"baseline {name}", (), None, "")
        # a run is no evidence against itself
        sessions = [s for s in read_sessions(root, name) if not s.quarantine and s.run_id != run_id]
        key = comparability_hash(document)
        same = [s for s in sessions if s.key == key] or sessions  # else the difference is told
        fingerprint = Fingerprint.from_json(same[-1].fingerprint) if same else None
        known: tuple[Values, ...] = tuple(s.values for s in same)
        return Stored(f"baseline {name}", known, fingerprint, same[-1].build if same else "")
    assert isinstance(gate.baseline, RunBaseline)
    run = Run.open(gate.baseline.run, out_root=root)
    run.require_whole()
    other = load_resolved(run.path / "scenario.resolved.yaml").document
    if other.gate is None:
        raise UsageError(
            f"run {run.manifest.run_id} was measured without a gate",
            why="a gate's runs are blocks of one schedule each; this one is a single run",
            do=f"harness compare {gate.baseline.run} RUN sets the two side by side",
        )
    arms = [a for a in read_arms(run, expand(other)) if a.point.target_name == other.gate.candidate]
    values = run_values([a.stages for a in arms], _wanted(gate))
    fingerprint = fingerprint_of(arms, other, run.manifest.provenance) if arms else None
    return Stored(
        run.manifest.run_id, (values,), fingerprint, build_of(arms[0], run) if arms else ""
    )


def with_baseline(document: Scenario, baseline: Baseline) -> Scenario:
    """The same scenario, gated against something else. Raises UsageError without a gate."""
    if document.gate is None:
        raise UsageError(
            f"scenario {document.name} has no gate",
            why="--baseline says what a gate judges against",
            do="add a gate block (harness init --from gate-reference), or use harness compare",
        )  # fmt: skip
    gate = document.gate.model_copy(update={"baseline": baseline})
    return document.model_copy(update={"gate": gate})

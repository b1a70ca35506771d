"""A/A: the baseline in both arms of its own gate; what it came to is printed and kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness.cli import _finish
from harness.cli._gate import as_blocks, read_arms
from harness.cli._job import Job, job_of
from harness.cli._options import Voice
from harness.decisions.calibration import RECOMMENDED, Calibration, calibrate
from harness.decisions.stored import key_of
from harness.decisions.wording import metric_name, percent_change
from harness.errors import ExitCode, MeasurementError, UsageError
from harness.records import Run, RunDirectory, save_calibration
from harness.scenario import Scenario, comparability_hash, expand
from harness.scenario.gate import Gate, TargetBaseline
from reports.view import Cell, Row, Table

TWIN = "twin"
LEAST_BLOCKS = 4


def aa_job(job: Job, num_blocks: int) -> Job:
    """The job with both arms the baseline, and one look at the end. Raises UsageError without a
    gate."""
    document = job.loaded.document
    gate = document.gate
    if gate is None:
        raise UsageError(
            f"scenario {job.loaded.name} has no gate",
            why="a calibration measures how much the blocks of a gate scatter",
            do="name a scenario with a gate block, such as gate-reference",
        )
    name = gate.baseline.target if isinstance(gate.baseline, TargetBaseline) else gate.candidate
    twin = TWIN if TWIN not in document.targets else f"{TWIN}-of-{name}"
    aa = gate.model_copy(
        update={
            "candidate": twin,
            "baseline": TargetBaseline(kind="target", target=name),
            "blocks": num_blocks,
            "max_blocks": None,
        }
    )
    targets = {**document.targets, twin: document.targets[name]}
    changed = document.model_copy(update={"gate": aa, "targets": targets})
    return job_of(replace(job.loaded, document=changed), job.out)


def conclude_calibration(run: Run, job: Job, blocks_a_gate: int, voice: Voice) -> int:
    """Analyse, print, keep. An interrupted calibration is not kept.

    blocks_a_gate: of the gate as declared, whose false alarms are counted.
    """
    document = job.loaded.document
    gate = document.gate
    assert gate is not None
    blocks = [b for b in as_blocks(gate, read_arms(run, expand(document))) if not b.fault]
    if run.manifest.status == "interrupted":
        return int(ExitCode.INTERRUPTED)
    if len(blocks) < LEAST_BLOCKS:
        raise MeasurementError(
            f"only {len(blocks)} blocks are valid; a calibration needs {LEAST_BLOCKS}",
            where=str(run.path), do="see the notices of harness report, mend that, and repeat",
        )  # fmt: skip
    declared = gate.model_copy(update={"blocks": min(blocks_a_gate, len(blocks))})
    found = calibrate(declared, blocks, np.random.default_rng(document.seed))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    data = calibration_data(found, run, document, gate, now)
    directory = RunDirectory.open(run.path)
    directory.write_json("calibration.json", data)
    directory.refresh()
    path = save_calibration(job.out, data)
    if voice.as_json:
        voice.result("", data)
        return 0
    console = _finish.plain_console(voice, _finish.PIPE_WIDTH)
    console.print(_finish.rich_table(noise_table(found, gate)))
    for line in told(found):
        console.print(line)
    console.print(f"kept     {path}", soft_wrap=True)
    return 0


def calibration_data(
    found: Calibration, run: Run, document: Scenario, gate: Gate, now: str
) -> dict[str, Any]:
    """One line of calibrations.jsonl."""
    a = found.alarms
    machine = run.manifest.provenance.get("machine", {})
    return {
        "run_id": run.manifest.run_id,
        "saved_utc": now,
        "scenario": document.name,
        "key": comparability_hash(document),
        "host": machine.get("host_sha256"),
        "num_blocks": found.num_blocks,
        "sigma": found.sigma,
        "noise": [_plain(n.to_json()) for n in found.noise],
        "alarms": {
            "blocks_a_gate": a.k, "disjoint_gates": a.num_disjoint, "alarms": a.num_alarms,
            "low": a.interval.low, "high": a.interval.high, "resampled_rate": a.resampled,
        },
        "rules": [key_of(rule) for rule in gate.relative],
    }  # fmt: skip


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}


def noise_table(found: Calibration, gate: Gate) -> Table:
    """A row a metric; those that the gate rules on first."""
    ruled = {key_of(rule): rule for rule in gate.relative}
    ordered = sorted(found.noise, key=lambda n: n.key not in ruled)
    columns = (
        ("metric", "left"), ("limit", "right"), ("sigma of a block", "right"),
        ("floor at 8", "right"), ("at 16", "right"), ("seen at 8", "right"),
        ("order effect", "right"), ("drift a block", "right"), ("run CV", "right"),
        ("schedule CV", "right"),
    )  # fmt: skip
    rows = []
    for n in ordered:
        rule = ruled.get(n.key)
        cells = [
            _metric(n.key), _size(rule.limit_ratio) if rule else "", _size(n.sigma),
            _size(n.floor(8)), _size(n.floor(16)), _size(n.visible(8)),
            _with_error(n.order_effect, n.order_se), _with_error(n.drift, n.drift_se),
            _size(n.run_var**0.5), _size(n.schedule_var**0.5),
        ]  # fmt: skip
        rows.append(Row(tuple(Cell(c) for c in cells), n.key))
    title = f"Noise of this machine: {found.num_blocks} A/A blocks"
    return Table("noise", title, columns, tuple(rows))  # type: ignore[arg-type]


def told(found: Calibration) -> list[str]:
    """False alarms, and what too few blocks leave open."""
    a = found.alarms
    high = percent_change(a.interval.high).lstrip("+")
    lines = [
        f"false alarms: {a.num_alarms} of {a.num_disjoint} gates of {a.k} blocks"
        f" (at most {high} with 97.5% confidence); over 2,000 gates resampled from these"
        f" blocks {percent_change(a.resampled).lstrip('+')}"
    ]
    if found.num_blocks < RECOMMENDED:
        lines.append(
            f"{found.num_blocks} blocks tell sigma to about"
            f" {_size(_sd_error(found.num_blocks))}; {RECOMMENDED} are recommended"
        )
    moved = [n for n in found.noise if _is_far(n.order_effect, n.order_se)]
    lines += [
        f"order matters for {_metric(n.key)}: the second run of a block differs" for n in moved
    ]
    return lines


def _sd_error(k: int) -> float:
    """Relative standard error of a standard deviation from k blocks."""
    return float(1 / np.sqrt(2 * (k - 1)))


def _is_far(value: float, error: float) -> bool:
    return error == error and abs(value) > 3 * error


def _metric(key: str) -> str:
    stage, metric, stat = key.split("/")
    name = metric_name(metric, stat)
    return name if stage == "main" else f"{name}, {stage}"


def _size(ratio: float | None) -> str:
    return percent_change(ratio).lstrip("+")


def _with_error(value: float, error: float) -> str:
    if error != error:
        return ""
    return f"{percent_change(value)} ± {_size(error)}"

"""`harness gate`: judges a stored gate again, against its own arm, a baseline, or another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli._gate_options import gate_options
from harness.cli._options import Voice, out_root, voice_options


@click.command()
@click.argument("run")
@gate_options
@click.option("--no-report", is_flag=True, help="gate.json and summary only.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of runs ($HARNESS_OUT).")
@voice_options
def command(
    run: str, gate_flags: dict[str, Any], no_report: bool, out: Path | None, voice: Voice
) -> int:
    """Judge RUN by its own gate rules: a directory, a name, or `latest`. Nothing is sent.

    \b
      harness gate latest
      harness gate latest --baseline main --on-inconclusive pass
      harness gate latest --save-baseline main

    Writes gate.json, summary.md, junit.xml and report.html anew. Exit 0 pass, 1 fail,
    3 inconclusive, 4 invalid or not comparable.
    """
    from harness.errors import UsageError
    from harness.records import Run
    from harness.scenario import load_resolved

    root = out_root(out)
    opened = Run.open(run, out_root=root)
    opened.require_whole()
    document = load_resolved(opened.path / "scenario.resolved.yaml").document
    if document.gate is None:
        raise UsageError(
            f"run {opened.manifest.run_id} was measured without a gate",
            why="one run against one cannot be judged: how much two runs differ is not known",
            do="harness compare BASE CANDIDATE tells what can be told; for a verdict measure both"
            " in blocks: a scenario with a gate",
        )  # fmt: skip
    from harness.cli._gate_finish import conclude_gate
    from harness.cli._job import GateWishes

    wishes = GateWishes(**gate_flags)
    return conclude_gate(opened, document, not no_report, voice, (), wishes, root)

"""The end of a gate: judged, written (gate.json with the reports), printed, saved as a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.cli import _finish
from harness.cli._gate_judge import (
    as_session,
    baseline_of,
    document_of,
    judge_gate_run,
    with_baseline,
)
from harness.cli._job import GateWishes
from harness.cli._judge import Judgement
from harness.cli._options import Voice
from harness.errors import ExitCode, HarnessError, strongest
from harness.estimate import Outcome
from harness.notices import Notice
from harness.records import Run, RunDirectory, save_session
from harness.scenario import Scenario, expand

_CODES = {"pass": ExitCode.OK, "fail": ExitCode.FAILED}


def conclude_gate(
    run: Run,
    document: Scenario,
    has_reports: bool,
    voice: Voice,
    notices: Sequence[Notice] = (),
    wishes: GateWishes | None = None,
    root: Path | None = None,
) -> int:
    """Everything after the last run of a gate; the exit code."""
    wishes, root = wishes or GateWishes(), root or run.path.parent
    baseline = baseline_of(wishes.baseline, root) if wishes.baseline else None
    judged = document if baseline is None else with_baseline(document, baseline)
    points = expand(document)
    judgement = judge_gate_run(run, points, baseline, root)
    code = exit_code_of(judgement, wishes)
    view = _finish.make_view(run, judged, judgement, notices)
    formats = judged.output.reports if has_reports else ()
    with _finish.printed_anyway(run, view, judgement, voice):
        _finish.write_reports(run, view, judgement, formats)
        directory = RunDirectory.open(run.path)
        directory.write_json("gate.json", document_of(run, points, judgement, code))
        directory.log.append("judged", outcome=judgement.outcome.value, exit_code=code)
        directory.refresh()
        _finish.append_step_summary(view, voice)
    if judgement.refusal is not None:
        voice.error(judgement.refusal)
    if judgement.outcome is Outcome.INCONCLUSIVE and wishes.on_inconclusive:
        voice.say(f"exit {code}: an open question counts as a {wishes.on_inconclusive} here")
    saved = _save(run, document, wishes, root, voice) if wishes.save_baseline else ExitCode.OK
    return int(strongest([ExitCode(code), saved]))


def exit_code_of(judgement: Judgement, wishes: GateWishes) -> int:
    """The verdict's code; an open question's as the command line asks."""
    code = judgement.exit_code
    if code is ExitCode.INCONCLUSIVE and wishes.on_inconclusive:
        code = _CODES[wishes.on_inconclusive]
    return int(code)


def _save(run: Run, document: Scenario, wishes: GateWishes, root: Path, voice: Voice) -> ExitCode:
    """A run that must not be a baseline is told so; its verdict stands."""
    assert wishes.save_baseline is not None
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        session = as_session(run, expand(document), now)
        path = save_session(root, wishes.save_baseline, session)
    except HarnessError as error:
        voice.error(error)
        return error.exit_code
    voice.say(f"saved as a session of baseline {wishes.save_baseline}: {path}")
    return ExitCode.OK

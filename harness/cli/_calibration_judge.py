"""A calibration of the twin, judged and shown: by how well its points are met, never by load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import reports
from harness.cli._calibrated import Calibration, Limits, calibrate_on
from harness.cli._judge import Judgement, point_summaries
from harness.cli._unfinished import no_verdict, refusal_of
from harness.decisions.step_words import (
    calibration_headline,
    calibration_verdict,
    no_calibration,
)
from harness.errors import MeasurementError
from harness.estimate import Outcome
from harness.notices import Notice
from harness.records import Run
from harness.scenario import Point
from reports.view import View


def judge_calibration_run(run: Run, points: tuple[Point, ...]) -> Judgement:
    """One rule: the law meets the points that its fit had not seen."""
    status, refusal = run.manifest.status, refusal_of(run)
    calibration: Calibration | None = None
    try:
        calibration = calibrate_on(run, Limits())
    except MeasurementError as error:
        verdict, line = no_calibration(error)
    else:
        verdict, line = calibration_verdict(calibration.fit), calibration_headline(calibration.fit)
    outcome = verdict.outcome
    if refusal is not None or status != "complete":
        outcome, line = Outcome.INVALID, no_verdict(run, len(points), refusal)
    return Judgement(
        tuple(point_summaries(run, points)), (verdict,), (line,), outcome, status, refusal,
        calibration=calibration,
    )  # fmt: skip


def calibration_view(
    facts: reports.RunFacts, run: Run, judgement: Judgement, notices: Sequence[Notice]
) -> View:
    """Step times instead of rates."""
    found = judgement.calibration
    return reports.build_calibration_view(
        facts, found.fit if found else None, found.rows if found else (), failures_of(run),
        judgement.summaries, judgement.verdicts, judgement.outcome, judgement.headlines, notices,
    )  # fmt: skip


def failures_of(run: Run) -> tuple[reports.Failures, ...]:
    """Of all requests of every point, whatever their phase: a batch that lost one is no batch."""
    found = []
    for records in run.points:
        rows = records.requests()
        classes, details = rows["error_class"].to_pylist(), rows["error_detail"].to_pylist()
        counts = Counter(name for name in classes if name and name != "ok")
        for name, number in counts.most_common():
            said = next((d for c, d in zip(classes, details, strict=True) if c == name and d), "")
            found.append(reports.Failures(records.label, name, number, len(classes), said or ""))
    return tuple(found)

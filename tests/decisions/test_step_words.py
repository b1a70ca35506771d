"""What a calibration says of itself, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.analysis.steps import StepRow
from harness.decisions.hinge import Hinge
from harness.decisions.step_fit import HeldOut, StepFit
from harness.decisions.step_words import (
    calibration_headline,
    calibration_verdict,
    no_calibration,
    steps_seen,
)
from harness.decisions.swept_hull import SweptHull
from harness.errors import MeasurementError
from harness.estimate import Outcome

LAW = Hinge(a0=2e-3, b=1e-3, a1=1e-5, d=1e-4, c=1e-6, e=0.0, o=0.0, loss=0.0, corner=0)
HULL = SweptHull.of([1, 64], [4000, 28000], [3900])
FIT = StepFit(LAW, (LAW,), 0.0, 0.0, HeldOut(50, 0.058, 0.146, 0.255), HULL, 512, 1.0, 40, 10)


def test_steps_stand_beside_the_law_in_order() -> None:
    rows = (
        StepRow(0, "prefill", 6e-3, 0, 0.0, 400, 16, False, 4),
        StepRow(1, "decode", 6.8e-3, 8, 2000.0, 0, 0, False, 50),
        StepRow(2, "decode", 4.0e-3, 1, 500.0, 0, 0, False, 60),
    )
    one, eight, prompt = steps_seen(rows, FIT)
    # max(2, 1 + .01 n) ms + .1 D + .001 K: 1 of 500 tokens, 8 of 2,000, a prompt of 400 in one step
    assert one.law_s == pytest.approx(2e-3 + 0.1e-3 + 0.5e-3)
    assert eight.law_s == pytest.approx(2e-3 + 0.8e-3 + 2e-3)
    assert eight.error_ratio == pytest.approx(4.8 / 6.8 - 1)
    assert prompt.law_s == pytest.approx(1e-3 + 400 * 1e-5)
    assert (prompt.prompt_tok, prompt.cached_tok, prompt.num) == (400, 16, 4)


def test_a_calibration_is_judged_by_points_it_had_not_seen() -> None:
    verdict = calibration_verdict(FIT)
    assert (verdict.outcome, verdict.limit) == (Outcome.PASS, 0.25)
    assert verdict.estimate is not None
    assert verdict.estimate.value == 0.058
    line = calibration_headline(FIT)
    assert line.answer == "Calibrated: half of the points left out of the fit are met within 5.8%"
    assert "nine of ten within 14.6%, the worst 25.5%" in line.detail
    assert "64 sequences, 28,000 tokens of context, prompts of 3,900 tokens" in line.detail


def test_noise_decides_nothing_and_says_what_to_do() -> None:
    noisy = replace(FIT, held_out=HeldOut(50, 0.31, 0.9, 2.0))
    assert calibration_verdict(noisy).outcome is Outcome.INCONCLUSIVE
    line = calibration_headline(noisy)
    assert line.answer.startswith("TOO NOISY A CALIBRATION")
    assert line.detail.endswith("Calibrate again with the target left alone.")


def test_a_run_without_enough_points_is_no_calibration() -> None:
    error = MeasurementError("this run is no calibration", why="2 batches were seen", do="again")
    verdict, line = no_calibration(error)
    assert (verdict.outcome, line.outcome) == (Outcome.INVALID, "invalid")
    assert "2 batches were seen" in line.detail

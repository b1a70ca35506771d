"""A server that speculates in the twin's two numbers, or the reason why not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.steps import Pace, StepRow
from harness.decisions.step_fit import step_times
from harness.decisions.twin import Deployment
from harness.decisions.twin_drafting import BatchPace, Drafting, drafting_of
from harness.errors import MeasurementError


def points(*paces: tuple[int, float, float | None]) -> list[BatchPace]:
    return [BatchPace(n, Pace(tau, drafts, True)) for n, tau, drafts in paces]


def test_no_speculation_is_a_token_a_step() -> None:
    assert drafting_of([]) == Drafting()
    assert drafting_of(points((1, 1.0, 0.0), (8, 1.02, 0.0))) == Drafting()


def test_means_of_the_points_and_what_they_rest_on() -> None:
    found = drafting_of(points((1, 2.6, 3.0), (8, 2.4, 2.9), (64, 2.2, 2.8)))
    assert (found.gamma, found.tau) == (3, pytest.approx(2.4))
    assert "3 drafts a step, 2.40 tokens" in found.assumed[0]
    Deployment(64, 512, 100_000, gamma=found.gamma, tau=found.tau)  # is one the twin takes
    assert drafting_of(points((1, 2.3, 1.1))).gamma == 2  # a step that yields 2.3 tried two


def test_drafts_that_nobody_told_and_drafts_by_load_are_refused_by_reason() -> None:
    with pytest.raises(MeasurementError) as untold:
        drafting_of(points((1, 2.6, 3.0), (8, 2.4, None)))
    assert "it made 2.50 tokens a step" in untold.value.why
    assert "drafted_tokens" in untold.value.why
    with pytest.raises(MeasurementError) as held_back:
        drafting_of([BatchPace(n, Pace(2.0, None)) for n in (1, 4)])
    assert "2.00 tokens a chunk: drafts that were kept, or a stream held back" in (
        held_back.value.why
    )
    with pytest.raises(MeasurementError) as adaptive:
        drafting_of(points((1, 2.8, 4.0), (64, 1.2, 0.3)))
    assert "2.80 tokens a step with the smallest batch and 1.20 with the largest" in (
        adaptive.value.why
    )
    assert "--spec-k" in adaptive.value.do


def test_a_step_of_the_law_holds_the_drafts() -> None:
    rows = [StepRow(0, "decode", 5e-3, 8, 800.0, 0, 0, False, 20, tok_per_seq=4.0)]
    times = step_times(rows, 512)
    assert times.sizes[0, 0] == 32
    np.testing.assert_array_equal(times.num_seqs, [8])

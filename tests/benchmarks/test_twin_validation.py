"""The validation's arithmetic: a twin that is right is accepted, one that is wrong is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks._twin_page import page
from benchmarks._twin_runs import KINDS, Cell, Seen, cell_of
from harness.analysis.steps import StepRow
from harness.cli._calibrated import Calibration
from harness.decisions.hinge import Hinge
from harness.decisions.step_fit import fit_steps, step_times
from harness.decisions.twin import Deployment, Requests
from harness.decisions.twin_capacity import serve

LAW = Hinge(a0=4e-3, b=2e-3, a1=1e-4, d=1e-4, c=3e-7, e=4e-9, o=2e-3, loss=0.0, corner=0)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    rows = [StepRow(0, "decode", 1.0, n, float(n * k), 0, 0, False, 50)
            for n in (1, 2, 4, 8, 16, 32, 64) for k in (64, 300, 1000)]  # fmt: skip
    rows += [StepRow(0, "prefill", 1.0, 0, 0.0, p, 0, True, 4) for p in (32, 128, 300, 700, 1500)]
    times = LAW.predict(step_times(rows, 512))
    rows = [replace(r, seconds=float(s)) for r, s in zip(rows, times, strict=True)]
    fit = fit_steps(rows, (), budget_tok=512, num_draws=2)
    return Calibration(fit, Deployment(64, 512, 100_000), (), "main", "tiny")


def seen(calibration: Calibration, wrong: float) -> Seen:
    """A run as the twin itself serves it, the prediction off by a factor."""
    rng = np.random.default_rng(0)
    arrival_s = np.cumsum(rng.exponential(0.1, 600))
    requests = Requests(arrival_s, rng.integers(50, 300, 600), rng.integers(5, 60, 600))
    fit = calibration.fit
    true = serve(fit, fit.hinge, calibration.deployment, requests)
    told = (true.ttft_s * wrong, true.tpot_s * wrong, 100.0)
    return Seen(arrival_s, true.ttft_s, true.tpot_s, 100.0, (told, told), (False, False), 0, true)


def cell(calibration: Calibration, wrong: float, load: float = 0.5) -> Cell:
    runs = [seen(calibration, wrong)] * 2
    return cell_of("chat", load, 10.0, runs, calibration.fit.hull)


def test_a_twin_that_is_right_is_accepted_and_one_off_by_a_quarter_is_not(
    calibration: Calibration,
) -> None:
    right, wrong = cell(calibration, 1.0), cell(calibration, 1.25)
    judged = {f.name: f.accepted for f in right.figures}
    assert {k for k, v in judged.items() if v} == {
        "ttft p50", "ttft p99", "tpot p50", "tpot p99", "throughput",
    }  # fmt: skip
    assert judged["ttft p95"] is None
    failed = {f.name for f in wrong.figures if f.accepted is False}
    assert failed == {"ttft p50", "ttft p99", "tpot p50", "tpot p99"}
    for figure in right.figures:
        assert figure.low <= figure.measured <= figure.high
    above = cell(calibration, 1.25, load=0.95)
    assert {f.accepted for f in above.figures} == {None}


def test_the_page_shows_failures_like_everything_else(calibration: Calibration) -> None:
    where = {"versions": {"numba": "1"}, "date": "today", "num_cpus": 2, "cpu": "x",
             "python": "3", "load_average_before": 0.1}  # fmt: skip
    text = page(calibration, [cell(calibration, 1.0), cell(calibration, 1.25, 0.7)], where)
    assert "**6 of 10 figures within their bar.**" in text
    assert text.count("**no**") == 4
    assert "| a0, ms | 4 |" in text


def test_a_scenario_fits_its_time(calibration: Calibration) -> None:
    """Five loads of the rate that the twin serves when all requests are there at once."""
    for kind in KINDS:
        text = kind.scenario(calibration, 300.0)
        assert "repeat: 3" in text
        (line,) = (line for line in text.splitlines() if "load.rate:" in line)
        rates = [float(r.strip().removesuffix("/s")) for r in line.split("[")[1][:-2].split(",")]
        assert len(rates) == 5
        assert rates[0] / rates[-1] == pytest.approx(0.30 / 0.95, rel=0.02)

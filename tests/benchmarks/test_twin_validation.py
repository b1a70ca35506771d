"""The validation's arithmetic: a twin that is right is accepted, one that is wrong is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from benchmarks._twin_page import page
from benchmarks._twin_runs import KINDS, Cell, Seen, cell_of, pace_of
from harness.analysis.frame import read_frame
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
    return Calibration(fit, tuple(rows), Deployment(64, 512, 100_000), (), "main", "tiny")


def seen(calibration: Calibration, wrong: float) -> Seen:
    """A run as the twin itself serves it, the prediction off by a factor."""
    rng = np.random.default_rng(0)
    arrival_s = np.cumsum(rng.exponential(0.1, 600))
    requests = Requests(arrival_s, rng.integers(50, 300, 600), rng.integers(5, 60, 600))
    fit = calibration.fit
    true = serve(fit, fit.hinge, calibration.deployment, requests)
    told = (true.ttft_s * wrong, true.tpot_s * wrong, 100.0)
    return Seen(
        arrival_s, true.ttft_s, true.tpot_s, 100.0, (told, told), (False, False), 0, true, 1.0, told
    )


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
    assert "**6 of 10 figures within their bar; 6 at the pace of each run.**" in text
    assert text.count("**no**") == 8
    assert "two runs of a cell differ by 0%" in text
    assert "| a0, ms | 4 |" in text


def test_a_machine_that_got_slower_is_told_from_a_law_that_is_wrong(
    calibration: Calibration,
) -> None:
    """Gaps a fifth longer than the law's: pace 1.2, and all of the law that much longer."""
    gap_s = LAW.predict(step_times([StepRow(0, "decode", 1.0, 1, 150.0, 0, 0, False, 9)], 512))[0]
    stamps = [[round((0.05 + 1.2 * k * gap_s) * 1e9) for k in range(101)]]
    column = pa.array([0], pa.int64())
    frame = read_frame(pa.table({
        "intended_ns": column, "sent_ns": column, "first_token_ns": [stamps[0][0]],
        "last_token_ns": [stamps[0][-1]], "end_ns": [stamps[0][-1]], "error_class": [""],
        "n_in": [100], "cached_tok": [0], "chunk_ns": pa.array(stamps, pa.list_(pa.int64())),
        "chunk_tok": pa.array([[1.0] * 101], pa.list_(pa.float32())),
    }), 0, 10**9)  # fmt: skip
    assert pace_of(frame, calibration.fit) == pytest.approx(1.2, rel=1e-3)
    slower = LAW.at_pace(1.2)
    assert (slower.a0, slower.a1, slower.r) == pytest.approx((1.2 * LAW.a0, 1.2 * LAW.a1, 0))
    off = seen(calibration, 1 / 1.25)
    right = (off.ttft_s, off.tpot_s, 100.0)
    figures = cell_of("chat", 0.5, 1.0, [replace(off, paced=right)], calibration.fit.hull).figures
    assert not all(f.accepted for f in figures if f.accepted is not None)
    assert all(f.accepted_at_pace for f in figures if f.accepted_at_pace is not None)


def test_a_scenario_fits_its_time(calibration: Calibration) -> None:
    """Five loads of the rate that the twin serves when all requests are there at once."""
    for kind in KINDS:
        text = kind.scenario(calibration, 300.0)
        assert "repeat: 3" in text
        (line,) = (line for line in text.splitlines() if "load.rate:" in line)
        rates = [float(r.strip().removesuffix("/s")) for r in line.split("[")[1][:-2].split(",")]
        assert len(rates) == 5
        assert rates[0] / rates[-1] == pytest.approx(0.30 / 0.95, rel=0.02)

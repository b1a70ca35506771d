"""The pace of a swept server from one half minute to the next, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from harness.decisions.drift import Drift, drift_of
from harness.decisions.step_fit import fit_steps
from tests.decisions.test_step_fit import BUDGET, LAW, sweep


def test_paces_by_hand() -> None:
    """Half minutes of pace 1, 2, 1, 1/2: the steps of one are added up, longer ones count more."""
    at_s = [0.0, 29.9, 30.0, 65.0, 119.0]
    drift = drift_of(at_s, np.array([2.0, 1.0, 4.0, 5.0, 1.0]), np.array([1.0, 2.0, 2.0, 5.0, 2.0]))
    logs = [0.0, math.log(2), 0.0, -math.log(2)]
    assert drift.num_blocks == 4
    assert drift.sd == pytest.approx(math.sqrt(sum(x * x for x in logs) / 3))
    low, high = drift.low_high()
    assert high == pytest.approx(math.exp(student.ppf(0.975, 3) * drift.sd * math.sqrt(5 / 4)))
    assert low * high == pytest.approx(1)


def test_three_half_minutes_say_nothing() -> None:
    drift = drift_of([0.0, 31.0, 61.0], np.array([1.0, 2.0, 3.0]), np.ones(3))
    assert (drift.sd, drift.num_blocks, drift.is_seen) == (0.0, 3, False)
    assert drift.low_high() == (1.0, 1.0)
    assert drift.paces(7, np.random.default_rng(0)).tolist() == [1.0] * 7


def test_the_next_half_minute_lies_within_19_times_in_20() -> None:
    """Servers whose pace scatters by 8 %, seen for eight half minutes, then for one more."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        *seen, later = np.exp(rng.normal(0, 0.08, 9))
        low, high = drift_of(np.arange(8) * 30.0, np.array(seen), np.ones(8)).low_high()
        centre = math.exp(float(np.log(seen).mean()))  # where the fit of all of them lies
        held += low <= later / centre <= high
    assert held == pytest.approx(0.95 * 2000, abs=3 * math.sqrt(2000 * 0.05 * 0.95))


def test_paces_are_even_steps_of_students_distribution() -> None:
    drift = Drift(0.1, 8)
    logs = np.sort(np.log(drift.paces(40, np.random.default_rng(3)))) / (0.1 * math.sqrt(9 / 8))
    assert student.cdf(logs, 7) == pytest.approx((np.arange(40) + 0.5) / 40)


def test_a_fit_knows_the_drift_of_its_sweep() -> None:
    """Points of a known law in eight half minutes, every other one a tenth slower."""
    rows = [replace(row, point=k) for k, row in enumerate(sweep())]
    begin_s = {k: 30.0 * (k % 8) + 1 for k in range(len(rows))}
    slower = [replace(r, seconds=r.seconds * (1.1 if k % 2 else 1.0)) for k, r in enumerate(rows)]
    steady = fit_steps(rows, (), budget_tok=BUDGET, begin_s=begin_s, num_draws=20)
    assert steady.drift.num_blocks == 8
    assert steady.drift.sd < 1e-6
    wanders = fit_steps(slower, (), budget_tok=BUDGET, begin_s=begin_s, num_draws=20)
    # four at 0, four at log 1.1, wherever the law settles; its shape takes a little of that
    assert wanders.drift.sd == pytest.approx(math.log(1.1) * math.sqrt(8 / 7) / 2, rel=0.05)
    assert fit_steps(slower, (), budget_tok=BUDGET, num_draws=2).drift == Drift()
    told = np.array([law.a0 for law in wanders.likely]) / [law.a0 for law in wanders.draws]
    assert np.sort(told) == pytest.approx(
        np.sort(wanders.drift.paces(20, np.random.default_rng(0)))
    )
    assert wanders.likely == wanders.likely


def test_a_law_at_a_pace_takes_that_many_times_as_long() -> None:
    from harness.decisions.step_fit import step_times

    times = step_times(sweep(), BUDGET)
    assert LAW.at_pace(1.25).predict(times) == pytest.approx(1.25 * LAW.predict(times))

"""Trend and overload: against scipy, by hand, and on simulated queues."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.frame import read_frame
from harness.analysis.steady_state import (
    in_flight_at,
    in_flight_means,
    mann_kendall_z,
    steady_state,
)


def test_mann_kendall_by_hand():
    # 1 2 3 4: S = 6, var = 4*3*13/18 = 8.667, z = 5 / 2.944 = 1.698
    assert mann_kendall_z([1, 2, 3, 4]) == pytest.approx(1.6984, abs=1e-4)
    assert mann_kendall_z([4, 3, 2, 1]) == pytest.approx(-1.6984, abs=1e-4)
    assert mann_kendall_z([5, 5, 5, 5]) == 0.0
    # ties: 1 1 2: S = 2, var = (3*2*11 - 2*1*9)/18 = 48/18, z = 1 / 1.633
    assert mann_kendall_z([1, 1, 2]) == pytest.approx(1 / math.sqrt(48 / 18))


@pytest.mark.parametrize("seed", range(5))
def test_mann_kendall_s_is_kendalls_tau(seed):
    x = np.random.default_rng(seed).normal(size=20) + 0.05 * np.arange(20)
    tau = stats.kendalltau(np.arange(20), x).statistic
    s = tau * 190  # no ties: tau = S / (n (n-1) / 2)
    expected = (s - math.copysign(1, s)) / math.sqrt(20 * 19 * 45 / 18)
    assert mann_kendall_z(x) == pytest.approx(expected)


def test_in_flight_by_hand(rows):
    # [0, 4) and [1, 3); over [0, 2): (2 + 1) / 2, over [2, 4): (2 + 1) / 2; one never ends from 3
    made = [rows.row(0, [4.0]), rows.row(1, [3.0]), rows.row(3, end=None, error="cut")]
    made[2]["end_ns"] = None
    frame = read_frame(rows.requests(made), rows.T0_NS, rows.T0_NS + 6_000_000_000)
    assert in_flight_means(frame, np.array([0.0, 2, 4, 6])) == pytest.approx([1.5, 2.0, 1.0])
    assert [in_flight_at(frame, t) for t in (0.0, 1.0, 3.0, 5.0)] == [1, 2, 2, 1]


def queue(rows, load: float, seed: int):
    """120 s of Poisson arrivals at 8 req/s into one server of `load` utilisation."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / 8, 1500)) - 20
    service = rng.gamma(4, load / 8 / 4, len(arrivals))
    free, made = -20.0, []
    for at, work in zip(arrivals, service, strict=True):
        free = max(free, at) + work
        if at < 120:
            made.append(rows.row(float(at), [free]))
    return read_frame(rows.requests(made), rows.T0_NS, rows.T0_NS + 120_000_000_000)


@pytest.mark.parametrize("seed", range(4))
def test_a_target_that_keeps_pace_is_stable(rows, seed):
    assert not steady_state(queue(rows, 0.7, seed), "open", 1.0).is_unstable


@pytest.mark.parametrize("seed", range(4))
def test_more_than_the_capacity_is_unstable(rows, seed):
    found = steady_state(queue(rows, 1.3, seed), "open", 1.0)
    assert found.is_unstable
    assert found.backlog[1] > found.backlog[0] + 100


def test_bursty_arrivals_are_allowed_more(rows):
    frame = queue(rows, 1.3, 1)
    growth = steady_state(frame, "open", 1.0).growth_req
    assert steady_state(frame, "open", 1.0).allowed_req < growth
    assert not steady_state(frame, "open", 100.0).is_unstable


def test_closed_load_is_never_unstable(rows):
    assert not steady_state(queue(rows, 1.3, 1), "closed", None).is_unstable

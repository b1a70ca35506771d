"""The lasting crossing of a staircase and a line, against looking at every load."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions.staircase import Regime, Staircase, demand, replicas

# whole numbers over a power of two: every product below is exact
shapes = st.lists(st.integers(0, 12).map(lambda k: k / 4), min_size=1, max_size=6).filter(any)


def test_demand_keeps_what_the_last_window_needed() -> None:
    shape = np.array([1.0, 3.0, 0.5, 0.5])
    assert demand(shape, "autoscaled").tolist() == [1.0, 3.0, 3.0, 0.5]
    assert demand(shape, "fixed").tolist() == [3.0]


def test_by_hand() -> None:
    """One window, one spare: 2 replicas up to load 1, 3 up to 2, ... Against kappa 1.25 the step to
    k + 1 replicas at load k costs k + 2 > 1.25 k while k < 8; at k = 8 it is 10 = 1.25 x 8. So the
    last loss is on the step from 7 to 8: 9 replicas, which 1.25 x pays at 7.2."""
    steps = Staircase.of(np.array([1.0]), spare=1, end=100)
    assert steps.mean_replicas(np.array([0.5, 1.0, 1.001, 7.5])).tolist() == [2, 2, 3, 9]
    assert steps.crossing(1.25).tolist() == [7.2]
    assert steps.crossing(1.0).tolist() == [math.inf]
    first = steps.regimes(1.25, most=3)
    # 5 replicas up to load 4 are paid at 4.0 exactly, 6 up to 5 at 4.8, 7 up to 6 at 5.6
    assert first == (Regime(0, 4.8, False), Regime(4.8, 5, True), Regime(5, 5.6, False))


@settings(max_examples=150, deadline=None)
@given(shapes, st.integers(0, 2), st.integers(1, 64), st.sampled_from(["autoscaled", "fixed"]))
def test_against_every_load(shape: list[float], spare: int, rise: int, scaling: str) -> None:
    """kappa = slope + rise/8. All loads on a fine grid, and just above every edge of a step, up to
    where E[R] <= slope x + 1 proves that nothing overshoots."""
    need = demand(np.array(shape), scaling)  # type: ignore[arg-type]
    kappa = float(need.mean()) + rise / 8
    end = (1 + spare) / (rise / 8) + 1
    steps = Staircase.of(need, spare, end)
    found = float(steps.crossing(kappa)[0])
    # beside every edge, not on it: a load such as 4/3 is no float
    edges = steps.edges[1:]
    loads = np.unique(
        np.concatenate(
            [np.arange(1, 64 * end) / 64, edges * (1 - 1e-9), edges * (1 + 1e-9), [1e-9]]
        )
    )
    loads = loads[loads < end]
    mean = np.array([replicas(need, float(x)).mean() for x in loads]) + spare
    np.testing.assert_allclose(steps.mean_replicas(loads), mean, atol=1e-9)
    wins = mean <= kappa * loads * (1 + 1e-12)
    losing = loads[~wins]
    assert wins[loads >= found * (1 + 1e-8)].all()
    # and no smaller load would do: just below it, on-demand loses
    below = found * (1 - 1e-9)
    assert replicas(need, below).mean() + spare > kappa * below
    assert losing[-1] < found * (1 + 1e-8)


@settings(max_examples=100, deadline=None)
@given(shapes, st.integers(0, 2), st.floats(0.05, 20))
def test_regimes_tell_who_is_cheaper(shape: list[float], spare: int, kappa: float) -> None:
    steps = Staircase.of(demand(np.array(shape), "autoscaled"), spare, end=20)
    found = steps.regimes(kappa)
    assert found[0].low == 0
    assert found[-1].high == pytest.approx(steps.end)
    for one, after in itertools.pairwise(found):
        assert one.high == after.low
        assert one.is_on_demand != after.is_on_demand
    for regime in found:
        if regime.high - regime.low > 1e-6:
            # inside, and at no step's edge, where the two may just touch
            x = regime.low + 0.6180339 * (regime.high - regime.low)
            level = float(steps.mean_replicas(x))
            if level != pytest.approx(kappa * x, rel=1e-9):
                assert (level < kappa * x) == regime.is_on_demand


def test_no_crossing_where_the_fleet_grows_as_fast_as_the_bill() -> None:
    """A fixed fleet for a peak of 3: each unit of mean load takes 3 replicas; at kappa 3 it may win
    now and then, never for good."""
    steps = Staircase.of(np.array([3.0]), end=50)
    assert steps.crossing(np.array([2.9, 3.0])).tolist() == [math.inf, math.inf]
    assert any(r.is_on_demand for r in steps.regimes(3.02))
    assert steps.crossing(3.02).tolist() != [math.inf]  # 1/(3.02 - 3) = 50: just provable


def test_many_draws_are_single_look_ups() -> None:
    rng = np.random.default_rng(0)
    steps = Staircase.of(demand(rng.gamma(2, 0.5, 144), "autoscaled"), spare=1)
    kappa = rng.uniform(1, 6, 2000)
    each = [float(steps.crossing(k)[0]) for k in kappa]
    np.testing.assert_array_equal(steps.crossing(kappa), each)


def test_a_load_just_on_a_step_takes_no_replica_more() -> None:
    """4/3 of a replica in windows of 3/2 and 1/2 are two, which floats may make 2.0000000000000004:
    12.8 requests/s on replicas of 19.2, loaded to half, do."""
    load = 4 / 3 * (1 + 1e-15)
    assert load * 1.5 > 2
    need = demand(np.array([1.5, 0.5]), "autoscaled")
    assert replicas(need, load).tolist() == [2, 2]
    assert float(Staircase.of(need).mean_replicas(load)) == 2

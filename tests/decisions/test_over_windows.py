"""The crossing over windows: against an independent fit, by hand, and where windows have luck."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special

from harness.decisions.capacity import OVER_WINDOWS, capacity_of
from harness.decisions.levels import Level, Window, bracket
from harness.decisions.over_windows import crossing_of, windows_needed

SHARE = 0.95
RATES = (6.0, 6.6, 7.26, 7.99, 8.78)
TRUTH, SLOPE = 7.5, 11.0  # as S1 has it


def levels(shares: np.ndarray, n: int = 400, n_eff: float = 60.0) -> list[Level]:
    """shares: [rates, windows]."""
    return [
        Level(rate, tuple(Window(round(s * n), n, n_eff) for s in row))
        for rate, row in zip(RATES, shares, strict=True)
    ]


def mean_share(rate: float) -> float:
    return float(special.expit(special.logit(SHARE) - SLOPE * math.log(rate / TRUTH)))


def test_it_is_the_likelihoods_crossing_and_profile():
    """Against scipy's own maximum: of all, and with the crossing held at 7/s."""
    rng = np.random.default_rng(1)
    shares = np.clip([mean_share(r) + 0.04 * rng.standard_normal(6) for r in RATES], 0.5, 1)
    rows = levels(shares)
    x = np.repeat(np.log(RATES), 6)
    y = np.array([w.num_good / w.num_valid for level in rows for w in level.windows])

    def loss(c: float, b: float) -> float:
        eta = special.logit(SHARE) - b * (x - c)
        return float(np.sum(np.logaddexp(0, -eta) + (1 - y) * eta))

    best = optimize.minimize(lambda v: loss(v[0], math.exp(v[1])), [2.0, 2.0], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-12})  # fmt: skip
    found = crossing_of(rows, SHARE)
    assert found.value == pytest.approx(math.exp(best.x[0]), rel=0.006)  # a step of the candidates
    c, b = best.x[0], math.exp(best.x[1])
    p = special.expit(special.logit(SHARE) - b * (x - c))
    v = p * (1 - p)
    near = v.sum() ** 2 / (v * v).sum()
    assert found.num_near == pytest.approx(near, rel=0.05)
    scatter = 60 * ((y - p) ** 2).sum() / v.sum() * near / (near - 2)
    assert found.dispersion == pytest.approx(max(1.0, scatter), rel=0.1)
    held = optimize.minimize_scalar(lambda s: loss(math.log(7), math.exp(s)), bounds=(0.7, 5),
                                    method="bounded")  # fmt: skip
    t2 = 2 * 60 * (held.fun - best.fun) / found.dispersion
    assert np.interp(math.log(7), found.log_rate, found.t2) == pytest.approx(t2, rel=0.08)


def test_windows_that_differ_widen_it_and_requests_alone_do_not_show_that():
    """In the second case one window in four has 12 points less."""
    calm = np.array([[mean_share(r)] * 8 for r in RATES])
    luck = calm - 0.12 * np.array([0, 0, 0, 1] * 2)
    same, apart = (crossing_of(levels(np.clip(s, 0, 1), n=10_000), SHARE) for s in (calm, luck))
    assert same.dispersion == 1
    assert apart.dispersion > 1.5
    assert apart.ratio > same.ratio
    assert windows_needed(0.15, apart.scatter) > windows_needed(0.15, same.scatter)


def test_of_a_cliff_it_is_the_gap_and_far_rates_may_stay_where_they_like():
    for beyond in (0.0, 0.5):
        rows = levels(np.array([[1.0] * 6, [1.0] * 6, [beyond] * 6, [beyond] * 6, [beyond] * 6]))
        found = crossing_of(rows, SHARE)
        assert found.is_seen
        assert RATES[1] < found.value < RATES[2]
        assert found.low < RATES[2]
        assert found.high > RATES[1]
        assert found.ratio < 1.2


def test_between_rates_far_apart_no_curve_is_trusted():
    rows = [
        Level(4.0, (Window(1000, 1000, 500.0),) * 6),
        Level(8.0, (Window(500, 1000, 500.0),) * 6),
    ]
    found = capacity_of(rows, SHARE).estimate
    assert found.method == OVER_WINDOWS
    assert (found.low, found.high) == pytest.approx((4.0, 8.0))


def test_too_few_windows_show_no_scatter_and_the_bracket_stands():
    rows = [Level(4.0, (Window(1000, 1000, 500.0),)), Level(8.0, (Window(500, 1000, 500.0),))]
    assert not crossing_of(rows, SHARE).is_seen
    found = capacity_of(rows, SHARE)
    assert found.over_windows is None
    assert "bracket" in found.estimate.method
    assert crossing_of([], SHARE) is None


def test_a_growing_backlog_has_none_good_in_the_end():
    calm = [Level(r, (Window(400, 400, 60.0),) * 6) for r in RATES[:3]]
    always = Level(RATES[3], (Window(400, 400, 60.0, is_stable=False),) * 6)
    sure = crossing_of([*calm, always], SHARE)
    assert RATES[2] < sure.value < RATES[3]
    mixed = (Window(400, 400, 60.0, is_stable=False),) * 4 + (Window(400, 400, 60.0),) * 2
    both = crossing_of([*calm, Level(RATES[3], mixed)], SHARE)
    assert RATES[2] < both.value < RATES[3]
    assert both.high is None  # as the windows were, nothing missed


def test_it_covers_where_windows_have_luck_and_single_rates_do_not():
    """Shares drawn from a beta law about the curve, as skewed as S1's at a sigma of 10 %; 5 rates
    of 6 windows, 200 draws, seed 4. An end that errs in 5 % errs 19 times with probability 0.006.
    """
    rng = np.random.default_rng(4)
    low_wrong = high_wrong = held_wrong = 0
    for _ in range(200):
        mean = np.array([mean_share(r) for r in RATES])[:, None]
        size = 1 / 0.15 - 1
        shares = rng.beta(mean * size, (1 - mean) * size, (5, 6))
        rows = levels(shares)
        found = crossing_of(rows, SHARE)
        low_wrong += (found.low or 0) > TRUTH
        high_wrong += (found.high or math.inf) < TRUTH
        held = bracket(levels(shares[:, :1], n_eff=200.0), SHARE).low
        held_wrong += held is not None and held > TRUTH
    assert low_wrong < 19
    assert high_wrong < 19
    assert held_wrong > 19

"""Intervals against the printed tables, scipy, and coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.autocorrelation import autocorrelation, design_effect
from harness.analysis.bootstrap import ratio_intervals
from harness.analysis.intervals import clopper_pearson, wilson
from harness.analysis.quantiles import (
    STATS,
    Sample,
    estimate_quantiles,
    floor_eff,
    needed_requests,
    ranks,
    type7,
)

SEED = 20261124


@pytest.mark.parametrize(
    ("p", "two_sided", "one_sided"),
    [(0.5, 6, 5), (0.9, 36, 29), (0.95, 72, 59), (0.99, 368, 299), (0.999, 3688, 2995)],
)
def test_an_interval_exists_from_the_printed_sample_size(p, two_sided, one_sided):
    assert floor_eff(p) == two_sided
    for n, level in ((two_sided, 0.95), (one_sided, 0.90)):
        assert ranks(n, p, level=level).high == n
        assert ranks(n - 1, p, level=level).high is None


@pytest.mark.parametrize(
    ("n", "p", "low", "high"),
    [
        (1000, 0.5, 469, 532),
        (300, 0.95, 277, 293),
        (1000, 0.99, 983, 997),
        (10_000, 0.99, 9880, 9920),
    ],
)
def test_ranks_as_printed(n, p, low, high):
    found = ranks(n, p)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize("p", STATS.values())
def test_ranks_are_scipys_binomial_quantiles(p):
    for n in (*range(6, 400, 7), 4321, 100_000):
        low, high = stats.binom.ppf(0.025, n, p), stats.binom.ppf(0.975, n, p) + 1
        found = ranks(n, p)
        assert found.low == (low if low >= 1 else None)
        assert found.high == (high if high <= n else None)


def test_ranks_of_a_correlated_sample_are_scaled_and_rounded_outwards():
    # n_eff 300 of 1,000 at p95: 277 * 10/3 = 923.3 -> 923, 293 * 10/3 = 976.7 -> 977
    found = ranks(1000, 0.95, 300.9)
    assert (found.low, found.high) == (923, 977)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9, 0.95, 1.0])
def test_type_7_is_numpys_default(p):
    x = np.sort(np.random.default_rng(SEED).lognormal(size=137))
    assert type7(x, p) == pytest.approx(np.quantile(x, p), rel=1e-12)


def test_type_7_between_a_value_and_a_failure_is_not_reached():
    # position .5 * 3 = 1.5, between 2 and infinity; at 1/3 the position is exactly 1
    x = np.array([1.0, 2.0, math.inf, math.inf])
    assert type7(x, 0.5) == math.inf
    assert type7(x, 1 / 3) == 2.0


def test_quantiles_that_the_sample_cannot_carry_are_withheld():
    rng = np.random.default_rng(SEED)
    found = {p.shown.stat: p.shown for p in estimate_quantiles(Sample("ttft", "s", rng.random(50)))}
    assert found["p50"].value is not None
    assert found["p99"].value is None
    assert found["p99"].reason == "n=50: p99 not reported, it needs 1,000"
    assert [needed_requests(p) for p in STATS.values()] == [6, 100, 200, 1000, 10_000]


def test_few_effective_requests_withhold_a_quantile_too():
    # blocks of 100 equal values: 2,000 requests are about 20 independent ones
    x = np.repeat(np.random.default_rng(SEED).random(20), 100)
    p95 = estimate_quantiles(Sample("ttft", "s", x))[2].shown
    assert p95.value is None
    assert "autocorrelation" in p95.reason


@pytest.mark.parametrize(("k", "n"), [(0, 50), (3, 50), (25, 50), (50, 50), (7, 1000)])
def test_shares_against_scipy(k, n):
    oracle = stats.binomtest(k, n)
    score = oracle.proportion_ci(0.95, method="wilson")
    exact = oracle.proportion_ci(0.90, method="exact")
    shown, bound = wilson(k, n), clopper_pearson(k, n, 0.95)
    assert (shown.low, shown.high) == pytest.approx((score.low, score.high), abs=1e-12)
    assert (bound.low, bound.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_the_design_effect_shrinks_a_share_s_sample():
    assert clopper_pearson(6, 60, deff=3.0) == clopper_pearson(2, 20)
    assert wilson(6, 60, deff=3.0) == wilson(2, 20)


# requests needed to demonstrate an availability with k failures, at 95 % / 99 % confidence
DEMONSTRATE = {
    0.99: (
        (0, 299, 459), (1, 473, 662), (2, 628, 838), (3, 773, 1001), (5, 1049, 1307),
        (10, 1693, 2010),
    ),
    0.999: (
        (0, 2995, 4603), (1, 4742, 6636), (2, 6294, 8403), (3, 7752, 10042), (5, 10511, 13105),
        (10, 16959, 20140),
    ),
    0.9999: (
        (0, 29956, 46050), (1, 47437, 66381), (2, 62956, 84057), (3, 77535, 100448),
        (5, 105128, 131081), (10, 169619, 201442),
    ),
}  # fmt: skip


@pytest.mark.parametrize("target", DEMONSTRATE)
def test_requests_to_demonstrate_an_availability(target):
    for k, *sizes in DEMONSTRATE[target]:
        for n, confidence in zip(sizes, (0.95, 0.99), strict=True):
            assert clopper_pearson(k, n, confidence).high <= 1 - target
            assert clopper_pearson(k, n - 1, confidence).high > 1 - target


def test_autocorrelation_of_a_hand_series():
    # mean 0, x.x = 4; lag 1: -1+1... = (1*1 + 1*-1 + -1*-1)/4 = 1/4; lag 2: (-1 -1)/4; lag 3: -1/4
    assert autocorrelation([1, 1, -1, -1])[:4] == pytest.approx([1, 0.25, -0.5, -0.25])


def test_design_effect_of_an_ar1_series():
    # sum of rho^k = 0.8 / 0.2 = 4, deff = 1 + 2 * 4 = 9
    rng = np.random.default_rng(SEED)
    x = np.zeros(60_000)
    noise = rng.normal(size=len(x))
    for i in range(1, len(x)):
        x[i] = 0.8 * x[i - 1] + noise[i]
    assert design_effect(x) == pytest.approx(9, rel=0.15)
    assert design_effect(noise) == pytest.approx(1, abs=0.05)
    assert design_effect(np.ones(100)) == 1.0


def test_coverage_of_a_correlated_median_needs_the_design_effect():
    """AR(1) latencies: 200 trials, nominal 95 %. Fewer than 178 hits: chance 1e-3."""
    rng = np.random.default_rng(SEED)
    noise = rng.normal(size=(200, 1200))
    x = np.zeros_like(noise)
    x[:, 0] = noise[:, 0] / math.sqrt(1 - 0.49)
    for i in range(1, x.shape[1]):
        x[:, i] = 0.7 * x[:, i - 1] + noise[:, i]
    hits = naive = 0
    for trial in np.exp(x):
        p50 = estimate_quantiles(Sample("ttft", "s", trial))[0].shown
        hits += p50.low <= 1.0 <= p50.high
        ordered, rank = np.sort(trial), ranks(1200, 0.5)
        naive += ordered[rank.low - 1] <= 1.0 <= ordered[rank.high - 1]
    assert hits >= 178
    assert naive < 150


def test_coverage_of_an_independent_p95():
    """200 trials of n = 300, exact coverage 95 %. Fewer than 178 hits: chance 1e-3."""
    rng = np.random.default_rng(SEED)
    truth = float(stats.expon.ppf(0.95))
    hits = 0
    for _ in range(200):
        p95 = estimate_quantiles(Sample("ttft", "s", rng.exponential(size=300)))[2].shown
        hits += p95.low is not None and p95.low <= truth <= p95.high
    assert hits >= 178


def test_coverage_of_a_rate_with_memory():
    """Poisson arrivals spread over 2 s of work, 60 s window: nominal 95 %, 80 trials.

    At a true 95 % fewer than 68 hits have a chance of 1e-4.
    """
    rng = np.random.default_rng(SEED)
    hits = 0
    for _ in range(80):
        arrivals = rng.uniform(-10, 60, rng.poisson(70 * 8))
        tokens = (arrivals[:, None] + np.linspace(0, 2, 20)).ravel()
        per_bin = np.histogram(tokens, 120, (0, 60))[0].astype(float)
        found = ratio_intervals(per_bin, np.full(120, 0.5), 0.5, 2.0, rng)
        hits += found.shown.low <= 160 <= found.shown.high
    assert hits >= 68


def test_a_rate_s_interval_is_reproducible_and_refused_when_the_window_is_short():
    per_bin, seconds = np.arange(40.0) % 7, np.full(40, 0.25)
    first = ratio_intervals(per_bin, seconds, 0.25, 0.5, np.random.default_rng(1))
    assert first == ratio_intervals(per_bin, seconds, 0.25, 0.5, np.random.default_rng(1))
    assert first.value == pytest.approx(per_bin.sum() / 10)
    assert first.shown.low < first.bound.low < first.value < first.bound.high < first.shown.high
    long_stay = ratio_intervals(per_bin, seconds, 0.25, 5.0, np.random.default_rng(1))
    assert long_stay.shown.low is None
    assert "too short" in long_stay.reason


def test_no_quantile_is_told_beyond_one_withheld():
    # one block of slow requests: p90 rests on few independent observations, p99.9 seems to on many
    values = np.random.default_rng(SEED).permutation(20_000) / 1e6
    values[8_000:11_000] += 1.0
    told = {p.shown.stat: p for p in estimate_quantiles(Sample("ttft", "s", values))}
    assert told["p90"].shown.value is None
    assert math.floor(told["p99.9"].shown.n_eff) >= floor_eff(0.999)  # alone it would be told
    for name in ("p95", "p99", "p99.9"):
        assert told[name].shown.value is told[name].bound.value is None
    assert told["p99.9"].shown.reason.startswith("p90 is not reported")
    assert told["max"].shown.value == values.max()

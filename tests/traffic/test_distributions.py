"""Draws against scipy's own laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.errors import UsageError
from harness.scenario import document as doc
from harness.scenario.materials import QuantileTable
from harness.traffic.distributions import draw, draw_counts, draw_groups

N = 20_000


@pytest.mark.parametrize(
    ("what", "law"),
    [
        (doc.Uniform(kind="uniform", min=3, max=9), stats.uniform(3, 6)),
        (doc.Exponential(kind="exponential", mean=4), stats.expon(scale=4)),
        (
            doc.Lognormal(kind="lognormal", median=250, p95=1200, max=1e8),
            stats.lognorm(np.log(1200 / 250) / stats.norm.ppf(0.95), scale=250),
        ),
    ],
)
def test_draws_follow_their_law(what, law) -> None:
    """KS at 1e-6: the false alarm probability, seed fixed."""
    drawn = draw(what, np.random.default_rng(1), N, {})
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-6


def test_lognormal_above_max_is_redrawn_not_clipped() -> None:
    what = doc.Lognormal(kind="lognormal", median=250, p95=1200, max=500)
    drawn = draw(what, np.random.default_rng(1), N, {})
    law = stats.lognorm(np.log(1200 / 250) / stats.norm.ppf(0.95), scale=250)
    assert drawn.max() <= 500
    assert stats.kstest(drawn, lambda x: law.cdf(x) / law.cdf(500)).pvalue > 1e-6


def test_empirical_is_linear_between_the_tables_rows() -> None:
    table = QuantileTable(np.array([0, 0.5, 1.0]), np.array([10.0, 20.0, 100.0]))
    what = doc.Empirical(kind="empirical", file="f", column="c")
    drawn = draw(what, np.random.default_rng(1), N, {("f", "c"): table})
    cdf = lambda x: np.interp(x, table.value, table.q)  # noqa: E731
    assert stats.kstest(drawn, cdf).pvalue > 1e-6
    with pytest.raises(UsageError, match="no table for column 'c'"):
        draw(what, np.random.default_rng(1), N, {})


def test_counts_are_whole_and_at_least_one() -> None:
    rng = np.random.default_rng(1)
    few = draw_counts(doc.Exponential(kind="exponential", mean=0.1), rng, N, {})
    assert few.min() == 1
    die = draw_counts(doc.Uniform(kind="uniform", min=1, max=6), rng, N, {})
    assert stats.chisquare(np.bincount(die)[1:]).pvalue > 1e-6
    assert set(die) == {1, 2, 3, 4, 5, 6}
    assert set(draw_counts(doc.Fixed(kind="fixed", value=7), rng, 9, {})) == {7}


def test_groups_without_popularity_are_equally_often() -> None:
    counts = np.bincount(draw_groups(None, 10, np.random.default_rng(1), N))
    assert stats.chisquare(counts).pvalue > 1e-6


@pytest.mark.parametrize(
    "what",
    [
        doc.Uniform(kind="uniform", min=1, max=6000),
        doc.Exponential(kind="exponential", mean=40),
        doc.Lognormal(kind="lognormal", median=250, p95=1200, max=400),
    ],
)
def test_more_draws_change_none_of_the_first(what) -> None:
    few = draw_counts(what, np.random.default_rng(3), 101, {})
    assert np.array_equal(few, draw_counts(what, np.random.default_rng(3), 5000, {})[:101])

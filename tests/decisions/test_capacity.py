"""The sustained rate: hand-made sweeps, an independent isotonic fit, coverage on known curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from harness.analysis import PointSummary, analyse_point
from harness.decisions import find_capacity, sustained
from harness.decisions.capacity import capacity_of, violations
from harness.decisions.isotonic import crossing, falling_fit
from harness.decisions.levels import Level, Window, bracket, ladders
from harness.estimate import Estimate, Outcome
from harness.scenario.slo import Slo
from tests.reports.sample import point as sample_point


def level(rate: float, good: int, valid: int, *, is_stable: bool = True) -> Level:
    return Level(rate, (Window(good, valid, float(valid), is_stable),))


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0.5, 50)), min_size=1, max_size=12
    )
)  # fmt: skip
def test_the_fit_is_that_of_scipy(rows):
    shares, weights = map(list, zip(*rows, strict=True))
    expected = isotonic_regression(shares, weights=weights, increasing=False).x
    assert falling_fit(shares, weights) == pytest.approx(expected, abs=1e-9)


def test_fits_of_many_draws_are_those_of_each():
    rng = np.random.default_rng(1)
    draws, weights = rng.random((20, 6)), rng.random(6) + 0.1
    one_by_one = [falling_fit(row, weights) for row in draws]
    assert falling_fit(draws, weights) == pytest.approx(np.array(one_by_one))


def test_the_crossing_is_read_over_log_rate():
    # 1.0 at 4/s falls to 0.9 at 16/s: 0.95 lies half way, at 4 * sqrt(4) = 8/s
    assert crossing([4, 16], [1.0, 0.9], 0.95) == pytest.approx(8.0)
    assert crossing([4, 16], [0.94, 0.9], 0.95) == pytest.approx(4.0)  # even the first misses
    assert crossing([4, 16], [0.99, 0.96], 0.95) == pytest.approx(16.0)  # the last still holds
    assert crossing([4, 8, 16], [0.99, 0.95, 0.5], 0.95) == pytest.approx(8.0)


def test_a_level_holds_misses_or_stays_open():
    # Clopper-Pearson at 99 %: 459 of 459 show 0.99 exactly (0.99^459 = 0.00993)
    assert level(1, 459, 459).standing(0.99) == "holds"
    assert level(1, 458, 458).standing(0.99) == "open"
    assert level(1, 90, 100).standing(0.99) == "misses"
    assert level(1, 459, 459, is_stable=False).standing(0.99) == "misses"
    stopped = Window(90, 100, 100.0, is_stopped=True)  # stop.max_error_rate, whatever its share
    assert Level(1.0, (stopped,)).standing(0.5) == "misses"
    assert Level(1.0, (stopped, Window(100, 100, 100.0))).standing(0.5) == "holds"  # one of two
    silent = Level(1.0, (Window(0, 0, 0.0, is_stable=False),))  # nobody had an answer before it was
    assert (silent.standing(0.5), silent.share) == ("misses", 0.0)
    pair = Level(1.0, (Window(300, 300, 300.0), Window(270, 300, 300.0)))
    assert pair.n_eff < 600  # windows that disagree are worth less than their requests


def test_the_bracket_of_a_sweep_and_its_interval():
    found = capacity_of([level(2, 990, 1000), level(4, 960, 1000), level(8, 500, 1000)], 0.95)
    assert (found.bracket.low, found.bracket.high) == (2, 8)  # 4/s: lower bound 0.943, open
    assert found.estimate.value is not None
    # on log rate between 0.96 at 4/s and 0.5 at 8/s: 4 * 2^(0.01/0.46)
    assert found.estimate.value == pytest.approx(4 * 2 ** (0.01 / 0.46))
    assert (found.estimate.low, found.estimate.high) == (2, 8)
    assert (found.estimate.metric, found.estimate.unit) == ("max_goodput", "req/s")


def test_an_unstable_rate_misses_whatever_its_share():
    found = capacity_of([level(2, 1000, 1000), level(3, 1000, 1000, is_stable=False)], 0.95)
    assert (found.bracket.low, found.bracket.high) == (2, 3)
    assert found.estimate.value is not None
    assert 2 <= found.estimate.value < 2.1  # in the long run none is good at 3/s


def test_what_was_not_measured_is_not_claimed():
    above = capacity_of([level(2, 1000, 1000), level(4, 1000, 1000)], 0.95).estimate
    assert (above.value, above.low, above.high) == (4, 4, None)
    assert "may lie above 4 req/s" in above.reason
    below = capacity_of([level(2, 500, 1000)], 0.95).estimate
    assert (below.value, below.low, below.high) == (None, None, 2)
    assert "not even 2 req/s" in below.reason
    few = capacity_of([level(2, 20, 20), level(4, 2, 20)], 0.95).estimate
    assert few.low is None
    assert "surely holds" in few.reason


def test_a_rate_that_misses_below_one_that_holds_is_told():
    rows = [level(2, 999, 1000), level(4, 900, 1000), level(8, 999, 1000), level(16, 100, 1000)]
    (found,) = violations(rows)
    assert (found.low_req_per_s, found.high_req_per_s) == (4, 8)
    ends = bracket(rows, 0.95)
    assert (ends.low, ends.high) == (2, 16)  # both sides of the contradiction are drawn in
    assert violations(rows[:2]) == ()


def test_the_interval_covers_a_known_crossing():
    """Attainment 1 / (1 + (r/10)^12) crosses 0.95 at 7.824/s; 200 sweeps, seed 5.

    A 95 % interval that covered 95 % fails 180 of 200 with probability 0.001 or less.
    """
    rng = np.random.default_rng(5)
    rates, truth = np.array([5, 6, 7, 8, 9, 10.0]), 10 * (1 / 0.95 - 1) ** (1 / 12)
    covered = 0
    for _ in range(200):
        parts = rng.binomial(40, (1 / (1 + (rates / 10) ** 12))[:, None], (6, 10))
        levels = [
            Level(r, (Window(int(p.sum()), 400, 400.0, True, tuple((int(k), 40) for k in p)),))
            for r, p in zip(rates, parts, strict=True)
        ]
        found = capacity_of(levels, 0.95).estimate
        covered += (found.low or 0) <= truth <= (found.high or np.inf)
    assert covered >= 180


def rated(rate: float, share: float, n: int = 1000, **changes: object) -> PointSummary:
    base = sample_point(0, rate)
    good = Estimate("slo_attainment", "ratio", "ratio", share, n=n, n_eff=float(n),
                    population="valid")  # fmt: skip
    kept = [e for e in base.estimates if e.metric != "slo_attainment"]
    meta = replace(base.meta, slo=Slo(attainment="95%"), **changes)  # type: ignore[arg-type]
    return replace(base, meta=meta, estimates=(*kept, good))


def test_sustained_reads_a_stored_sweep():
    found = find_capacity([rated(8, 0.5), rated(2, 1.0), rated(4, 1.0)])
    assert (found.estimate.low, found.estimate.high) == (4, 8)
    assert found.share == 0.95
    assert [lv.rate_req_per_s for lv in found.levels] == [2, 4, 8]
    assert sustained([rated(2, 1.0), rated(8, 0.96)], share=0.99).high == 8


def test_sustained_refuses_what_proves_no_rate():
    assert "no open load" in sustained([rated(2, 1.0, kind="closed")]).reason
    without = replace(rated(2, 1.0), meta=replace(rated(2, 1.0).meta, slo=Slo()))
    assert "slo.attainment" in sustained([without]).reason
    two = [rated(2, 1.0, target="a"), rated(4, 0.5, target="b")]
    assert "several targets" in sustained(two).reason
    assert list(ladders(two)) == [("a",), ("b",)]
    void = replace(rated(4, 0.1), validity=Outcome.INVALID)
    assert sustained([rated(2, 1.0), void]).high is None  # a void point is no miss


def test_the_tenths_of_a_window_add_up_to_its_attainment(rows):
    # 1 request/s for 100 s; of each tenth the first 3 are slow
    made = [
        rows.row(float(i), [i + (0.5 if i % 10 < 3 else 0.1) + 0.02 * k for k in range(5)])
        for i in range(100)
    ]
    meta = rows.meta(100, slo=Slo.model_validate({"good_request": {"ttft": "200ms"}}))
    found = analyse_point(rows.requests(made), rows.clients(100), meta)
    assert found.good_parts == ((7, 10),) * 10
    assert PointSummary.from_json(found.to_json()) == found

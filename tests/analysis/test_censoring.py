"""Kaplan-Meier: a hand case, the uncensored limit, and the effect of a deadline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis import analyse_point
from harness.analysis.censoring import estimate_censored, kaplan_meier
from harness.analysis.latency import CensoredSample
from harness.analysis.quantiles import Sample


def test_hand_case():
    # 1, 2+, 3, 4+, 5, failed.  At 1: 6 at risk, S = 5/6.  At 3: 4 at risk, S = 5/6 * 3/4 = .625.
    # At 5: 2 at risk (5 and the failure), S = .3125.
    values = np.array([3.0, 1.0, 4.0, math.inf, 2.0, 5.0])
    is_cut = np.array([False, False, True, False, True, False])
    times, share = kaplan_meier(values, is_cut)
    assert times.tolist() == [1, 3, 5]
    assert share == pytest.approx([1 / 6, 0.375, 0.6875])


def test_a_cut_at_the_instant_of_a_finish_is_still_at_risk():
    times, share = kaplan_meier(np.array([1.0, 1.0]), np.array([True, False]))
    assert (times.tolist(), share.tolist()) == ([1.0], [0.5])


def test_against_scipy():
    rng = np.random.default_rng(7)
    values, limit = rng.exponential(1, 200), rng.uniform(0.5, 4, 200)
    is_cut = values > limit
    seen = np.where(is_cut, limit, values)
    data = stats.CensoredData(uncensored=seen[~is_cut], right=seen[is_cut])
    oracle = stats.ecdf(data).cdf
    times, share = kaplan_meier(seen, is_cut)
    assert share == pytest.approx(oracle.evaluate(times))


def test_a_quantile_past_the_curve_is_not_reached():
    # the six slowest of 300 were cut: the curve ends at 98 %, p99.9 has too few, p95 stands
    values = np.linspace(1, 2, 1200)
    is_cut = np.arange(1200) >= 1180
    order = np.random.default_rng(0).permutation(1200)
    sample = Sample("e2e_latency", "s", values[order])
    pairs = {
        p.shown.stat: p.shown for p in estimate_censored(CensoredSample(sample, is_cut[order]))
    }
    assert pairs["p95"].value == pytest.approx(1.95, abs=1e-3)
    assert pairs["p99"].value == math.inf
    assert pairs["p99"].reason == "not reached before the end"


def point(rows, num_cut: int):
    """100 requests of 1 s; the last num_cut were cut after 0.5 s."""
    made = [rows.row(i * 0.1, [i * 0.1 + 0.2, i * 0.1 + 1.0]) for i in range(100)]
    for i in range(100 - num_cut, 100):
        made[i] |= {"error_class": "cut", "end_ns": rows.ns(i * 0.1 + 0.5)}
    return analyse_point(rows.requests(made), rows.clients(), rows.meta(10))


def test_cut_requests_are_counted_and_leave_latency_right(rows):
    found = point(rows, 4)
    assert found.counts["cut"] == 4
    assert found.counts["valid"] == 96
    p50 = found.find("e2e_latency", "p50", population="valid")
    assert (p50.value, p50.n, p50.method[:12]) == (1.0, 100, "Kaplan-Meier")


def test_too_many_cut_withhold_the_end_to_end_latency_only(rows):
    found = point(rows, 6)
    assert found.find("e2e_latency", "p50").value is None
    assert "load.drain" in found.find("e2e_latency", "p50").reason
    assert found.find("ttft", "p50").value == pytest.approx(0.2)
    assert found.is_valid

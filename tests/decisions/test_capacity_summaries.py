"""USL, fluid bound, frontier, what broke first, the planner's sentence: by hand, in numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.decisions.broke_first import broke_first
from harness.decisions.capacity import find_capacity
from harness.decisions.fluid import fluid_bound_req_per_s, full_batch
from harness.decisions.frontier import Place, mark_dominated
from harness.decisions.other_limits import other_limits
from harness.decisions.planner import example_rate, planner_sentence, replicas_needed
from harness.decisions.usl import fit_usl, scaling_of
from harness.scenario.slo import Slo
from tests.decisions.rates import point


@pytest.mark.parametrize(
    ("most", "rate"), [(32, 7.48), (64, 9.31), (128, 10.62), (200, 11.18), (256, 11.42)]
)
def test_fluid_bound_of_s1(most, rate):
    """The table of S1: prefill 6 ms + 50 us n + 0.1 ns n^2, step 8 ms + 30 us B + 40 ns KV.

    Azure conversation lengths: mean 1,155 in and 211 out; context grows to in + out / 2 on average.
    """
    batch = full_batch(most, 400_000, 1155, 211)
    prefill_s = 0.006 + 5e-5 * 1155 + 1e-10 * 1155**2 * 1.9  # E[n^2] = (1 + cv^2) E[n]^2, cv .95
    context = 1155 + 211 / 2

    def step_s(b):
        return 0.008 + 3e-5 * b + 4e-8 * b * context

    assert fluid_bound_req_per_s(prefill_s, 211, batch, step_s) == pytest.approx(rate, rel=0.02)


def test_usl_finds_what_made_the_points():
    n = np.array([1, 2, 4, 8, 16, 32.0])
    x = 10 * n / (1 + 0.05 * (n - 1) + 0.001 * n * (n - 1))
    found = fit_usl(n, x, np.zeros(6))
    assert found.single.value == pytest.approx(10, rel=1e-6)
    assert found.contention.value == pytest.approx(0.05, rel=1e-5)
    assert found.crosstalk.value == pytest.approx(0.001, rel=1e-4)
    assert found.peak.value == pytest.approx(math.sqrt(0.95 / 0.001), rel=1e-4)  # N* = 30.8
    assert found.worst_ratio < 1e-6
    assert found.throughput(4) == pytest.approx(x[2])


@pytest.mark.parametrize("contention", [0.0, 0.05, 0.24])
def test_usl_of_exact_points_without_crosstalk_has_no_peak(contention: float) -> None:
    n = np.array([1, 2, 4, 8, 16, 32.0])
    found = fit_usl(n, 7.352 * n / (1 + contention * (n - 1)), np.zeros(6))
    assert found.crosstalk.value == 0
    assert found.peak.value == math.inf


def test_usl_of_a_linear_system_has_no_peak_and_its_intervals_hold_0():
    rng = np.random.default_rng(2)
    n = np.array([1, 2, 3, 4, 6, 8.0])
    x = 5 * n * (1 + 0.02 * rng.standard_normal(6))
    found = fit_usl(n, x, 0.02 * x)
    assert found.contention.low == 0
    assert found.crosstalk.low == 0
    assert found.peak.high == math.inf
    with pytest.raises(ValueError, match="needs 4 points"):
        fit_usl([1, 2, 3], [1, 2, 3], [0, 0, 0])


def test_usl_intervals_cover():
    """40 noisy curves, seed 7: the 95 % interval of l covers at least 33 (P < 0.001 if it held)."""
    rng = np.random.default_rng(7)
    n = np.array([1, 2, 4, 8, 12, 16.0])
    truth = 10 * n / (1 + 0.08 * (n - 1))
    covered = 0
    for k in range(40):
        x = truth * (1 + 0.03 * rng.standard_normal(6))
        found = fit_usl(n, x, 0.03 * truth, seed=k).single
        covered += (found.low or 0) <= 10 <= (found.high or math.inf)
    assert covered >= 33


def test_a_place_is_dominated_where_another_gives_more_of_one_and_no_less_of_the_other():
    places = [Place(1, 50, 50), Place(4, 40, 180), Place(8, 20, 300), Place(16, 18, 250)]
    found = {p.load: p.is_dominated for p in mark_dominated(places)}
    assert found == {1: False, 4: False, 8: False, 16: True}
    twice = mark_dominated([Place(1, 50, 50), Place(2, 50, 50)])
    assert not any(p.is_dominated for p in twice)


def test_replicas_rest_on_the_lower_end():
    assert replicas_needed(40, 9.1) == 5
    assert replicas_needed(40, 10) == 4  # exactly
    assert replicas_needed(0.1, 9.1) == 1
    assert [example_rate(low) for low in (9.1, 4.2, 0.6, 10)] == [50, 40, 5, 100]


def test_the_planners_sentence(rows):
    points = [point(rows, 4, 0.05, index=0), point(rows, 8, 0.4, index=1)]
    found = planner_sentence(points)
    capacity = find_capacity(points)
    assert (capacity.bracket.low, capacity.bracket.high) == (4, 8)
    assert found.answer.startswith("Sustains 4")
    assert "95% CI 4.00 to 8.00 req/s" in found.detail
    assert (
        "with 95% of requests good [TTFT at most 300 ms and TPOT at most 50.0 ms]" in found.detail
    )
    assert "First limit reached: TTFT, from the prefill queue" in found.detail
    assert "For example 40 req/s needs 11 replicas: 10 at the lower bound, 1 spare." in found.detail


def test_the_sentence_tells_the_limits_of_each_class(rows):
    own = Slo.model_validate({"good_request": {"ttft": "2s"}})
    points = [point(rows, 4, 0.05), point(rows, 8, 0.4)]

    def told(classes, class_slos):
        same = [
            replace(p, meta=replace(p.meta, classes=classes, class_slos=class_slos)) for p in points
        ]
        return planner_sentence(same).detail.partition("[")[2].partition("]")[0]

    common = "TTFT at most 300 ms and TPOT at most 50.0 ms"
    wide = "TTFT at most 2.00 s and TPOT at most 50.0 ms"
    assert told(("chat", "long"), {"long": own}) == f"{common}; long: {wide}"
    assert told(("chat",), {"chat": own}) == wide
    assert told(("chat", "long"), {"chat": own, "long": own}) == wide
    assert told(("chat", "long"), {"long": points[0].meta.slo}) == common


def test_what_broke_first_is_the_limit_that_most_requests_break(rows):
    fine, slow = point(rows, 4, 0.05), point(rows, 8, 0.05, gap_s=0.08)
    first = broke_first([fine, slow], find_capacity([fine, slow]))
    assert (first.metric, first.cause, first.is_seen) == ("tpot", "compute", False)
    failing = point(rows, 8, 0.05, error="http_5xx")
    first = broke_first([fine, failing], find_capacity([fine, failing]))
    assert (first.metric, first.cause) == ("error_rate", "errors")
    assert broke_first([fine], find_capacity([fine])) is None


def test_other_limits_are_judged_as_the_scenarios_own(rows):
    points = [point(rows, 4, 0.05), point(rows, 8, 0.2)]
    capacity = find_capacity(points)
    (scope,) = other_limits(points, 0.95)
    own = [rate.at(*scope.default) for rate in scope.rates]
    assert [cell[2] for cell in own] == [lv.standing(0.95) for lv in capacity.levels]
    assert [cell[0] for cell in own] == [lv.num_good for lv in capacity.levels]
    # at 8/s one in ten begins after 0.6 s: under a laxer limit it holds
    looser = next(i for i, limit in enumerate(scope.ttft_s) if limit > 0.6)
    assert [r.at(looser, scope.default[1])[2] for r in scope.rates] == ["holds", "holds"]
    assert [r.at(0, 0)[2] for r in scope.rates] == ["misses", "misses"]


def test_scaling_needs_four_stable_points(rows):
    assert scaling_of([point(rows, rate, 0.05) for rate in (2, 4, 8)]) is None
    found = scaling_of([point(rows, rate, 0.05) for rate in (2, 4, 8, 16)])
    # each request stays 0.24 s whatever the rate: one at a time gives 1 / 0.24 = 4.17/s, linearly
    assert found.single.low <= 1 / 0.24 <= found.single.high
    assert (found.contention.low, found.crosstalk.low) == (0, 0)


def test_little_holds_where_nothing_piles_up(rows):
    found = point(rows, 8, 0.05).little
    assert found.mean_in_flight == pytest.approx(8 * 0.24, rel=0.02)
    assert abs(found.difference_ratio) < 0.02

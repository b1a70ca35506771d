"""Replicas over a day: sizes by hand, the simulated day behind them, verdict, document, sheet."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions import replicas as replicas_module
from harness.decisions.drift import Drift
from harness.decisions.hinge import Hinge
from harness.decisions.plan_document import empty_plan, plan_schema, with_part
from harness.decisions.played_sizes import fits_of, least_replicas
from harness.decisions.recorded import Recorded
from harness.decisions.replica_document import hours_csv, replica_document
from harness.decisions.replica_words import headline_of, verdict_of
from harness.decisions.replicas import Fleet, ReplicaPlan, arrivals_of, plan_replicas
from harness.decisions.step_fit import HeldOut, StepFit
from harness.decisions.swept_hull import SweptHull
from harness.decisions.twin import Deployment, Requests
from harness.decisions.twin_capacity import Mix, Objective, TwinCapacity, doubt_of
from harness.estimate import Estimate, Outcome

FLAT = Hinge(a0=0.1, b=0.1, a1=0.0, d=0.0, c=0.0, e=0.0, o=0.0, loss=0.0, corner=1)
FIT = StepFit(
    FLAT, (FLAT,), 0.0, 0.0, HeldOut(20, 0.02, 0.04, 0.05),
    SweptHull(((1.0, 4000.0), (64.0, 60000.0)), 4000), 512, 1.0, 20, 8,
)  # fmt: skip
ALONE = Deployment(1, 512, 100_000)  # a request of 3 tokens takes 0.3 s: at most 3.33 requests/s
MIX = Mix("short", np.array([10, 20]), np.array([3, 3]))
OBJECTIVE = Objective(ttft_s=2.0, attainment=0.95)
RATES = np.array([1.0, 5.0, 9.0, 3.0])


def capacity(extrapolated: tuple[str, ...] = ()) -> TwinCapacity:
    estimate = Estimate("max_goodput", "rate", "req/s", 2.5, 2.0, 3.0)
    return TwinCapacity(estimate, (2.0, 3.0), "TTFT: steps grow", extrapolated, (), 18.0)


def plan(fleet: Fleet | None = None) -> ReplicaPlan:
    given = fleet or Fleet(spare=1, cold_start_s=30.0)
    return plan_replicas(FIT, ALONE, capacity(), MIX, OBJECTIVE, RATES, 1800.0, given)


def test_sizes_by_hand() -> None:
    """Peaks of 5 and 9 over 2 (surely), 2.5 (likely) and 3 requests/s of one replica."""
    found = plan()
    assert [(h.fewest, h.likely, h.needed) for h in found.hours] == [(2, 2, 3), (3, 4, 5)]
    assert [(h.mean_req_per_s, h.peak_req_per_s) for h in found.hours] == [(3, 5), (6, 9)]
    fixed = found.fixed
    assert (fixed.at_lower_bound, fixed.replicas, fixed.likely) == (5, 6, 4)
    assert fixed.replica_hours == 12
    assert plan(Fleet(spare=0)).fixed.replicas == 5


def test_the_day_is_simulated_on_both_fleets() -> None:
    found = plan()
    assert found.num_requests == pytest.approx(RATES.sum() * 1800, rel=0.03)
    assert found.fixed.good > 0.99
    assert found.fixed.good_without_one > 0.9
    scaled = found.autoscaled
    assert scaled.is_simulated
    assert 1 <= scaled.mean_replicas < found.fixed.replicas
    assert scaled.replica_hours == pytest.approx(scaled.mean_replicas * 2, rel=0.05)
    assert scaled.cold_starts >= 3
    # ramps of 4 requests/s at once outrun a fleet that needs 30 s to see and 30 s to start
    assert scaled.good < found.fixed.good
    assert found.hours[1].autoscaled > found.hours[0].autoscaled


def test_a_fleet_too_small_shows_in_the_simulated_day() -> None:
    """A capacity twice the true one: the quotient is fine, the simulated day is not."""
    wrong = replace(capacity(), estimate=replace(capacity().estimate, value=9.0, low=8.9, high=9.1))
    found = plan_replicas(FIT, ALONE, wrong, MIX, OBJECTIVE, RATES, 1800.0, Fleet(spare=0))
    assert found.fixed.replicas == 2
    assert found.fixed.good < 0.7
    outcome, reason = verdict_of(wrong, found, OBJECTIVE)
    assert outcome is Outcome.FAIL
    assert "not 95%" in reason


def test_too_many_requests_are_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoscaled by arithmetic then: ceil(rate / 1.6) is 1, 4, 6, 2; with the window before 1, 4,
    6, 6."""
    monkeypatch.setattr(replicas_module, "MOST_REQUESTS", 3240)
    found = plan()
    assert found.cut == pytest.approx(0.1)
    assert found.num_requests == pytest.approx(3240, rel=0.1)
    scaled = found.autoscaled
    assert not scaled.is_simulated
    assert math.isnan(scaled.good)
    assert (scaled.mean_replicas, scaled.most_replicas, scaled.replica_hours) == (4.25, 6, 8.5)
    assert [h.autoscaled for h in found.hours] == [2.5, 6]
    assert found.fixed.good > 0.98


def test_arrivals_follow_the_windows() -> None:
    """Counts of a Poisson process within 5 sigma: one false alarm in a million."""
    rates = np.array([2.0, 0.0, 10.0, 1.0])
    requests = arrivals_of(MIX, rates, 500.0, np.random.default_rng(1))
    counts = np.histogram(requests.arrival_s, np.arange(5) * 500.0)[0]
    assert np.all(np.abs(counts - rates * 500) <= 5 * np.sqrt(rates * 500))
    assert set(requests.n_in.tolist()) == {10, 20}


def test_a_capacity_that_is_none_makes_no_plan() -> None:
    nothing = replace(capacity(), estimate=replace(capacity().estimate, value=0.0, low=0.0))
    with pytest.raises(ValueError, match="lower end"):
        plan_replicas(FIT, ALONE, nothing, MIX, OBJECTIVE, RATES, 1800.0, Fleet())
    with pytest.raises(ValueError, match="at most"):
        plan_replicas(FIT, ALONE, capacity(), MIX, OBJECTIVE, RATES * 1e4, 1800.0, Fleet())


def test_the_sentence() -> None:
    found = plan()
    line = headline_of(capacity(), found, OBJECTIVE, 1, MIX)
    assert line.answer == "The peak of 9.00 req/s needs 6 replicas"
    assert line.detail.startswith(
        "(5 at the lower bound, 1 spare). One replica sustains 2.50 req/s (95% CI 2.00 to 3.00"
        " req/s) with 95% of requests good [TTFT at most 2.00 s]. First limit reached: TTFT: steps"
        " grow."
    )
    assert line.outcome == "pass"


def test_what_leaves_the_sweep_is_never_a_pass() -> None:
    guess = capacity(("9 sequences at once, 4 were swept",))
    line = headline_of(guess, plan(), OBJECTIVE, 1, MIX)
    assert line.outcome == "inconclusive"
    assert line.answer.startswith("EXTRAPOLATED")
    assert "9 sequences at once" in line.detail
    e = replace(capacity().estimate, value=0.0, low=0.0, high=0.0)
    nothing = replace(capacity(), estimate=e)
    none = headline_of(nothing, None, OBJECTIVE, 1, MIX)
    assert (none.outcome, none.answer) == ("fail", "No number of replicas keeps this SLO")


def test_a_calibration_that_misses_its_own_points_decides_nothing() -> None:
    noisy = replace(FIT, held_out=HeldOut(20, 0.5, 0.9, 2.0))
    assert doubt_of(FIT) == ""
    line = headline_of(replace(capacity(), doubt=doubt_of(noisy)), plan(), OBJECTIVE, 1, MIX)
    assert line.outcome == "inconclusive"
    assert line.answer.startswith("TOO NOISY A CALIBRATION")
    assert "missed by more than 50%" in line.detail


@pytest.mark.parametrize("is_possible", [True, False])
def test_document_and_sheet(is_possible: bool) -> None:
    found = plan() if is_possible else None
    part = document(found)
    whole = with_part(empty_plan("run"), "replicas", part)
    jsonschema.validate(json.loads(json.dumps(whole, allow_nan=False)), plan_schema())
    if found is None:
        assert (part["fixed"], part["hours"]) == (None, [])
        return
    rows = list(csv.DictReader(io.StringIO(hours_csv(part))))
    assert [int(row["needed"]) for row in rows] == [3, 5]
    assert [float(row["autoscaled"]) for row in rows] == pytest.approx(
        [h.autoscaled for h in found.hours], rel=1e-4
    )
    assert {row["fixed"] for row in rows} == {"6"}


def document(found: ReplicaPlan | None) -> dict[str, Any]:
    return replica_document(
        fit=FIT, deployment=ALONE, assumed=("x",), capacity=capacity(), mix=MIX,
        objective=OBJECTIVE, forecast={"name": "f", "source": "s", "window_s": 1800.0},
        fleet=Fleet(), plan=found, headline=headline_of(capacity(), found, OBJECTIVE, 1, MIX),
        reason="",
    )  # fmt: skip


# -- a trace's own arrivals -----------------------------------------------------------------------


def bursts(size: int, every_s: float = 120.0, span_s: float = 3600.0) -> Mix:
    """`size` requests at once, again and again; each takes .3 s."""
    at_s = np.repeat(np.arange(0.0, span_s, every_s), size)
    requests = Requests(at_s, np.full(len(at_s), 10), np.full(len(at_s), 3))
    recorded = Recorded(requests, 600.0, round(span_s / 600))
    return replace(MIX, recorded=recorded)


def play(mix: Mix, rate: float, *, spare: int = 0) -> ReplicaPlan:
    rates = np.full(6, rate)
    return plan_replicas(
        FIT, ALONE, capacity(), mix, OBJECTIVE, rates, 600.0, Fleet(spare=spare, cold_start_s=30.0)
    )


@pytest.mark.parametrize(
    ("size", "needed"),
    [
        (7, 1),  # first tokens after .1, .4, ... 1.9 s: within 2 s
        (12, 2),  # alone only 7 of 12; two have 6 each
        (21, 3),  # two have 14 good of 21
        (22, 3),  # 21 of 22 are 95.5 %
        (24, 4),  # three have 21 good of 24
    ],
)
def test_bursts_need_more_replicas_than_their_rates(size: int, needed: int) -> None:
    """A replica is surely good for 2 requests/s, and these are at most .2: one replica, says the
    quotient, and the same rates drawn as Poisson arrivals agree."""
    rate = size / 120
    found, drawn = play(bursts(size), rate), play(MIX, rate)
    assert (found.fixed.by_rates, found.fixed.at_lower_bound) == (1, needed)
    assert found.fixed.good >= OBJECTIVE.attainment
    assert found.num_requests == 30 * size
    assert (drawn.fixed.by_rates, drawn.fixed.at_lower_bound) == (1, 1)
    assert [(h.fewest, h.likely, h.needed) for h in found.hours] == [(needed,) * 3]


def test_a_trace_is_played_at_the_paces_behind_the_ends_of_the_sustained_rate() -> None:
    """41 draws of one law, told apart by their pace alone: the slowest sustain least."""
    wanders = replace(FIT, draws=(FLAT,) * 41, drift=Drift(0.1, 8))
    steps_s = [law.a0 for law in wanders.likely]
    found = replace(capacity(), draws=tuple(1 / s for s in steps_s))
    fastest, likely, slowest = (fit.hinge.a0 for fit in fits_of(wanders, found))
    assert (fastest, likely, slowest) == (sorted(steps_s)[1], FLAT.a0, sorted(steps_s)[39])


def test_a_trace_several_times_over_does_not_burst_together() -> None:
    """Twelve times the bursts of 12: as many replicas as 144 at once would need, 21, were too many;
    by its rates, 1.2 requests/s, one."""
    found = play(bursts(12), 12 * 12 / 120)
    assert found.num_requests == 12 * 360
    assert found.fixed.by_rates == 1
    assert 2 <= found.fixed.at_lower_bound < 10
    assert found.fixed.good >= OBJECTIVE.attainment


def test_a_slower_draw_of_the_law_needs_more() -> None:
    """Steps of .1 s likely, of .2 s at the lower end: a burst of 12 in 2 s is good to the seventh
    request at .3 s each, to the fourth at .6 s each (.2, .8, 1.4, 2.0): two replicas, or three."""
    slow = replace(FLAT, a0=0.2, b=0.2)
    fit = replace(FIT, draws=(slow,) + (FLAT,) * 20)
    known = replace(capacity(), draws=(2.0,) + (3.0,) * 20)
    limits = replace(OBJECTIVE, ttft_s=2.0 + 1e-9)
    found = plan_replicas(
        fit, ALONE, known, bursts(12), limits, np.full(6, 0.1), 600.0, Fleet(spare=0)
    )
    (hour,) = found.hours
    assert (hour.fewest, hour.likely, hour.needed) == (2, 2, 3)
    assert (found.fixed.likely, found.fixed.at_lower_bound) == (2, 3)


def test_bursts_that_no_fleet_serves_are_a_fail_and_not_a_thousand_replicas() -> None:
    limits = replace(OBJECTIVE, ttft_s=0.05)  # a first token takes .1 s
    found = plan_replicas(
        FIT, ALONE, capacity(), bursts(12), limits, np.full(6, 0.1), 600.0, Fleet(spare=0)
    )
    assert found.fixed.at_lower_bound == 1
    assert verdict_of(capacity(), found, limits)[0] is Outcome.FAIL


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_the_least_number_that_is_enough(true: int, begin: int, most: int) -> None:
    asked: list[int] = []

    def is_enough(number: int) -> bool:
        asked.append(number)
        return number >= true

    most = max(begin, most)
    expected = max(true, begin) if max(true, begin) <= most else None
    assert least_replicas(is_enough, begin, most) == expected
    assert max(asked) <= most
    assert len(asked) <= 14


def test_the_sentence_says_what_was_played() -> None:
    mix = bursts(24)
    line = headline_of(capacity(), play(mix, 0.2, spare=1), OBJECTIVE, 1, mix)
    assert line.answer == "The peak of 0.200 req/s needs 5 replicas"
    assert (
        "The trace's own arrivals were played on this fleet: its bursts need 3 replicas more than"
        " the 1 of its rates." in line.detail
    )
    mix = bursts(7)
    line = headline_of(capacity(), play(mix, 7 / 120), OBJECTIVE, 0, mix)
    assert line.answer.endswith("needs 1 replica")
    assert "its bursts need no more than its rates." in line.detail


# -- hours that are none, days without a request ---------------------------------------------------


@pytest.mark.parametrize(
    ("window_s", "rates", "hours", "peaks"),
    [
        (7200.0, [1.0, 9.0], [0, 2], [1.0, 9.0]),
        (1500.0, [1.0, 2.0, 3.0, 9.0, 4.0], [0, 1], [3.0, 9.0]),
        (3600.0, [1.0] * 25, list(range(25)), [1.0] * 25),
        (86_400.0, [3.0, 1.0], [0, 24], [3.0, 1.0]),
    ],
)
def test_windows_longer_than_an_hour_or_no_part_of_one(
    monkeypatch: pytest.MonkeyPatch, window_s: float, rates: list[float], hours: list[int],
    peaks: list[float],
) -> None:  # fmt: skip
    """Rows are the hours in which windows begin. By arithmetic a window has ceil(rate / 1.6)
    replicas, or those of the one before."""
    monkeypatch.setattr(replicas_module, "MOST_REQUESTS", 500)
    found = plan_replicas(
        FIT, ALONE, capacity(), MIX, OBJECTIVE, np.array(rates), window_s, Fleet(spare=0)
    )
    assert [h.hour for h in found.hours] == hours
    assert [h.peak_req_per_s for h in found.hours] == peaks
    ready = [max(math.ceil(a / 1.6), math.ceil(b / 1.6))
             for a, b in zip(rates, [rates[0], *rates], strict=False)]  # fmt: skip
    starts = [int(k * window_s // 3600) for k in range(len(rates))]
    for row in found.hours:
        own = [r for r, start in zip(ready, starts, strict=True) if start == row.hour]
        assert row.autoscaled == pytest.approx(sum(own) / len(own))
    assert found.autoscaled.replica_hours == pytest.approx(sum(ready) * window_s / 3600)


def test_hours_without_traffic_and_a_day_without_a_request() -> None:
    quiet = plan_replicas(
        FIT, ALONE, capacity(), MIX, OBJECTIVE, np.array([0.0, 4.0, 0.0]), 3600.0, Fleet(spare=0)
    )
    assert [h.needed for h in quiet.hours] == [1, 2, 1]
    assert [math.isnan(h.good_fixed) for h in quiet.hours] == [True, False, True]
    nothing = plan_replicas(
        FIT, ALONE, capacity(), MIX, OBJECTIVE, np.array([1e-9, 0.0]), 3600.0, Fleet(spare=0)
    )
    assert nothing.num_requests == 0
    outcome, reason = verdict_of(capacity(), nothing, OBJECTIVE)
    assert outcome is Outcome.INCONCLUSIVE  # nothing was shown
    assert "no request comes" in reason
    assert "nan" not in headline_of(capacity(), nothing, OBJECTIVE, 0, MIX).detail
    assert document(nothing)["fixed"]["good"] is None


def test_of_one_replica_that_is_down_none_is_left() -> None:
    assert play(MIX, 0.2).fixed.good_without_one == 0
    assert play(MIX, 0.2, spare=1).fixed.good_without_one > 0.9


def test_a_capacity_that_may_be_none_is_open() -> None:
    """A lone request keeps the limits in some draws of the fit: nobody knows."""
    e = capacity().estimate
    for value in (0.0, 1.5):
        maybe = replace(capacity(), estimate=replace(e, value=value, low=0.0, high=3.0))
        line = headline_of(maybe, None, OBJECTIVE, 1, MIX)
        assert line.outcome == "inconclusive"
        assert line.answer == "Whether any number of replicas keeps this SLO is open"
        assert "sustains" in line.detail
    never = replace(capacity(), estimate=replace(e, value=0.0, low=0.0, high=0.0, reason="no"))
    assert verdict_of(never, None, OBJECTIVE) == (Outcome.FAIL, "no")
    noisy = replace(never, doubt="half of the swept points are missed")
    assert verdict_of(noisy, None, OBJECTIVE)[0] is Outcome.INCONCLUSIVE
    guess = replace(never, extrapolated=("prompts of 9,000 tokens, 4,000 were swept",))
    assert verdict_of(guess, None, OBJECTIVE)[0] is Outcome.INCONCLUSIVE

"""Fleets that are compared: commitment, sleep and paid cold starts on the staircase, by hand and
against every number of replicas; the twin's days laid over it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions import cost, fleet_day
from harness.decisions.cost_answer import answer
from harness.decisions.crossover import find_crossover
from harness.decisions.fleet_day import DayFleet, simulate_days
from harness.decisions.fleet_scales import day_begin, day_of
from harness.decisions.fleets import fleets_of
from harness.decisions.hinge import Hinge
from harness.decisions.prices import Mix, tariff_of
from harness.decisions.question import Capacity, Fleet, Question, Traffic
from harness.decisions.recorded import Recorded
from harness.decisions.simulated_fleet import FleetDay, SimulatedFleet
from harness.decisions.staircase import Staircase, demand, replicas
from harness.decisions.step_fit import HeldOut, StepFit
from harness.decisions.swept_hull import SweptHull
from harness.decisions.twin import Deployment, Requests
from harness.decisions.twin_capacity import Mix as Lengths
from harness.decisions.twin_capacity import Objective
from harness.estimate import Estimate, Outcome
from harness.scenario.prices import load_prices
from harness.units import Price

TARIFF = tariff_of(load_prices("fireworks-guide"), "llama-v3p3-70b-instruct")
ONE = Estimate("max_goodput", "rate", "req/s", 1.0, 1.0, 1.0, n=900)  # request/s a replica
FLEET = Fleet("h100", Price(4.0, 4.0), load_target=0.8)
shapes = st.lists(st.integers(0, 12).map(lambda k: k / 4), min_size=1, max_size=6).filter(any)


def question(shape: list[float], fleet: Fleet = FLEET, mean: float | None = None) -> Question:
    traffic = Traffic("made", np.array(shape), mean)
    return Question(Mix(1000, 200), TARIFF, fleet, Capacity(ONE), traffic)


# -- the staircase, bent ------------------------------------------------------------------------


def test_a_commitment_by_hand() -> None:
    """Needs 1 and 3, half off: of the first replica 1/2, of each further one at most 1/2, so only
    the busier window counts. At load .5 R is 1 and 2: 1/2 + 1/2; at 1 it is 1 and 3: 3/2."""
    steps = Staircase.committed(np.array([1.0, 3.0]), 0.5)
    assert steps.mean_replicas(np.array([0.2, 0.5, 1.0])).tolist() == [0.5, 1.0, 1.5]
    assert steps.slope == 1.5
    spare = Staircase.committed(np.array([1.0, 3.0]), 0.5, spare=2)
    assert float(spare.mean_replicas(1.0)) == 2.5


@settings(max_examples=150, deadline=None)
@given(shapes, st.floats(0.0, 0.95), st.integers(0, 2), st.floats(0.01, 20))
def test_no_other_commitment_is_cheaper(
    shape: list[float], discount: float, spare: int, load: float
) -> None:
    need = demand(np.array(shape), "autoscaled")
    own = float(Staircase.committed(need, discount, spare).mean_replicas(load))
    paid = replicas(need, load) + spare
    bills = [cost.committed_usd_per_h(paid, 1.0, discount, c) for c in range(int(paid.max()) + 2)]
    assert own == pytest.approx(min(bills), rel=1e-9)


def test_straight_lines_over_steps_by_hand() -> None:
    """1 replica up to load 1, 2 up to 2, ... times a factor that rises to 2 at load 1 and falls
    back to 1 at 2. 1.25 x pays 4 replicas of the step from 3 to 4 at 3.2; 5 at 4 exactly."""
    steps = Staircase.of(np.array([1.0]), end=100)
    bent = steps.adjusted(np.array([0.0, 1.0, 2.0]), factor=np.array([1.0, 2.0, 1.0]))
    assert bent.mean_replicas(np.array([0.5, 1.0, 1.5, 2.0, 2.5])).tolist() == [1.5, 2, 3, 2, 3]
    assert bent.crossing(1.25).tolist() == [3.2]
    # at kappa 2.5: 1 + x = 2.5 x at 2/3; just above 1 it is 4 > 2.5, and 2 (3 - x) = 2.5 x at 4/3
    assert bent.crossing(2.5).tolist() == [pytest.approx(4 / 3)]
    found = bent.regimes(2.5, most=4)
    assert [r.is_on_demand for r in found] == [False, True, False, True]
    assert [r.high for r in found[:3]] == pytest.approx([2 / 3, 1, 4 / 3])
    # a spare is nobody's delay: it stays one
    spare = Staircase.of(np.array([1.0]), 1).adjusted(np.array([1.0]), factor=np.array([2.0]))
    assert float(spare.mean_replicas(0.5)) == 3


def test_a_fleet_that_costs_nothing_at_rest_may_always_win() -> None:
    """R = x below load 1: at kappa 3 on-demand is the cheaper down to no traffic."""
    steps = Staircase.of(np.array([1.0]), end=100)
    asleep = steps.adjusted(np.array([0.0, 1.0, 2.0]), factor=np.array([0.0, 1.0, 1.0]))
    assert asleep.crossing(3.0).tolist() == [0.0]
    assert asleep.crossing(1.5).tolist() == [pytest.approx(4 / 3)]


@settings(max_examples=40, deadline=None)
@given(shapes, st.lists(st.integers(2, 12), min_size=4, max_size=4), st.integers(2, 40))
def test_the_bent_crossing_against_every_load(
    shape: list[float], eighths: list[int], rise: int
) -> None:
    need = demand(np.array(shape), "autoscaled")
    loads, factor = np.array([0.25, 1.0, 2.5, 6.0]), np.array(eighths) / 4
    steps = Staircase.of(need, end=16).adjusted(loads, factor=factor)
    kappa = steps.slope + rise / 4
    found = float(steps.crossing(kappa)[0])
    edges = np.concatenate([steps.edges[1:], loads])
    grid = np.concatenate([np.arange(1, 512) / 32, edges * (1 - 1e-9), edges * (1 + 1e-9)])
    grid = np.sort(grid[grid < 15.9])
    direct = np.array([replicas(need, x).mean() for x in grid]) * np.interp(grid, loads, factor)
    np.testing.assert_allclose(steps.mean_replicas(grid), direct, rtol=1e-6)
    wins = direct <= kappa * grid * (1 + 1e-9)
    assert wins[grid >= found * (1 + 1e-8)].all()
    assert not wins[grid <= found * (1 - 1e-8)].all()


# -- sleep and cold starts by arithmetic --------------------------------------------------------


def test_paid_cold_starts_by_hand() -> None:
    """Shares .5 .5 1.5 1.5 at load 1: 1 1 2 2 replicas, one start of 60 s in four windows of 10
    minutes: 60/2400 of a replica. A commitment of .6 off covers two: none is left to start."""
    fleet = replace(FLEET, bill_cold_start=True, cold_start_s=60.0, commitment_discount=0.6)
    own = fleets_of(question([0.5, 0.5, 1.5, 1.5], fleet))
    assert float(own["autoscaled"].mean_replicas(1.0)) == pytest.approx(1.5 + 60 / 2400)
    assert float(own["committed"].mean_replicas(1.0)) == pytest.approx(0.8)
    free = fleets_of(question([0.5, 0.5, 1.5, 1.5], replace(fleet, bill_cold_start=False)))
    assert float(free["autoscaled"].mean_replicas(1.0)) == 1.5
    assert float(free["fixed"].mean_replicas(1.0)) == 2


@pytest.mark.parametrize("load", [0.003, 0.05, 0.5, 2.0])
def test_sleep_window_by_window(load: float) -> None:
    """Poisson in each window that has one replica; the others are as they are. Between the loads
    that are worked out, 3.5 % apart, straight lines are off by less than 1e-3."""
    shape = [0.0, 0.1, 0.5, 3.4]
    fleet = replace(FLEET, idle_s=300.0, cold_start_s=100.0, bill_cold_start=True)
    needed = replicas(demand(np.array(shape), "autoscaled"), load)
    plain = fleets_of(question(shape, replace(fleet, bill_cold_start=False)))
    expected = paid = 0.0
    for share, own in zip(shape, needed.tolist(), strict=True):
        zero = cost.scale_to_zero(share * load * 0.8, 300.0)
        expected += (zero.up_share if own == 1 else own) / 4
        paid += (zero.wakes_per_h / 36 if own == 1 else 0.0) / 4  # x 100 s
    assert float(plain["to_zero"].mean_replicas(load)) == pytest.approx(expected, rel=2e-3)
    starts = np.maximum(np.diff(needed), 0).sum() * 100 / 2400
    billed = fleets_of(question(shape, fleet))["to_zero"].mean_replicas(load)
    assert float(billed) == pytest.approx(expected + paid + starts, rel=5e-3)


def test_business_hours_pay_off_asleep() -> None:
    """8 of 24 windows busy: a fleet that sleeps is the cheaper one from a third of the traffic on.
    (At $0.75 one replica pays, and so do the steps above it: 33 / 24 of one just above load 1/3
    against .72 x 3.888 / .75.)"""
    hours = [0.0] * 8 + [3.0] * 8 + [0.0] * 8
    fleet = replace(FLEET, price=Price(0.75, 0.75), idle_s=300.0, scaling="to_zero")
    found = find_crossover(question(hours, fleet, mean=0.3))
    up, down = found.crossing["autoscaled"].value, found.crossing["to_zero"].value
    assert up is not None
    assert down is not None
    assert down / up == pytest.approx(8 / 24, rel=1e-3)
    assert found.asked.value == down
    assert found.at_traffic is not None
    assert found.at_traffic.zero is not None
    assert found.at_traffic.zero.usd_per_h == found.at_traffic.fleets["to_zero"].value


def test_a_commitment_is_cheaper_for_good_from_less_traffic_on() -> None:
    """1 request/s of 1,200 tokens is 4.32 M/h, worth $3.888: $4 never pays, $1.50 does."""
    fleet = replace(FLEET, price=Price(1.5, 1.5), commitment_discount=0.4, scaling="committed")
    found = find_crossover(question([1.0], fleet))
    assert found.one_replica.value == pytest.approx(1.5 / 0.9 * 1e6)
    assert found.crossing["autoscaled"].value == pytest.approx(1.5 / 0.9 * 1e6)
    assert found.asked.value == pytest.approx(0.6 * 1.5 / 0.9 * 1e6)
    assert found.required.value == pytest.approx(0.9 / 3.888)
    assert find_crossover(question([1.0])).feasibility == "infeasible"


def test_egress_is_paid_by_the_request() -> None:
    """$0.00108 a request, a third of it egress: T1 is half as far again, the bill grows by it."""
    fleet = replace(FLEET, egress_usd_per_req=0.00036)
    found = find_crossover(question([1.0], fleet, mean=0.5))
    assert found.one_replica.value == pytest.approx(1.5 * 4 / 0.9 * 1e6)
    assert found.at_traffic is not None
    assert found.at_traffic.fleets["fixed"].value == pytest.approx(4 + 1800 * 0.00036)
    assert found.at_traffic.mean_replicas == pytest.approx(1)
    dear = find_crossover(question([1.0], replace(FLEET, egress_usd_per_req=0.002)))
    assert dear.feasibility == "infeasible"
    assert dear.one_replica.value == float("inf")


# -- the twin's days ----------------------------------------------------------------------------

FLAT = Hinge(a0=0.1, b=0.1, a1=0.0, d=0.0, c=0.0, e=0.0, o=0.0, loss=0.0, corner=1)
FIT = StepFit(
    FLAT, (FLAT,), 0.0, 0.0, HeldOut(20, 0.02, 0.04, 0.05),
    SweptHull(((1.0, 4000.0), (64.0, 60000.0)), 4000), 512, 1.0, 20, 8,
)  # fmt: skip
ALONE = Deployment(1, 512, 100_000)  # three tokens take 0.3 s
EVEN = Lengths("even", np.array([10]), np.array([3]), cv=0.01)  # all but a clock
SLO = Objective(ttft_s=2.0, attainment=0.95)


def days(shape: list[float], fleet: DayFleet, own: float | None = None) -> SimulatedFleet:
    found = simulate_days(
        FIT, ALONE, EVEN, SLO, np.array(shape), 600.0, fleet, own, scales=(0.25, 1.0), quiet=(1.0,)
    )
    assert found is not None
    return found


def test_a_simulated_day_by_hand() -> None:
    """An hour at .4, an hour at 1.2 requests/s, 1 request/s a replica loaded to .8: one replica,
    then two. The look at 3,610 s sees the rise, at 3,640 it has lasted, 60 s later the second is
    ready: 7,200 + 3,500 replica-seconds, where the staircase has 1.5 replicas of both hours. Up to
    then .4 requests/s more than one replica's .8 come, but it could serve 3.3: none is late."""
    fleet = DayFleet(1.0, 0.8, 60.0, commitment_discount=0.25)
    found = days([0.5] * 6 + [1.5] * 6, fleet, own=0.8)
    (day,) = [d for d in found.days if d.load == 1.0]
    assert day.paid == pytest.approx(10_700 / 7200, rel=5e-4)  # a last second is begun
    assert day.by_stairs == 1.5
    assert (day.starts_per_day, day.good_ratio, day.late_ratio) == (12.0, 1.0, 0.0)
    # the first replica at .75; the second is ready 58 of 120 looks, .48 < .75
    assert day.committed == pytest.approx(0.75 + 3500 / 7200, abs=0.005)
    assert day.committed_by_stairs == 1.25
    billed = days([0.5] * 6 + [1.5] * 6, replace(fleet, bill_cold_start=True))
    assert billed.days[-1].paid == pytest.approx(10_760 / 7200, rel=5e-4)
    assert [d.load for d in found.days] == [0.25, 1.0]  # its own is one of them
    assert found.to_zero == ()


def test_who_comes_while_all_sleep_is_late() -> None:
    """Busy, silent, busy hours at .8 requests/s: the replica goes 5 minutes after the look that
    finds nothing, and comes back a minute after the first request of the third hour; what comes in
    the 58 s before the limit of 2 s catches up is late, and so are those queued behind it."""
    fleet = DayFleet(1.0, 0.8, 60.0, idle_s=300.0)
    found = days([1.0] * 6 + [0.0] * 6 + [1.0] * 6, fleet)
    (day,) = [d for d in found.to_zero if d.load == 1.0]
    assert day.paid == pytest.approx((3600 + 310 + 3540) / 10_800, rel=2e-3)
    assert day.starts_per_day == 8.0
    assert day.late_ratio * 5760 == pytest.approx(47, abs=2)
    assert 1 - day.good_ratio >= day.late_ratio
    (up,) = [d for d in found.days if d.load == 1.0]
    assert up.paid == pytest.approx(1.0, rel=2e-4)
    assert up.good_ratio == 1.0
    # below five minutes the policy will not sleep, and nothing is made up
    assert days([1.0] * 6, replace(fleet, idle_s=100.0)).to_zero == ()


def test_a_stretch_stands_for_a_day_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """At load 4 two hours have 4 x .8 x 7,200 = 23,040 requests; 12,000 allow six windows of ten
    minutes: those that straddle the rise have the day's mean. The user's own is simulated whole."""
    monkeypatch.setattr(fleet_day, "MOST_REQUESTS", 12_000)
    fleet, shape = DayFleet(1.0, 0.8, 60.0), np.array([0.5] * 6 + [1.5] * 6)
    found = simulate_days(
        FIT, ALONE, EVEN, SLO, shape, 600.0, fleet, 4 * 0.8, scales=(3.9, 8.0), quiet=()
    )
    assert found is not None
    assert [(d.load, d.span_s) for d in found.days] == [(3.9, 3600.0), (4.0, 7200.0)]
    # 2 replicas for 3 windows, then 6: 3.9 x .5 and x 1.5
    assert found.days[0].by_stairs == 4.0
    assert found.days[0].paid == pytest.approx((2 * 3600 + 4 * 1700) / 3600, rel=0.03)


def table(*rows: tuple[float, float, float, float]) -> SimulatedFleet:
    """load, paid, by the staircase, good."""
    own = tuple(
        FleetDay(x, 0.8 * x, 86_400.0, p, s, None, None, 0.0, g, 0.0) for x, p, s, g in rows
    )
    return SimulatedFleet(own, (), 0.95)


def test_the_staircase_takes_the_ratio_of_the_days() -> None:
    """Steady traffic: a quarter more at load 2, half more at 4 and above; straight between, none
    at no load."""
    twin = table((2.0, 2.5, 2.0, 1.0), (4.0, 6.0, 4.0, 0.8))
    found = twin.autoscaled(Staircase.of(np.array([1.0])))
    told = found.mean_replicas(np.array([1.0, 2.0, 3.0, 4.0, 10.0]))
    assert told.tolist() == pytest.approx([1.125, 2.5, 3 * 1.375, 6.0, 15.0])
    good = twin.per_good(Staircase.of(np.array([1.0])))
    assert float(good.mean_replicas(4.0)) == pytest.approx(6.0 / 0.8)
    assert twin.good_at(np.array([3.0, 5.0]))[0] == pytest.approx(0.9)
    assert np.isnan(twin.good_at(5.0))


def test_the_answer_is_made_from_the_simulated_fleet() -> None:
    """$4 a replica, .8 request/s worth $3.11: serverless costs 1.94 of load target... at load 1 the
    simulated bill is $4.80; a fleet that keeps 80 % where 95 % are asked is no like for like."""
    cheap = replace(FLEET, price=Price(1.0, 1.0))
    twin = table((1.0, 1.2, 1.0, 0.8), (16.0, 19.2, 16.0, 0.8))
    asked = replace(question([1.0], cheap, mean=0.8), simulated=twin)
    found = find_crossover(asked)
    assert found.at_traffic is not None
    assert found.at_traffic.fleets["autoscaled"].value == pytest.approx(1.2)
    assert found.at_traffic.choice == "on_demand"  # $1.20 against $3.11
    assert found.outcome is Outcome.INCONCLUSIVE
    dear = found.at_traffic.usd_per_priced
    assert dear["on_demand_good"].value == pytest.approx((dear["on_demand"].value or 0) / 0.8)
    own, good = found.asked.value, found.crossing["autoscaled_good"].value
    assert own is not None
    assert good is not None
    assert good == pytest.approx(own / 0.8, rel=0.02)
    kept = replace(asked, simulated=table((1.0, 1.2, 1.0, 0.99), (16.0, 19.2, 16.0, 0.99)))
    assert find_crossover(kept).outcome is Outcome.PASS


def test_a_trace_s_bursts_are_in_its_simulated_days() -> None:
    """24 at once every 30 s: .8 requests/s, for which one replica stays up, and 7 of the 24 have
    their first token within 2 s (.1, .4, ... 1.9); drawn evenly all have."""
    at_s = np.repeat(np.arange(0.0, 7200.0, 30.0), 24)
    requests = Requests(at_s, np.full(len(at_s), 10), np.full(len(at_s), 3))
    trace = replace(EVEN, recorded=Recorded(requests, 600.0, 12))
    good = []
    for mix in (trace, EVEN):
        found = simulate_days(
            FIT, ALONE, mix, SLO, np.ones(12), 600.0, DayFleet(1.0, 0.8, 60.0), scales=(1.0,)
        )
        assert found is not None
        (day,) = found.days
        assert day.paid == pytest.approx(1.0, abs=0.002)
        good.append(day.good_ratio)
    assert good == [pytest.approx(7 / 24), 1.0]
    asked = replace(
        question([1.0] * 12, mean=0.8), simulated=replace(found, arrivals="as they came")
    )
    rows = {a.what: a.value for a in answer(asked, traffic_source="").assumptions}
    assert rows["autoscaler"].endswith("; arrivals: as they came")


def test_the_busiest_day_of_a_trace_is_played_from_its_own_windows() -> None:
    """Two days, the second busier, in windows of six hours: the twin gets its requests alone."""
    at_s = np.concatenate([np.arange(0, 86_400, 3600.0), np.arange(86_400, 172_800, 1800.0)])
    n_in = np.where(at_s < 86_400, 1, 2)
    recorded = Recorded(Requests(at_s, n_in, np.full(len(at_s), 3)), 21_600.0, 8)
    shape = np.array([6.0] * 4 + [12.0] * 4)
    begin = day_begin(shape, 21_600.0)
    assert (begin, day_of(shape, 21_600.0).tolist()) == (4, [12.0] * 4)
    played = recorded.at(day_of(shape, 21_600.0) / 21_600, np.random.default_rng(0), first=begin)
    assert set(played.n_in.tolist()) == {2}
    assert len(played) == 48

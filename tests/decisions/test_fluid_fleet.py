"""The policy on rates alone: by hand, beside the twin on evenly spaced requests, and in a price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.decisions.autoscaler import Load, Policy
from harness.decisions.crossover import find_crossover
from harness.decisions.crossover_words import assumptions, sentences
from harness.decisions.fleet_scales import DayFleet
from harness.decisions.fluid_day import fluid_days
from harness.decisions.fluid_fleet import FluidFleet, fluid_fleet
from harness.decisions.question import Traffic
from harness.decisions.twin import Deployment, Requests, StepModel, simulate_autoscaled
from tests.decisions.test_fleets import FLEET, days, question

POLICY = Policy(Load(req_per_s=1.0), utilisation=0.8, min_replicas=1, max_replicas=100)
HOUR = np.array([0.4, 0.4, 2.0, 2.0, 0.4, 0.4])  # windows of ten minutes


def fluid(rates: np.ndarray = HOUR, **changes: float) -> FluidFleet:
    given = {"capacity_req_per_s": 1.0, "cold_start_s": 60.0, "limit_s": 10.0} | changes
    return fluid_fleet(rates, 600.0, POLICY, **given)  # type: ignore[arg-type]


def test_an_hour_by_hand() -> None:
    """2 requests/s from 1,200 s want three replicas of .8; the look at 1,210 sees it, by 1,240 it
    has lasted, at 1,300 they are ready. Down: seen at 2,410, ten minutes later done.

    One replica serves 1/s, so 1/s is left over for 100 s. Its wait passes 10 s at 1,210: late until
    1,300. Then three drain 1/s of the 100 waiting, 30 are 10 s of work again after 70 s.
    """
    found = fluid()
    assert found.asked == ((0.0, 1), (1240.0, 3), (3010.0, 1))
    assert found.starts == 2
    assert found.paid_s == 3600 + 2 * (3010 - 1300)
    assert found.ready_at(np.array([0, 1299, 1300, 3009, 3010, 3599])).tolist() == [
        1,
        1,
        3,
        3,
        1,
        1,
    ]
    came = 600 * HOUR.sum()
    assert found.late_ratio * came == pytest.approx(2 * (1300 - 1210) + 2 * 70)
    assert fluid(bill_cold_start=True).paid_s == 3600 + 2 * (3010 - 1240)
    # whoever may wait 100 s for one replica, or 33 s for one of three, is never late
    assert fluid(limit_s=100.0).late_ratio == 0
    # no wait at all: from 1,200 until three have drained the 100 at 1,400
    assert fluid(limit_s=0.0).late_ratio * came == pytest.approx(2 * 200)


def test_a_replica_stopped_before_it_was_ready_is_never_paid() -> None:
    """A rise of one window and a cold start of half an hour."""
    found = fluid(np.array([0.4, 2.0, 0.4, 0.4, 0.4]), cold_start_s=1800.0)
    assert found.starts == 2
    assert found.paid_s == 5 * 600
    assert found.ready.max() == 1


def test_the_twin_agrees_where_requests_come_evenly() -> None:
    """The same state machine on the same day: what is asked for, and when, to the look."""
    rates = np.array([0.4, 2.0, 4.4, 1.2, 0.4, 3.2, 0.8])
    at_s = np.concatenate(
        [600.0 * k + (np.arange(round(600 * r)) + 0.5) / r for k, r in enumerate(rates)]
    )
    ones = np.ones(len(at_s), np.int64)
    served = simulate_autoscaled(
        StepModel(1e-3, 1e-3, 0.0, 0.0, 0.0), Deployment(64, 512, 100_000),
        Requests(at_s, 10 * ones, ones), policy=POLICY, end_s=4200.0, initial=1,
    )  # fmt: skip
    found = fluid(rates)
    assert found.asked == served.asked
    assert found.starts == served.cold_starts
    # a begun second of each life is billed as one
    assert found.paid_s == pytest.approx(served.billed_s, abs=2 * len(served.lives))


def test_the_days_are_those_of_the_twin_and_share_its_hand_case() -> None:
    """The day of test_a_simulated_day_by_hand: 7,200 + 3,500 replica-seconds, by stairs 1.5."""
    shape, fleet = [0.5] * 6 + [1.5] * 6, DayFleet(1.0, 0.8, 60.0, commitment_discount=0.25)
    found = fluid_days(np.array(shape), 600.0, fleet, 2.0, 0.95, own_req_per_s=0.8)
    (day,) = [d for d in found.days if d.load == 1.0]
    (simulated,) = [d for d in days(shape, fleet).days if d.load == 1.0]
    assert day.paid == pytest.approx(10_700 / 7200, rel=1e-9)
    assert day.paid == pytest.approx(simulated.paid, rel=5e-4)
    assert (day.by_stairs, day.starts_per_day) == (1.5, 12.0)
    assert day.committed == pytest.approx(simulated.committed, abs=0.01)
    # one replica of 1/s meets 1.2/s for 100 s: .2/s are left over, 2 s of work after 10 s
    late = 1.2 * (90 + (20 - 4) / 0.8)
    assert day.late_ratio == pytest.approx(late / (0.8 * 7200))
    assert [d.load for d in found.days] == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_price_from_a_sweep_says_which_model_it_rests_on() -> None:
    """$4 a replica-hour: at load 1 the fleet above costs 10,700/7,200 x $4 = $5.94 where the
    staircase says $6; and of a good token nothing is claimed."""
    shape = np.array([0.5] * 6 + [1.5] * 6)
    asked = replace(question([1.0]), traffic=Traffic("made", shape, 0.8))
    simulated = fluid_days(shape, 600.0, DayFleet(1.0, 0.8, 60.0), 2.0, 0.95, 0.8)
    played = replace(asked, simulated=simulated)
    found, plain = find_crossover(played), find_crossover(asked)
    assert found.at_traffic is not None
    assert plain.at_traffic is not None
    assert found.at_traffic.fleets["autoscaled"].value == pytest.approx(4 * 10_700 / 7200)
    assert plain.at_traffic.fleets["autoscaled"].value == pytest.approx(6.0)
    assert "autoscaled_good" not in found.crossing
    assert "on_demand_good" not in found.at_traffic.usd_per_priced
    assert found.curve.good_ratio == ()
    *_, told = sentences(found, played)
    assert told.answer == "The autoscaled fleet is too small for 2.29% of requests there"
    assert "without single requests: 1.49 replicas paid on average, 12 cold starts" in told.detail
    rows = {a.what: a for a in assumptions(found, played, "a day")}
    assert "bursts of single requests are left out" in rows["autoscaler"].value
    assert FLEET.load_target == 0.8

"""The crossing with its interval: against the exact staircase, at its limits, at other prices."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions.cost_answer import CostAnswer
from harness.decisions.cost_curve import NUM_STOPS, STEP, STOPS, cell_at
from harness.decisions.crossover import Crossover, find_crossover
from harness.decisions.prices import Mix, tariff_of
from harness.decisions.question import NUM_DRAWS, Capacity, Fleet, Question, Traffic, capacity_draws
from harness.decisions.staircase import Staircase, demand, win_ratio
from harness.estimate import Estimate, Outcome
from harness.scenario.prices import PriceSheet, load_prices
from harness.units import Price

MIX = Mix(1000, 200)
GUIDE = load_prices("fireworks-guide")
TARIFF = tariff_of(GUIDE, "llama-v3p3-70b-instruct")
FLEET = Fleet("h100", Price(5.0, 5.0), gpus_per_replica=2)
DAY = np.array([0.4, 0.4, 0.6, 1.2, 1.8, 1.6])
PER_REQ = 1200 * 3600  # tokens/h of one request/s


def capacity(mtok_per_h: float, spread: float = 1.0) -> Estimate:
    value = mtok_per_h * 1e6 / PER_REQ
    return Estimate("max_goodput", "rate", "req/s", value, value / spread, value * spread, n=900)


def ask(
    mtok_per_h: float = 42.0,
    spread: float = 1.0,
    own: float | None = None,
    fleet: Fleet = FLEET,
    shape: np.ndarray = DAY,  # type: ignore[type-arg]
) -> Crossover:
    """own: the user's traffic in M tokens/h."""
    mean = own * 1e6 / PER_REQ if own is not None else None
    traffic = Traffic("day", shape, mean)
    return find_crossover(
        Question(MIX, TARIFF, fleet, Capacity(capacity(mtok_per_h, spread)), traffic)
    )


def test_steady_traffic_and_one_replica_by_hand() -> None:
    """$10/h against $0.90 a million: 11.11 M/h, on one replica that takes 33.6 of its 42."""
    found = ask(shape=np.ones(1))
    assert found.one_replica.value == pytest.approx(10 / 0.9 * 1e6)
    assert found.crossing["autoscaled"].value == pytest.approx(10 / 0.9 * 1e6)
    assert found.required.value == pytest.approx(10 / (42 * 0.9))
    assert (found.feasibility, found.outcome) == ("feasible", Outcome.PASS)


def test_what_is_known_exactly_has_no_interval() -> None:
    found = ask(own=20.0)
    assert found.at_traffic is not None
    for e in (found.required, found.one_replica, *found.crossing.values(), found.at_traffic.saving):
        assert e.low == pytest.approx(e.value)
        assert e.high == pytest.approx(e.value)


@settings(max_examples=40, deadline=None)
@given(st.floats(15, 80), st.integers(0, 2), st.sampled_from(["autoscaled", "fixed"]))
def test_the_point_is_the_staircase_solved(mtok: float, spare: int, scaling: str) -> None:
    fleet = replace(FLEET, spare=spare, scaling=scaling)  # type: ignore[arg-type]
    found = ask(mtok, 1.2, fleet=fleet)
    steps = Staircase.of(demand(DAY, scaling), spare)  # type: ignore[arg-type]
    kappa = win_ratio(MIX.tok * 0.9 / 1e6, mtok * 1e6 / PER_REQ, 10.0, 0.8)
    expected = float(steps.crossing(kappa)[0]) * 0.8 * mtok * 1e6
    assert found.asked.value == pytest.approx(expected, rel=1e-9)
    assert found.asked.low is not None
    assert found.asked.high is not None
    assert found.asked.low <= expected * (1 + 1e-9)
    assert found.asked.high >= expected * (1 - 1e-9)


def test_draws_of_a_capacity_keep_its_interval() -> None:
    """2,000 draws: a 2.5 % quantile has a standard error of .35 % in rank; fixed seed."""
    given_ = Estimate("max_goodput", "rate", "req/s", 10.0, 8.0, 11.0)
    drawn = capacity_draws(given_, NUM_DRAWS, np.random.default_rng(0))
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    assert low == pytest.approx(8.0, rel=0.02)
    assert middle == pytest.approx(10.0, rel=0.01)
    assert high == pytest.approx(11.0, rel=0.02)


def test_an_uncertain_capacity_widens_the_crossing() -> None:
    """One steady window and a spare: the crossing depends on capacity where a second replica is
    needed; its interval is that of the capacities at the ends."""
    fleet = replace(FLEET, spare=0)
    narrow, wide = ask(18.0, 1.05, fleet=fleet), ask(18.0, 1.3, fleet=fleet)
    for found in (narrow, wide):
        assert found.asked.low is not None
        assert found.asked.high is not None
        assert found.asked.low < found.asked.high
    ends = [ask(18.0 * f, fleet=fleet).asked.value for f in (1.3, 1 / 1.3)]
    assert wide.asked.low == pytest.approx(ends[0], rel=0.05)
    assert wide.asked.high is not None
    assert wide.asked.high > (narrow.asked.high or 0)


@pytest.mark.parametrize(
    ("mtok", "spread", "feasibility", "outcome"),
    [
        (42.0, 1.2, "feasible", Outcome.PASS),
        (8.0, 1.2, "infeasible", Outcome.PASS),  # 10/(8 x .9) = 1.39, at most 1.16 times better
        (12.5, 1.4, "uncertain", Outcome.INCONCLUSIVE),  # .89, .63 to 1.24
        # 1.01, .84 to 1.21: one replica might, this fleet at 80 % of this day in no draw
        (11.0, 1.2, "uncertain", Outcome.PASS),
    ],
)
def test_feasibility(mtok: float, spread: float, feasibility: str, outcome: Outcome) -> None:
    found = ask(mtok, spread)
    assert (found.feasibility, found.outcome) == (feasibility, outcome)
    if feasibility == "infeasible":
        assert found.asked.low == math.inf


def test_a_shape_can_forbid_what_capacity_allows() -> None:
    """u_required .62, but a fixed fleet for a peak of 1.8 at 80 % load is used to 44 %: never."""
    found = ask(18.0, 1.02, fleet=replace(FLEET, scaling="fixed"))
    assert found.feasibility == "feasible"
    assert found.asked.value == math.inf
    assert found.asked.reason.startswith("no traffic keeps")
    assert found.outcome is Outcome.PASS
    assert found.crossing["autoscaled"].value != math.inf


@pytest.mark.parametrize(
    ("own", "choice", "outcome"),
    [
        (5.0, "serverless", Outcome.PASS),
        (60.0, "on_demand", Outcome.PASS),
    ],
)
def test_at_the_users_traffic(own: float, choice: str, outcome: Outcome) -> None:
    found = ask(own=own, spread=1.1)
    at = found.at_traffic
    assert at is not None
    assert (at.choice, found.outcome) == (choice, outcome)
    assert at.serverless.value == pytest.approx(own * 0.9)
    assert at.saving.value == pytest.approx(
        at.fleets["autoscaled"].value - at.serverless.value  # type: ignore[operator]
    )
    assert at.usd_per_priced["serverless"].value == pytest.approx(0.9)
    # u = E[load]/(C E[R])
    assert at.used.value == pytest.approx(own / (42 * at.mean_replicas))
    assert at.usd_per_priced["on_demand"].value == pytest.approx(10 / (42 * at.used.value))  # type: ignore[operator]


def test_too_close_to_call() -> None:
    at = ask(own=11.3, spread=1.5, mtok_per_h=20).at_traffic
    assert at is not None
    assert at.saving.low is not None
    assert at.saving.high is not None
    found = ask(own=27.0, spread=1.5, mtok_per_h=20)
    assert found.at_traffic is not None
    assert found.at_traffic.choice == "too_close"
    assert found.outcome is Outcome.INCONCLUSIVE


def test_a_range_of_prices_is_part_of_the_interval() -> None:
    fleet = replace(FLEET, price=Price(4.0, 6.0))
    found = ask(fleet=fleet)
    assert found.one_replica.value == pytest.approx(10 / 0.9 * 1e6)
    assert found.one_replica.low == pytest.approx(8 / 0.9 * 1e6, rel=0.03)
    assert found.one_replica.high == pytest.approx(12 / 0.9 * 1e6, rel=0.03)


def test_a_capacity_without_an_upper_end_bounds_the_crossing() -> None:
    """However much a replica takes, one and a spare are paid: never below 2 x 11.11 M/h."""
    given_ = Estimate("max_goodput", "rate", "req/s", 9.0, 8.0, None)
    fleet = replace(FLEET, spare=1)
    found = find_crossover(Question(MIX, TARIFF, fleet, Capacity(given_), Traffic("day", DAY, 4.0)))
    assert found.asked.low == pytest.approx(2 * 10 / 0.9 * 1e6, rel=1e-6)
    assert found.required.low == pytest.approx(0, abs=1e-6)
    assert found.asked.high is not None
    assert found.asked.high < math.inf


def test_a_capacity_without_a_lower_end_proves_nothing() -> None:
    given_ = Estimate("max_goodput", "rate", "req/s", 9.0, None, 10.0)
    found = find_crossover(
        Question(MIX, TARIFF, FLEET, Capacity(given_), Traffic("day", DAY, 12.0))
    )
    assert found.required.high == math.inf
    assert found.feasibility == "uncertain"
    assert found.at_traffic is not None
    assert found.at_traffic.choice == "too_close"
    absent = Estimate("max_goodput", "rate", "req/s", None, reason="not even 1 req/s")
    with pytest.raises(ValueError, match="no capacity: not even 1 req/s"):
        Question(MIX, TARIFF, FLEET, Capacity(absent))


@pytest.mark.parametrize(
    ("row", "price", "message"),
    [
        ("whisper-v3", 5.0, "row whisper-v3 asks nothing for these requests"),
        ("deepseek-v3", 0.0, "h100 costs nothing"),
    ],
)
def test_what_costs_nothing_cannot_be_compared(row: str, price: float, message: str) -> None:
    tariff, fleet = tariff_of(GUIDE, row), replace(FLEET, price=Price(price, price))
    with pytest.raises(ValueError, match=message):
        Question(MIX, tariff, fleet, Capacity(capacity(20)))


def test_the_slider_says_what_new_prices_would() -> None:
    found = ask(30.0, 1.2, own=25.0)
    middle = len(found.cells) // 2
    assert found.cells[middle].ratio == 1
    own = found.asked
    assert found.cells[middle].crossing == pytest.approx((own.low, own.value, own.high))
    dearer = ask(30.0, 1.2, own=25.0, fleet=replace(FLEET, price=Price(5 * STEP**3, 5 * STEP**3)))
    cell = found.cells[middle + 3]
    assert cell.ratio == pytest.approx(STEP**3)
    ends = (dearer.asked.low, dearer.asked.value, dearer.asked.high)
    assert cell.crossing == pytest.approx(ends)
    assert dearer.at_traffic is not None
    saving = dearer.at_traffic.saving
    assert cell.saving == pytest.approx((saving.low, saving.value, saving.high))
    assert cell.required[1] == pytest.approx(dearer.required.value)


def test_commitment_and_scale_to_zero_are_worked_out_at_the_traffic() -> None:
    fleet = replace(FLEET, commitment_discount=0.4, idle_s=300.0, cold_start_s=120.0)
    own = 0.02  # M tokens/h: 16.7 requests an hour
    at = ask(own=own, fleet=fleet, shape=np.ones(1)).at_traffic
    assert at is not None
    assert at.commitment is not None
    assert (at.commitment.replicas, at.commitment.usd_per_h) == (1, 6.0)
    assert at.zero is not None
    rate = own * 1e6 / 1200
    awake = 1 - math.exp(-rate * 300 / 3600)
    assert at.zero.up_share == pytest.approx(awake)
    assert at.zero.usd_per_h == pytest.approx(10 * awake)
    assert at.zero.miss_share == pytest.approx((1 - awake) * (1 + rate * 120 / 3600))


def test_the_curve_holds_every_number_of_the_answer() -> None:
    found = ask(30.0, 1.2, own=2.0)
    at, grid = found.at_traffic, found.curve.units_per_h
    assert at is not None
    for t in (found.asked.low, found.asked.high, at.units_per_h):
        assert t is not None
        assert grid[0] < t < grid[-1]
    for low, point, high in (*found.curve.serverless, *found.curve.on_demand):
        assert low <= point <= high


def test_the_slider_with_egress_is_solved_for_each_pair_of_prices() -> None:
    """Egress follows neither price, so their ratio is not enough: half of a request's price is
    egress; tokens at twice the price are worth three times as much over it."""
    fleet = replace(FLEET, egress_usd_per_req=MIX.tok * 0.9e-6 / 2)
    found = ask(30.0, 1.2, own=25.0, fleet=fleet)
    assert len(found.cells) == NUM_STOPS**2
    middle = cell_at(found.cells, STOPS, STOPS)
    assert (middle.ratio, middle.tok) == (1, 1)
    assert middle.crossing == pytest.approx((found.asked.low, found.asked.value, found.asked.high))
    assert found.at_traffic is not None
    for gpu, tok in ((STOPS - 5, STOPS + 2), (STOPS, 0)):
        a, f = STEP ** (gpu - STOPS), STEP ** (tok - STOPS)
        prices = tariff_of(priced(f), "m")
        other = replace(fleet, price=Price(5 * a, 5 * a))
        mean = 25e6 / PER_REQ
        direct = find_crossover(Question(
            MIX, prices, other, Capacity(capacity(30.0, 1.2)), Traffic("day", DAY, mean)
        ))  # fmt: skip
        cell = cell_at(found.cells, gpu, tok)
        ends = (direct.asked.low, direct.asked.value, direct.asked.high)
        assert cell.crossing == pytest.approx(ends)
        assert cell.required[1] == pytest.approx(direct.required.value)
        assert direct.at_traffic is not None
        saving = direct.at_traffic.saving
        assert cell.saving == pytest.approx((saving.low, saving.value, saving.high))


def priced(factor: float) -> PriceSheet:
    """One row at .9 USD/Mtok in and out, times a factor."""
    each = f"{0.9 * factor:.12f}USD/Mtok"
    return PriceSheet.model_validate({
        "schema": "harness/prices/v1", "name": "s", "as_of": "2026-11-20", "source": "a test",
        "serverless": {"m": {"input": each, "output": each}},
    })  # fmt: skip


def test_a_stop_of_the_slider_without_egress_is_a_ratio() -> None:
    found = ask(30.0, 1.2, own=25.0)
    a, f = STEP**3, STEP**-2
    direct = find_crossover(Question(
        MIX, tariff_of(priced(f), "m"), replace(FLEET, price=Price(5 * a, 5 * a)),
        Capacity(capacity(30.0, 1.2)), Traffic("day", DAY, 25e6 / PER_REQ),
    ))  # fmt: skip
    cell = cell_at(found.cells, STOPS + 3, STOPS - 2)
    ends = (direct.asked.low, direct.asked.value, direct.asked.high)
    assert cell.crossing == pytest.approx(ends)
    assert direct.at_traffic is not None
    saving = direct.at_traffic.saving
    assert cell.saving == pytest.approx((saving.low, saving.value, saving.high))


def test_draws_that_serve_nothing_leave_it_open() -> None:
    """The twin's draws as they are: in one of ten a lone request misses the limits."""
    e = replace(capacity(42.0), low=0.0)
    value = e.value or 0.0
    drawn = (value,) * 9 + (0.0,)
    found = find_crossover(
        Question(MIX, TARIFF, FLEET, Capacity(e, draws=drawn), Traffic("day", DAY, 25e6 / PER_REQ))
    )
    assert found.required.high == math.inf
    assert found.feasibility == "uncertain"
    assert found.asked.high == math.inf
    assert found.at_traffic is not None
    assert found.at_traffic.choice == "too_close"
    assert found.outcome is Outcome.INCONCLUSIVE
    json.dumps(CostAnswer(found, (), ()).to_json(), allow_nan=False)

"""From points and a cost block to sentences, plan.json and the cost of a good token."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from harness.cli._cost import _simulated, csv_text
from harness.decisions import find_capacity
from harness.decisions.cost import scale_to_zero
from harness.decisions.cost_answer import CostAnswer, answer
from harness.decisions.cost_question import (
    measured_cached_share,
    measured_mix,
    other_lengths,
    question_of,
    simulated_mix,
    ttft_limit_s,
    wait_limit_s,
)
from harness.decisions.crossover_schema import crossover_schema
from harness.decisions.crossover_words import per_day, usd, usd_span
from harness.decisions.fleet_scales import DayFleet
from harness.decisions.fluid_day import fluid_days
from harness.decisions.point_cost import point_costs
from harness.decisions.question import Capacity, Question
from harness.decisions.simulated_fleet import FleetDay, SimulatedFleet
from harness.decisions.twin_capacity import Mix as Lengths
from harness.decisions.twin_capacity import Objective, TwinCapacity
from harness.decisions.wording import amount
from harness.estimate import Estimate, Outcome
from harness.scenario.cost import Cost
from harness.scenario.forecast import Forecast, load_forecast
from harness.scenario.prices import load_prices
from tests.decisions.rates import point

SHEET = load_prices("fireworks-guide").model_dump(by_alias=True, exclude_none=True)


def cost(**changes) -> Cost:  # type: ignore[no-untyped-def]
    base = {
        "prices": SHEET,
        "serverless": {"model": "llama-v3p3-70b-instruct"},
        "on_demand": {"gpu": "h100"},
    }
    return Cost.model_validate(base | changes)


@pytest.fixture(scope="module")
def points(rows):  # type: ignore[no-untyped-def]
    waits = {2: 0.05, 4: 0.08, 8: 0.09, 16: 0.4}
    return [
        point(rows, rate, wait, index=k, n_in=1000, cached_tok=400)
        for k, (rate, wait) in enumerate(waits.items())
    ]


def asked(points, own: Cost, forecast: Forecast | None = None) -> CostAnswer:  # type: ignore[no-untyped-def]
    return answer(question(points, own, forecast), traffic_source="a test")


def question(points, own: Cost, forecast: Forecast | None = None) -> Question:  # type: ignore[no-untyped-def]
    capacity = Capacity(find_capacity(points).estimate, ttft_limit_s(points[0]))
    return question_of(own, "auto", measured_mix(own, points, points), capacity, forecast)


def test_the_mix_is_what_was_billed(points) -> None:  # type: ignore[no-untyped-def]
    """Every request 1,000 in, 400 of them cached, 10 out; half off what is cached."""
    assert measured_cached_share([p.usage for p in points]) == 0.4
    own = question(points, cost())
    assert (own.mix.input_tok, own.mix.output_tok) == (1000, 10)
    assert own.mix.cached_share == 0.4
    assert own.capacity.limit_s == 0.3
    found = answer(own, traffic_source="")
    assert found.crossover.serverless_usd_per_priced == pytest.approx(
        0.9 * (600 + 400 / 2 + 10) / 1010
    )
    given = cost(serverless={"model": "deepseek-v3", "cached_share": "0%"})
    plain = asked(points, given).crossover
    assert plain.serverless_usd_per_priced == pytest.approx(0.9)


def test_sentences_of_the_cost_analyst(points) -> None:  # type: ignore[no-untyped-def]
    """About 8.3 req/s of 1,010 tokens, 30 M/h; $5/h against $.72 a million: 6.93 M/h, 166 a day."""
    day = load_forecast("servegen-day")
    forecast = {"file": "servegen-day", "volume": "50Mtok/d"}
    found = asked(points, cost(forecast=forecast), day)
    first, second = found.headlines
    assert first.answer == "On-demand is cheaper than serverless above 166 Mtok/day"
    assert first.detail.startswith("(in every draw of capacity and prices). [prices of ")
    assert (
        "[prices of 2026-11-23; capacity 8.28 req/s a replica within the SLO, measured;"
        in first.detail
    )
    assert second.answer == "At your 50.0 Mtok/day serverless saves $83.9/day"
    large = asked(points, cost(forecast=forecast | {"volume": "900Mtok/d"}), day)
    assert large.headlines[1].answer.startswith("At your 900 Mtok/day on-demand saves $")
    dear = cost(on_demand={"gpu": "h100", "gpus_per_replica": 16})
    assert asked(points, dear).headlines[0].answer == (
        "On-demand never becomes cheaper at this SLO:"
    )
    for gpus, words in ((5, "is open:"), (4, "for good is open:")):  # 8 to 16 req/s allow both
        found = asked(points, cost(on_demand={"gpu": "h100", "gpus_per_replica": gpus}))
        assert found.headlines[0].answer == f"Whether on-demand ever becomes cheaper {words}"
        assert found.headlines[0].outcome == "inconclusive"
        assert found.crossover.outcome is Outcome.INCONCLUSIVE


def test_every_assumption_is_listed_with_its_source(points) -> None:  # type: ignore[no-untyped-def]
    found = {a.what: a for a in asked(points, cost()).assumptions}
    assert "sheet fireworks-guide of 2026-11-23, row llama-v3p3-70b" in (
        found["serverless price"].source
    )
    assert found["replica"].value == "1 x h100 at $5.00/h in all"
    assert "single models differ" in found["doubt"].value  # of the cached price, which enters
    uncached = cost(serverless={"model": "deepseek-v3", "cached_share": "0%"})
    assert "doubt" not in {a.what for a in asked(points, uncached).assumptions}


def test_tokens_without_a_price_are_told(points) -> None:  # type: ignore[no-untyped-def]
    """An embedding row has no output price; the run's ten output tokens would go unseen."""
    own = cost(serverless={"model": "nomic-embed-text-v1.5", "cached_share": "0%"})
    doubts = [a.value for a in asked(points, own).assumptions if a.what == "doubt"]
    assert doubts == [
        "nomic-embed-text-v1.5: no price of output tokens; 10 a request are counted as free"
    ]


def test_plan_json_is_read_back_and_keeps_its_schema(points) -> None:  # type: ignore[no-untyped-def]
    zero = {"idle": "10min", "cold_start": "2min"}
    for own in (
        cost(on_demand={"gpu": "h100", "gpus_per_replica": 16}),  # infinities
        cost(
            on_demand={"gpu": "h100", "scale_to_zero": zero, "commitment_discount": "30%"},
            forecast={"file": "servegen-day", "mean": "1/s"},
        ),
    ):
        day = load_forecast("servegen-day") if own.forecast else None
        found = asked(points, own, day)
        text = json.dumps(found.to_json(), allow_nan=False)
        jsonschema.validate(json.loads(text), crossover_schema())
        assert CostAnswer.from_json(json.loads(text)) == found


def test_a_simulated_fleet_is_told_stored_and_read_back(points) -> None:  # type: ignore[no-untyped-def]
    """Twice what the staircase pays at 1 req/s, 98 % good. Older plans still open."""
    own = cost(on_demand={"gpu": "h100", "cold_start": "90s", "spare_replicas": 1},
               forecast={"file": "servegen-day", "mean": "1/s"})  # fmt: skip
    asked = question(points, own, load_forecast("servegen-day").at_mean(1.0))
    load = 1.0 / (0.8 * (asked.capacity.estimate.value or 1.0))
    day = FleetDay(load, 1.0, 86_400.0, 2.0, 1.0, None, None, 3.0, 0.98, 0.01)
    found = answer(
        replace(asked, simulated=SimulatedFleet((day,), (), 0.95)), traffic_source="a test"
    )
    at = found.crossover.at_traffic
    assert at is not None
    assert at.fleets["autoscaled"].value == pytest.approx(5 * (2 + 1))  # and the spare
    assert found.headlines[2].answer == ("The autoscaled fleet keeps 98% of requests good there")
    assert found.headlines[2].detail == (
        "[95% asked; simulated on the twin: 2 replicas paid on average, 3 cold starts a day, 1%"
        " late for a cold start]."
    )
    told = {a.what: a.value for a in found.assumptions}
    assert told["in the on-demand bill"] == (
        "GPU time from ready to gone; 1 spare replica always up (N+1)"
    )
    assert "GPU time of cold starts (bill_cold_start: true)" in told["not in it"]
    text = json.dumps(found.to_json(), allow_nan=False)
    jsonschema.validate(json.loads(text), crossover_schema())
    assert CostAnswer.from_json(json.loads(text)) == found
    old = json.loads(text)
    del old["simulated"], old["at_traffic"]["day"], old["curve"]["fleets"]
    del old["curve"]["good_ratio"]
    assert CostAnswer.from_json(old).crossover.simulated is None


def test_the_csv_has_a_column_a_fleet(points) -> None:  # type: ignore[no-untyped-def]
    zero = {"idle": "10min"}
    own = cost(on_demand={"gpu": "h100", "scale_to_zero": zero, "commitment_discount": "30%"})
    rows = list(csv.DictReader(io.StringIO(csv_text(asked(points, own)))))
    assert [name for name in rows[0] if name.endswith("_usd_per_h")][6:] == [
        "autoscaled_usd_per_h", "fixed_usd_per_h", "committed_usd_per_h", "to_zero_usd_per_h",
    ]  # fmt: skip
    for row in rows:
        bills = {k: float(v) for k, v in row.items() if k.endswith("usd_per_h")}
        assert bills["autoscaled_usd_per_h"] == bills["on_demand_usd_per_h"]
        assert bills["committed_usd_per_h"] <= bills["autoscaled_usd_per_h"]
        assert bills["to_zero_usd_per_h"] <= bills["autoscaled_usd_per_h"]


def test_always_cheaper_and_amounts_too_small_for_millions(points) -> None:  # type: ignore[no-untyped-def]
    """A GPU for a thousandth of a cent an hour: from 334 tokens a day on."""
    cheap = {**SHEET, "on_demand": {"h100": {"price": "0.00001USD/gpu_h"}}}
    said = asked(points, cost(prices=cheap)).headlines[0].answer
    assert said == "On-demand is cheaper than serverless above 333 tok/day"


def test_cost_of_a_good_token_on_demand(points) -> None:  # type: ignore[no-untyped-def]
    """At 4 req/s all 200 are good: 1,010 tokens each, 4,040 tok/s; $5/h is $.3438 a million. At
    16 req/s none begins in time."""
    found = {c.name: c for c in point_costs(points, cost(), {"t": "auto"})}
    four = found["rate-4"]
    assert (four.side, four.offered_req_per_s) == ("on_demand", 4.0)
    assert four.usd_per_good_mtok.value == pytest.approx(5 / 3600 / 4040 * 1e6)
    assert four.usd_per_good_req.value == pytest.approx(5 / 3600 / 4)
    assert four.bill_usd == pytest.approx(5 / 3600 * 50)
    low, high = four.usd_per_good_mtok.low, four.usd_per_good_mtok.high
    assert low is not None
    assert high is not None
    assert low <= 5 / 3600 / 4040 * 1e6 <= high
    assert found["rate-16"].usd_per_good_mtok.value == math.inf


def test_cost_of_a_good_token_serverless(points) -> None:  # type: ignore[no-untyped-def]
    """Every token is billed, at $0.72178 a million of this mix; at 4 req/s all of them are good."""
    own = cost(serverless={"target": "t", "model": "llama-v3p3-70b-instruct"}, on_demand=None)
    found = {c.name: c for c in point_costs(points, own, {"t": "auto"})}
    each = 0.9 * (600 + 200 + 10) / 1e6
    assert found["rate-4"].usd_per_good_mtok.value == pytest.approx(each / 1010 * 1e6)
    assert found["rate-4"].usd_per_good_req.value == pytest.approx(each)
    assert found["rate-4"].bill_usd == pytest.approx(200 * each)
    assert found["rate-16"].usd_per_good_req.value == math.inf


def test_words_of_amounts() -> None:
    assert [usd(x) for x in (126.4, 0.6667, -3.2, math.inf)] == [
        "$126", "$0.667", "-$3.20", "no bound",
    ]  # fmt: skip
    assert [usd_span(1, math.inf), usd_span(-math.inf, 2), usd_span(1, 2)] == [
        "$1.00 or more", "$2.00 or less", "$1.00 to $2.00",
    ]  # fmt: skip
    assert per_day(410e6 / 24) == "410 Mtok/day"
    assert per_day(12e9 / 24) == "12.0 Gtok/day"


def test_a_volume_is_scaled_by_the_measured_request(points) -> None:  # type: ignore[no-untyped-def]
    own = cost(forecast={"file": "servegen-day", "volume": "24.24Mtok/d"})
    found = asked(points, own, load_forecast("servegen-day")).crossover.at_traffic
    assert found is not None
    assert found.units_per_h == pytest.approx(1.01e6)


def test_a_simulated_capacity_brings_its_own_draws_and_doubts(points) -> None:  # type: ignore[no-untyped-def]
    """Every draw 20 req/s of 1,000 + 200 tokens: $5/h against 20 x 3600 x 1,200 tokens at $.9."""
    mix = simulated_mix(cost(), 1000.0, 200.0)
    assert (mix.input_tok, mix.cached_share) == (1000, 0)  # "measured": nothing was
    estimate = Estimate("max_goodput", "rate", "req/s", 20.0, 10.0, 40.0)
    twin = Capacity(estimate, draws=(20.0,), source="the twin", is_measured=False)
    found = answer(question_of(cost(), "auto", mix, twin, None), traffic_source="")
    need = found.crossover.required
    assert (need.low, need.high) == (pytest.approx(need.value), pytest.approx(need.value))
    assert need.value == pytest.approx(5 / (20 * 3600 * 1200 * 0.9e-6))
    assert "within the SLO, simulated;" in found.headlines[0].detail
    assert found.crossover.outcome is Outcome.PASS
    outside = Capacity(estimate, draws=(20.0,), doubts=("outside what was swept: batch 90 of 64",))
    doubtful = answer(question_of(cost(), "auto", mix, outside, None), traffic_source="")
    assert doubtful.crossover.outcome is Outcome.INCONCLUSIVE
    assert doubtful.assumptions[-1].value == "outside what was swept: batch 90 of 64"


def test_too_close_to_tell_is_said_with_the_difference(points) -> None:  # type: ignore[no-untyped-def]
    """One replica of 8 to 16 req/s, or two at the peak: $260 of tokens a day, $240 or more."""
    own = cost(
        on_demand={"gpu": "h100", "gpus_per_replica": 2},
        forecast={"file": "servegen-day", "volume": "360Mtok/d"},
    )
    said = asked(points, own, load_forecast("servegen-day")).headlines[1]
    assert said.answer == "At your 360 Mtok/day the two are too close to tell:"
    assert said.detail.startswith("on-demand less serverless is ")
    assert said.outcome == "inconclusive"


# -- what an analyst reads ----------------------------------------------------------------------


def told(found: CostAnswer) -> dict[str, str]:
    return {a.what: f"{a.value} ({a.source})" for a in found.assumptions}


def sheet(**changes) -> dict:  # type: ignore[no-untyped-def, type-arg]
    return {
        "schema": "harness/prices/v1", "name": "own", "as_of": "2026-11-20", "source": "contract",
        "serverless": {"mini": {"input": "0.50USD/Mtok", "output": "1.50USD/Mtok",
                                "fine_tuned": {"input": "1USD/Mtok", "output": "3USD/Mtok"}}},
        "on_demand": {"l4": {"price": "0.80USD/gpu_h"}},
    } | changes  # fmt: skip


def own_cost(serverless: dict[str, object], **changes: object) -> Cost:
    return cost(
        prices=sheet(**changes), serverless={"model": "mini"} | serverless, on_demand={"gpu": "l4"}
    )


def test_a_fine_tuned_row_and_a_cache_without_a_price_are_called_so(points) -> None:  # type: ignore[no-untyped-def]
    """1,000 in and 10 out at $1 and $3 are $1.0198 a million; of 400 cached ones no price."""
    found = asked(points, own_cost({"fine_tuned": True}))
    assert found.crossover.serverless_usd_per_priced == pytest.approx((1000 + 30) / 1010)
    rows = told(found)
    assert rows["serverless price"].endswith("row mini, fine-tuned)")
    assert rows["cached input"] == (
        "40% (of input tokens, billed as any other: the row has no price of them)"
    )
    base = sheet(serverless={"mini": {"input": "0.50USD/Mtok", "output": "1.50USD/Mtok"}})
    same = asked(points, cost(prices=base, serverless={"model": "mini", "fine_tuned": True},
                              on_demand={"gpu": "l4"}))  # fmt: skip
    assert told(same)["serverless price"].endswith(
        "row mini, fine-tuned at the base model's price)"
    )


def test_a_batch_share_says_what_it_is_worth(points) -> None:  # type: ignore[no-untyped-def]
    plain = {"cached_share": "0%", "batch_share": "40%"}
    up_to = asked(points, cost(serverless={"model": "deepseek-v3"} | plain))
    # .9 x (1 - .4 x .5) at the point, none of it at the upper end
    assert up_to.crossover.serverless_usd_per_priced == pytest.approx(0.72)
    assert told(up_to)["batch share"] == (
        "40% (of requests, given; up to 50% off: all of it at the point, none to all in the"
        " interval)"
    )
    fixed = asked(points, own_cost(plain, batch={"discount": "50%"}))
    assert told(fixed)["batch share"] == "40% (of requests, given; 50% off)"
    none = asked(points, own_cost(plain))
    assert told(none)["batch share"] == "40% (of requests, given; the sheet has no batch discount)"


def test_a_trace_of_other_lengths_leaves_every_answer_open(points) -> None:  # type: ignore[no-untyped-def]
    """Capacity and bill of 1,000 tokens in are not those of 1,155; within a tenth they are."""
    assert other_lengths(None, (1000, 10)) == ""
    assert other_lengths((1099, 10.9), (1000, 10)) == ""
    off = other_lengths((1155, 211), (1000, 10))
    assert off == (
        "the forecast's requests are 1,155 tokens in and 211 out on average, those of the capacity"
        " 1,000 and 10"
    )
    own = question(points, cost(), load_forecast("servegen-day"))
    doubtful = replace(own, capacity=replace(own.capacity, doubts=(off,)))
    found = answer(doubtful, traffic_source="")
    assert found.crossover.outcome is Outcome.INCONCLUSIVE
    last = found.headlines[-1]
    assert (last.answer, last.detail) == ("None of this is sure:", f"{off}.")
    assert answer(own, traffic_source="").headlines[-1].answer != "None of this is sure:"


def test_a_fleet_whose_sleep_costs_too_many_requests_is_no_like_for_like(points) -> None:  # type: ignore[no-untyped-def]
    """One request in 200 s, gone after 5 min, ten minutes to start: a fifth wakes it and waits."""
    side = {"gpu": "h100", "scaling": "to_zero",
            "scale_to_zero": {"idle": "5min", "cold_start": "10min"}}  # fmt: skip
    dear = sheet(serverless={"mini": {"input": "9000USD/Mtok", "output": "9000USD/Mtok"}},
                 on_demand={"h100": {"price": "5USD/gpu_h"}})  # fmt: skip
    own = cost(prices=dear, serverless={"model": "mini"}, on_demand=side)
    forecast = Forecast("made", "a test", 600.0, np.array([0.005, 0.005]))
    asked_ = question(points, own, forecast)
    days = fluid_days(
        asked_.traffic.shape, 600.0, DayFleet(asked_.capacity.estimate.value or 0, 0.8, 60.0), 0.3,
        0.95, 0.005,
    )  # fmt: skip
    found = answer(replace(asked_, simulated=days), traffic_source="")
    late = math.exp(-0.005 * 300) * (1 + 0.005 * (600 - 0.3))
    assert found.crossover.at_traffic is not None
    assert found.crossover.at_traffic.zero is not None
    assert found.crossover.at_traffic.zero.miss_share == pytest.approx(late)
    assert found.crossover.at_traffic.choice == "on_demand"
    assert found.crossover.outcome is Outcome.INCONCLUSIVE
    assert found.headlines[-1].answer == "Cold starts make 89.2% of requests late there"


def test_a_noisy_calibration_prices_nothing_for_sure() -> None:
    """As `plan replicas`, which calls it too noisy: half of the points missed by a quarter."""
    lengths = Lengths("sweep", np.array([300]), np.array([80]))
    estimate = Estimate("max_goodput", "rate", "req/s", 2.0, 1.0, 3.0, n=900)
    for doubt, known in (("", ()), ("missed", ("too noisy a calibration: missed",))):
        found = TwinCapacity(estimate, (1.0, 2.0, 3.0), "", (), (), 380.0, doubt)
        twin = SimpleNamespace(mix=lengths, objective=Objective(ttft_s=1.0), capacity=found)
        _, capacity = _simulated(cost(), twin)  # type: ignore[arg-type]
        assert capacity.doubts == known
        assert (capacity.limit_s, capacity.draws) == (1.0, found.draws)
    none = replace(found, draws=(0.0, 2.0))
    twin = SimpleNamespace(mix=lengths, objective=Objective(tpot_s=0.1), capacity=none)
    _, capacity = _simulated(cost(), twin)  # type: ignore[arg-type]
    assert (capacity.limit_s, capacity.draws) == (math.inf, (0.0, 2.0))


def test_who_has_no_limit_on_the_first_token_may_wait_for_a_cold_start() -> None:
    assert wait_limit_s({"ttft": 2.0, "tpot": 0.1}) == 2.0
    assert wait_limit_s({"ttft": 2.0, "e2e_latency": 1.5}) == 1.5
    assert wait_limit_s({"ttfv": 3.0}) == 3.0
    assert wait_limit_s({"tpot": 0.1}) == math.inf
    asleep = scale_to_zero(1 / 600, 300.0, 600.0, math.inf)
    assert (asleep.misses_per_h, asleep.miss_share) == (0, 0)


def test_no_more_requests_are_late_than_there_are() -> None:
    """One in 10 min, asleep after one: 6 e^-.1 = 5.4 wakes an hour, each with 1 + 1 late ones in
    the 10 minutes of its start, were 10.9 of 6."""
    asleep = scale_to_zero(1 / 600, 60.0, 600.0)
    assert asleep.wakes_per_h == pytest.approx(6 * math.exp(-0.1))
    assert (asleep.misses_per_h, asleep.miss_share) == (pytest.approx(6), pytest.approx(1))


def test_a_share_far_above_all_is_no_power_of_ten() -> None:
    assert [amount(x, "ratio") for x in (9.994, 9.996, 17.146)] == ["999%", "1,000%", "1,710%"]

"""Crossings where the row asks for minutes of audio, or by the request: by hand, and as scale."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli._cost import csv_text
from harness.decisions.cost_answer import CostAnswer, answer
from harness.decisions.cost_question import question_of
from harness.decisions.crossover import find_crossover
from harness.decisions.crossover_schema import crossover_schema
from harness.decisions.crossover_words import per_day
from harness.decisions.prices import Mix, tariff_of
from harness.decisions.question import Capacity, Fleet, Question, Traffic
from harness.decisions.traffic_unit import AUDIO, REQUESTS, TOKENS, unit_of
from harness.estimate import Estimate, Outcome
from harness.scenario.cost import Cost
from harness.scenario.forecast import load_forecast
from harness.scenario.prices import PriceSheet
from harness.units import Price, Volume, parse_traffic, write_traffic
from reports._cost import cost_section, price_data

SHEET = PriceSheet.model_validate({
    "schema": "harness/prices/v1", "name": "mine", "as_of": "2026-11-01", "source": "here",
    "serverless": {
        "ears": {"audio": "0.006USD/audio_min"}, "talk": {"input": "0.9USD/Mtok"},
        "both": {"input": "1USD/Mtok", "audio": "0.006USD/audio_min"},
        "call": {"request": "0.002USD/request"},
    },
    "on_demand": {"h100": {"price": "5USD/gpu_h"}},
})  # fmt: skip
FLEET = Fleet("h100", Price(5.0, 5.0))
CLIPS = Mix(0, 0, audio_min=0.5)


def capacity(value: float, spread: float = 1.0) -> Capacity:
    return Capacity(
        Estimate("max_goodput", "rate", "req/s", value, value / spread, value * spread, n=900)
    )


def ask(row: str, mix: Mix, req_per_s: float, **more: Any) -> Question:
    return Question(mix, tariff_of(SHEET, row), FLEET, capacity(req_per_s), **more)


@pytest.mark.parametrize(
    ("row", "mix", "unit"),
    [
        ("ears", CLIPS, AUDIO), ("ears", Mix(0, 12, audio_min=0.5), AUDIO),
        ("talk", Mix(100, 9), TOKENS), ("both", CLIPS, AUDIO),
        ("both", Mix(100, 0, audio_min=0.5), TOKENS), ("call", Mix(100, 9), TOKENS),
        ("call", CLIPS, REQUESTS), ("call", Mix(0, 0), REQUESTS),
    ],
)  # fmt: skip
def test_traffic_is_counted_in_what_the_row_asks_for(row: str, mix: Mix, unit: object) -> None:
    assert unit_of(mix, tariff_of(SHEET, row).prices) is unit


@pytest.mark.parametrize(
    ("row", "mix", "said"),
    [
        ("talk", CLIPS, "row talk asks nothing for these requests"),
        ("ears", Mix(9, 9), "row ears asks nothing for these requests"),
        ("ears", Mix(0, 0), "the mix has no tokens"),
    ],
)
def test_what_the_row_cannot_bill_is_no_question(row: str, mix: Mix, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ask(row, mix, 2.0)


def test_minutes_of_audio_by_hand() -> None:
    """2 requests/s of half a minute are 3,600 min/h. $5/h against $0.006 a minute: 833.3 min/h, on
    one replica that takes 2,880 of them; in full use it has to be used 5 / 21.6 = 23.1 %."""
    found = find_crossover(ask("ears", CLIPS, 2.0, traffic=Traffic("steady", np.ones(1), 1.0)))
    assert found.unit == "audio_min"
    assert found.one_replica.value == pytest.approx(5 / 0.006)
    assert found.one_replica.unit == "audio_min/h"
    assert found.crossing["autoscaled"].value == pytest.approx(5 / 0.006)
    assert found.required.value == pytest.approx(5 / 21.6)
    assert found.serverless_usd_per_priced == pytest.approx(0.006)
    at = found.at_traffic  # one request/s: 1,800 min/h
    assert at is not None
    assert at.units_per_h == pytest.approx(1800)
    assert at.serverless.value == pytest.approx(10.8)
    assert at.saving.value == pytest.approx(5 - 10.8)
    assert (at.choice, found.outcome) == ("on_demand", Outcome.PASS)
    dear = at.usd_per_priced
    assert (dear["on_demand"].metric, dear["on_demand"].unit) == (
        "usd_per_audio_min", "USD/audio_min",
    )  # fmt: skip
    assert dear["on_demand"].value == pytest.approx(5 / 1800)


def test_requests_by_hand() -> None:
    """$0.002 a request: 2,500 requests/h are $5; a thousand cost $2."""
    found = find_crossover(ask("call", CLIPS, 2.0))
    assert (found.unit, found.serverless_usd_per_priced) == ("req", pytest.approx(2.0))
    assert found.crossing["autoscaled"].value == pytest.approx(2500)


@settings(max_examples=6, deadline=None)
@given(st.floats(0.05, 10), st.floats(0.5, 20), st.floats(1.0, 1.4))
def test_an_answer_in_minutes_is_the_one_in_tokens_on_another_scale(
    minutes: float, rate: float, spread: float
) -> None:
    """What a request costs, what a replica sustains and what a GPU costs decide; the unit is a
    name. A million tokens a minute at the same price must cross at the same requests/s."""
    tok = minutes * 1e6
    sheet = PriceSheet.model_validate({
        "schema": "harness/prices/v1", "name": "n", "as_of": "2026-11-01", "source": "s",
        "serverless": {"a": {"audio": "0.006USD/audio_min"}, "t": {"input": "0.006USD/Mtok"}},
    })  # fmt: skip
    shape = Traffic("day", np.array([0.4, 0.4, 1.2, 2.0]), 1.0)
    heard, read = (
        find_crossover(Question(mix, tariff_of(sheet, row), FLEET, capacity(rate, spread), shape))
        for row, mix in (("a", Mix(0, 0, audio_min=minutes)), ("t", Mix(tok, 0)))
    )
    assert heard.required.value == pytest.approx(read.required.value)
    assert (heard.feasibility, heard.outcome) == (read.feasibility, read.outcome)
    for name in ("autoscaled", "fixed"):
        for end in ("low", "value", "high"):
            a, t = getattr(heard.crossing[name], end), getattr(read.crossing[name], end)
            assert a == t if math.isinf(t) else a == pytest.approx(t / 1e6)
    assert heard.at_traffic is not None
    assert read.at_traffic is not None
    assert heard.at_traffic.saving.value == pytest.approx(read.at_traffic.saving.value)


def cost(**forecast: Any) -> Cost:
    return Cost.model_validate({
        "prices": SHEET.model_dump(by_alias=True, exclude_none=True, mode="json"),
        "serverless": {"model": "ears"}, "on_demand": {"gpu": "h100"},
        **({"forecast": {"file": "servegen-day", **forecast}} if forecast else {}),
    })  # fmt: skip


def asked(**forecast: Any) -> CostAnswer:
    found = load_forecast("servegen-day") if forecast else None
    return answer(
        question_of(cost(**forecast), "auto", CLIPS, capacity(2.0), found), traffic_source="a test"
    )


def test_what_is_stored_is_read_back_with_keys_that_say_what_they_count() -> None:
    found = asked(volume="1Maudio_min/month")
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    jsonschema.validate(data, crossover_schema())
    assert data["traffic_unit"] == "audio_min"
    assert data["at_traffic"]["audio_min_per_h"] == pytest.approx(1e6 / 720)
    assert "audio_min_per_h" in data["curve"]
    assert data["serverless_usd_per_audio_min"] == pytest.approx(0.006)
    assert set(data["at_traffic"]["usd_per_audio_min"]) == {"serverless", "on_demand"}
    assert "tok_per_h" not in json.dumps(data)
    assert CostAnswer.from_json(data) == found
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert float(rows[0]["audio_min_per_day"]) == pytest.approx(
        24 * float(rows[0]["audio_min_per_h"])
    )


def test_a_volume_is_scaled_by_what_a_request_has() -> None:
    by_minute, by_request = asked(volume="360audio_min/h"), asked(volume="720req/h")
    for found in (by_minute, by_request):
        assert found.crossover.at_traffic is not None
        assert found.crossover.at_traffic.units_per_h == pytest.approx(360)
    with pytest.raises(ValueError, match=r"counts tokens, of which these requests have none"):
        asked(volume="1Mtok/d")


def test_sentences_and_the_page_speak_of_minutes() -> None:
    found = asked(volume="100kaudio_min/month")
    first, second, *_ = found.headlines
    told = f"{first.answer} {first.detail} {second.answer} {second.detail}"
    assert "minutes of audio/day" in told
    assert "tok" not in told.replace("token", "")
    said = {a.what: a.value for a in found.assumptions}
    assert said["request"] == "0.500 minutes of audio"
    assert said["serverless price"] == "$0.00600 per minute of audio of this mix"
    assert "3,600 minutes of audio/h" in said["capacity of a replica"]
    section = cost_section((), found)
    assert section is not None
    charts = {block.id: block for block in section.blocks if hasattr(block, "x_label")}
    assert charts["chart-crossover"].x_label == "minutes of audio a day"
    assert charts["chart-fleets"].x_label == "minutes of audio an hour"
    assert "Mtok" not in str(section.blocks)
    assert price_data(found)["my-prices"]


@pytest.mark.parametrize(
    ("per_h", "unit", "said"),
    [
        (1e6, "tok", "24.0 Mtok/day"), (50.0, "audio_min", "1,200 minutes of audio/day"),
        (0.01, "audio_min", "0.240 minutes of audio/day"), (math.inf, "audio_min", "no traffic"),
        (1000.0, "req", "24,000 requests/day"),
    ],
)  # fmt: skip
def test_traffic_in_words(per_h: float, unit: str, said: str) -> None:
    assert per_day(per_h, unit) == said


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("31Mtok/d", Volume(31e6 / 24, "tok")), ("720kaudio_min/month", Volume(1000, "audio_min")),
        ("24req/d", Volume(1, "req")),
    ],
)  # fmt: skip
def test_volumes_are_read_and_written_to_the_bit(text: str, volume: Volume) -> None:
    assert parse_traffic(text) == volume
    assert parse_traffic(write_traffic(volume)) == volume
    for wrong in ("5audio_min", "5 minutes/d", "-1req/d", "3kreq/y"):
        with pytest.raises(ValueError, match=r"write|above 0"):
            parse_traffic(wrong)

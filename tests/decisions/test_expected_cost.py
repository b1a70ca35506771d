"""Dollars before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from harness.decisions.expected_cost import Asked, Expected, expected_cost
from harness.scenario.cost import Cost
from harness.scenario.mean_use import MeanUse
from harness.scenario.prices import load_prices

SHEET = {
    "schema": "harness/prices/v1", "name": "mine", "as_of": "2026-11-01", "source": "here",
    "serverless": {
        "talk": {"input": "1USD/Mtok", "output": "4-6USD/Mtok"},
        "vectors": {"input": "0.1USD/Mtok"},
        "ears": {"audio": "0.006USD/audio_min"},
        "by-request": {"request": "0.002USD/request"},
        "both": {"input": "1USD/Mtok", "request": "0.001USD/request"},
        "pictures": {"image": "0.01USD/image"},
        "free-output": {"input": "1USD/Mtok", "output": "0USD/Mtok"},
    },
    "on_demand": {"h100": {"price": "2-4USD/gpu_h"}},
}  # fmt: skip
GUIDE = {
    "prices": load_prices("fireworks-guide").model_dump(by_alias=True, exclude_none=True),
    "serverless": {"model": "llama-v3p1-405b-instruct"},
    "on_demand": {"gpu": "h100", "gpus_per_replica": 8},
}  # fmt: skip


def expected(row: str, each: MeanUse, num: float | None = 1000, **more: Any) -> Expected:
    cost = Cost.model_validate({"prices": SHEET, "serverless": {"model": row}})
    return expected_cost(cost, "serverless", "auto", Asked(90, num, each), **more)


def test_serverless_by_the_token_and_on_demand_by_the_hour() -> None:
    """900 + 100 tokens at $3 a million, a thousand times; 90 s of 8 GPUs at $5/h."""
    cost, asked = Cost.model_validate(GUIDE), Asked(90, 1000, MeanUse(900, 100, 0))
    assert expected_cost(cost, "serverless", "auto", asked).usd == pytest.approx(3.0)
    on_demand = expected_cost(cost, "on_demand", "auto", asked)
    assert on_demand.usd == pytest.approx(1.0)
    assert on_demand.usd_per_s == pytest.approx(40 / 3600)


@pytest.mark.parametrize(
    ("row", "each", "usd"),
    [
        ("talk", MeanUse(1000, 100, 0), 1.5),  # 1000 x (1000 x 1 + 100 x 5) / 1e6
        ("vectors", MeanUse(5000, 0, 0), 0.5),
        ("ears", MeanUse(0, 0, 0.5), 3.0),  # 1000 x half a minute x $0.006
        ("by-request", MeanUse(77, None, 0), 2.0),
        ("by-request", MeanUse(0, 0, None), 2.0),
        ("both", MeanUse(1000, 0, 0), 2.0),
        ("free-output", MeanUse(1000, None, 0), 1.0),
    ],
)
def test_each_unit_of_a_price_is_counted(row: str, each: MeanUse, usd: float) -> None:
    found = expected(row, each)
    assert found.usd == pytest.approx(usd)
    assert (found.usd_per_req, found.why) == (pytest.approx(usd / 1000), "")


@pytest.mark.parametrize(
    ("row", "each", "why"),
    [
        ("talk", MeanUse(10, None, 0), "how many output tokens a request has is not known before"),
        ("talk", MeanUse(None, 5, 0), "how many input tokens a request has is not known before"),
        ("talk", MeanUse(0, 0, 0.5),
         "row talk has no price of minutes of audio, and a request has 0.5"),
        ("ears", MeanUse(10, 5, 0.5),
         "row ears has no price of input tokens, and a request has 10"),
        ("ears", MeanUse(0, 0, None),
         "how many minutes of audio a request has is not known before"),
        ("vectors", MeanUse(10, 5, 0), "row vectors has no price of output tokens"),
        ("pictures", MeanUse(10, 5, 0), "row pictures has no price of input tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_billed_is_said_and_is_no_zero(row: str, each: MeanUse, why: str) -> None:
    found = expected(row, each)
    assert (found.usd, found.usd_per_req) == (None, None)
    assert found.why.startswith(why)


def test_a_load_without_an_end_by_number_tells_what_a_request_costs() -> None:
    found = expected("ears", MeanUse(0, 0, 0.5), None)
    assert (found.usd, found.usd_per_req) == (None, pytest.approx(0.003))
    assert found.why == "how many requests there will be only the target decides"
    cost = Cost.model_validate({"prices": SHEET, "on_demand": {"gpu": "h100"}})
    timed = expected_cost(cost, "on_demand", "auto", Asked(None, 9, MeanUse(1, 1, 0)))
    assert (timed.usd, timed.usd_per_s) == (None, pytest.approx(3 / 3600))
    assert timed.why == "how long it takes only the target decides"


def test_a_budget_is_held_to_the_upper_end_of_a_price() -> None:
    assert expected("talk", MeanUse(1000, 100, 0), at_most=True).usd == pytest.approx(1.6)
    cost = Cost.model_validate({"prices": SHEET, "on_demand": {"gpu": "h100"}})
    asked = Asked(3600, 9, MeanUse(1, 1, 0))
    assert expected_cost(cost, "on_demand", "auto", asked, at_most=True).usd == pytest.approx(4)


def test_a_target_without_a_tariff_is_no_zero_either() -> None:
    cost = Cost.model_validate({"prices": SHEET, "on_demand": {"gpu": "h100"}})
    found = expected_cost(cost, None, "auto", Asked(90, 10, MeanUse(1, 1, 0)))
    assert (found.usd, found.why) == (None, "cost names no tariff for its target")

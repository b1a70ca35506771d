"""Dollars before anything is sent."""

from __future__ import annotations

import pytest

from harness.decisions.expected_cost import Asked, expected_usd
from harness.scenario.cost import Cost
from harness.scenario.prices import load_prices

COST = Cost.model_validate({
    "prices": load_prices("fireworks-guide").model_dump(by_alias=True, exclude_none=True),
    "serverless": {"model": "llama-v3p1-405b-instruct"},
    "on_demand": {"gpu": "h100", "gpus_per_replica": 8},
})  # fmt: skip


def test_serverless_by_the_token_and_on_demand_by_the_hour() -> None:
    """900,000 + 100,000 tokens at $3 a million; 90 s of 8 GPUs at $5/h."""
    asked = Asked(load_s=90, num_sent=1000, input_tok=900_000, output_tok=100_000)
    assert expected_usd(COST, "serverless", "auto", asked) == pytest.approx(3.0)
    assert expected_usd(COST, "on_demand", "auto", asked) == pytest.approx(1.0)


def test_what_only_the_target_decides() -> None:
    assert expected_usd(COST, "serverless", "auto", Asked(90, 10, 5, None)) is None
    assert expected_usd(COST, "serverless", "auto", Asked(90, None, None, None)) is None
    assert expected_usd(COST, "on_demand", "auto", Asked(None, 10, 5, 5)) is None

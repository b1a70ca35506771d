"""A month's bill of what no scenario sends, and the volumes at which a GPU costs as much."""

from __future__ import annotations

import json

import pytest

from harness.decisions.volumes import volume_bill
from harness.scenario.prices import PriceSheet, load_prices
from harness.units import parse_volume

GUIDE = load_prices("fireworks-guide")


def test_minutes_of_audio_by_hand() -> None:
    """100,000 minutes at $0.20; 40 % off as batches. An A10G is $576 a month: 2,880 minutes, the
    4.0 an hour of the published table."""
    bill = volume_bill(GUIDE, "whisper-v3", {"audio": 100_000 / 720})
    assert bill.usd.low == bill.usd.high == pytest.approx(20_000)
    assert bill.as_batch_usd is not None
    assert bill.as_batch_usd.low == bill.as_batch_usd.high == pytest.approx(12_000)
    even = {b.gpu: b.times * 100_000 / 720 for b in bill.break_even}
    assert even == pytest.approx({"a10g": 4.0, "a100-40": 12.5, "a100-80": 17.5, "h100": 25.0})
    assert bill.doubts[0].startswith("whisper-v3: far above")
    told = json.loads(json.dumps(bill.to_json()))
    assert told["break_even"][0]["volume_per_month"] == {"audio": pytest.approx(2880)}


def test_embeddings_and_the_range_of_a_promise() -> None:
    """5 G tokens at $0.008 are $40; "up to 50 %" makes a batch $20 to $40."""
    bill = volume_bill(GUIDE, "nomic-embed-text-v1.5", {"input": 5e9 / 720})
    assert bill.usd.point == pytest.approx(40)
    assert bill.as_batch_usd is not None
    assert (bill.as_batch_usd.low, bill.as_batch_usd.high) == pytest.approx((20, 40))
    assert bill.break_even[0].times == pytest.approx(576 / 40)


def test_every_part_of_a_row_has_its_own_price() -> None:
    sheet = PriceSheet.model_validate(
        {
            "schema": "harness/prices/v1", "name": "own", "as_of": "2026-11-20", "source": "us",
            "serverless": {"m": {
                "input": "1-2USD/Mtok", "cached_input": "0.5USD/Mtok", "output": "4USD/Mtok",
                "image": "0.01USD/image", "request": "0.001USD/request",
            }},
        }
    )  # fmt: skip
    per_h = {"input": 1e6, "cached_input": 1e6, "output": 1e6, "image": 100.0, "request": 1000.0}
    bill = volume_bill(sheet, "m", per_h)
    # an hour: 1 to 2, .5, 4, 1, 1
    assert (bill.usd.low, bill.usd.high) == pytest.approx((720 * 7.5, 720 * 8.5))
    assert (bill.as_batch_usd, bill.break_even) == (None, ())
    with pytest.raises(ValueError, match="row whisper-v3 has no price of input; it has audio"):
        volume_bill(GUIDE, "whisper-v3", {"input": 1.0})
    with pytest.raises(ValueError, match="no row 'whisper'"):
        volume_bill(GUIDE, "whisper", {"audio": 1.0})


def test_volumes_of_other_units() -> None:
    assert parse_volume("7200audio_min/month", "audio_min") == pytest.approx(10)
    assert parse_volume("7200min/month", "audio_min") == pytest.approx(10)
    assert parse_volume("24kimage/d", "image") == pytest.approx(1000)
    with pytest.raises(ValueError, match="unknown unit 'Mtok/d' in '1Mtok/d'; write 31Mimage/d"):
        parse_volume("1Mtok/d", "image")

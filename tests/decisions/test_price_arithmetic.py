"""What an average request costs: cached input, batches and how they stack, audio, ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.decisions.prices import Mix, blend_usd_per_mtok, tariff_of, usd_per_request
from harness.scenario.prices import PriceSheet, load_prices

SHEET = """\
schema: harness/prices/v1
name: s
as_of: 2026-11-20
source: a test
serverless:
  m: {input: 1USD/Mtok, cached_input: 0.4USD/Mtok, output: 4USD/Mtok, doubt: invented}
  t: {input: 1USD/Mtok, fine_tuned: {input: 3USD/Mtok}}
  a: {audio: 0.1USD/audio_min, image: 0.01USD/image, request: 0.5USD/request}
  r: {input: 1-3USD/Mtok}
batch: {discount: 50%, audio_discount: 20%}
cached_input: {discount: 25%}
stacking: multiply
"""


def sheet(folder: Path, old: str = "", new: str = "") -> PriceSheet:
    path = folder / "s.yaml"
    path.write_text(SHEET.replace(old, new, 1) if old else SHEET, encoding="utf-8")
    return load_prices(path)


# 1,000 in, 100 out, of the input 40 % cached: plain 600 + 400 x .4 + 400 = 1,160 USD/M requests
@pytest.mark.parametrize(
    ("stacking", "batch_share", "usd_per_million"),
    [
        ("multiply", 0.0, 1160.0),
        ("multiply", 1.0, 580.0),  # all of it at half
        ("best_of", 1.0, 300 + 400 * 0.4 + 200),  # cached .4 is below half of 1
        ("none", 1.0, 300 + 400 * 0.5 + 200),  # cached at half of the input price
        ("none", 0.5, (1160 + 700) / 2),
    ],
)
def test_stacking(
    tmp_path: Path, stacking: str, batch_share: float, usd_per_million: float
) -> None:
    tariff = tariff_of(sheet(tmp_path, "stacking: multiply", f"stacking: {stacking}"), "m")
    mix = Mix(1000, 100, cached_share=0.4, batch_share=batch_share)
    assert usd_per_request(mix, tariff.point()) * 1e6 == pytest.approx(usd_per_million)
    assert blend_usd_per_mtok(mix, tariff.point()) == pytest.approx(usd_per_million / 1100)
    assert tariff.doubts == ("m: invented",)


def test_a_row_without_its_own_cached_price_takes_the_discount(tmp_path: Path) -> None:
    rates = tariff_of(sheet(tmp_path), "t").point()
    assert usd_per_request(Mix(1e6, 0, cached_share=1), rates) == pytest.approx(0.75)


def test_fine_tuned_at_the_base_price_unless_given(tmp_path: Path) -> None:
    own = sheet(tmp_path)
    assert usd_per_request(Mix(1e6, 0), tariff_of(own, "t", is_fine_tuned=True).point()) == 3.0
    assert usd_per_request(Mix(1e6, 0), tariff_of(own, "m", is_fine_tuned=True).point()) == 1.0


def test_audio_images_and_a_fee(tmp_path: Path) -> None:
    """3 minutes at $0.1, 2 images at $0.01, $0.5 a request; batch: audio 20 % off, the rest 50."""
    rates = tariff_of(sheet(tmp_path), "a").point()
    assert usd_per_request(Mix(0, 0, audio_min=3, images=2), rates) == pytest.approx(0.82)
    batch = Mix(0, 0, audio_min=3, images=2, batch_share=1)
    assert usd_per_request(batch, rates) == pytest.approx(0.24 + 0.26)


def test_a_range_is_drawn_and_its_middle_is_the_point(tmp_path: Path) -> None:
    tariff = tariff_of(sheet(tmp_path), "r")
    bills = np.asarray(usd_per_request(Mix(1e6, 0), tariff.draws(4000, np.random.default_rng(0))))
    assert usd_per_request(Mix(1e6, 0), tariff.point()) == 2.0
    assert bills.min() >= 1
    assert bills.max() <= 3
    # the mean of 4,000 draws from 1 to 3 has a standard error of .0091: 5 of them, fixed seed
    assert bills.mean() == pytest.approx(2.0, abs=0.046)


def test_up_to_is_taken_at_its_word_and_drawn_from_nothing(tmp_path: Path) -> None:
    own = sheet(tmp_path, "discount: 50%, audio", "discount_up_to: 50%, audio")
    tariff, mix = tariff_of(own, "t"), Mix(1e6, 0, batch_share=1)
    bills = np.asarray(usd_per_request(mix, tariff.draws(1000, np.random.default_rng(0))))
    assert usd_per_request(mix, tariff.point()) == 0.5
    assert bills.min() < 0.51
    assert bills.max() > 0.99
    # audio without a discount of its own has the batch's, at its word too
    audio = sheet(tmp_path, "discount: 50%, audio_discount: 20%", "discount_up_to: 50%")
    minutes = Mix(0, 0, audio_min=3, batch_share=1)
    rates = tariff_of(audio, "a").point()
    assert usd_per_request(minutes, rates) == pytest.approx((0.3 + 0.5) / 2)


def test_a_model_without_a_row_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no row 'llama-70b'; it has m, t, a, r"):
        tariff_of(sheet(tmp_path), "llama-70b")
    with pytest.raises(ValueError, match="did you mean 'deepseek-v3'"):
        tariff_of(load_prices("fireworks-guide"), "deepseek-v4")

"""What one average request costs by a sheet: tokens, cached tokens, audio, images, batch discounts.

Every figure is linear in the prices, so point values and draws of price ranges go through the same
lines: a rate is a float, or an array of draws. A price the vendor does not ask is 0, a discount the
sheet does not give is 0; no vendor's rule is known to this file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.scenario.prices import PriceSheet, Stacking, UnitPrices
from harness.units import Price

FloatArray = npt.NDArray[np.float64]
Usd = float | FloatArray  # one value, or [n] draws of it

FREE = Price(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Mix:
    """The average request. Tokens, minutes and images a request; shares 0..1.

    cached_share: of input tokens found in a cache and billed so.  batch_share: of requests that may
    wait and are sent as batches.
    """

    input_tok: float
    output_tok: float
    cached_share: float = 0.0
    batch_share: float = 0.0
    audio_min: float = 0.0
    images: float = 0.0

    @property
    def tok(self) -> float:
        """Input and output together: the unit of every "Mtok/h" here."""
        return self.input_tok + self.output_tok


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of one row, at one point or as [n] draws. USD per Mtok, minute, image, request.

    batch_discount, audio_batch_discount: 0..1 off.
    """

    input: Usd
    cached_input: Usd
    output: Usd
    audio: Usd
    image: Usd
    request: Usd
    batch_discount: Usd
    audio_batch_discount: Usd
    stacking: Stacking


@dataclass(frozen=True, slots=True)
class Tariff:
    """A serverless row of a sheet as it is billed. doubts: of what enters it."""

    sheet: str
    as_of: str
    row: str
    prices: UnitPrices
    cached_discount: float
    batch_discount: Price
    audio_batch_discount: Price
    stacking: Stacking
    doubts: tuple[str, ...] = ()

    @property
    def has_cached_price(self) -> bool:
        """Whether tokens found in a cache cost anything else than others."""
        return self.prices.cached_input is not None or self.cached_discount > 0

    def point(self) -> Rates:
        """The middle of every range; a discount "up to" d is taken as d, its promise at best."""
        rates = self._rates(lambda p: p.point, self.batch_discount.high)
        return replace(rates, audio_batch_discount=self.audio_batch_discount.high)

    def end(self, *, is_low: bool) -> Rates:
        """Every price at its low or its high end; the low one with the best discount."""

        def value(price: Price) -> Usd:
            return price.low if is_low else price.high

        best = self.batch_discount.high if is_low else self.batch_discount.low
        rates = self._rates(value, best)
        fixed = self.audio_batch_discount.high if is_low else self.audio_batch_discount.low
        return replace(rates, audio_batch_discount=fixed)

    def draws(self, num: int, rng: np.random.Generator) -> Rates:
        """Each range drawn evenly, on its own; a discount "up to" d evenly from 0 to d."""

        def draw(price: Price) -> Usd:
            return rng.uniform(price.low, price.high, num) if price.is_range else price.low

        return self._rates(draw, draw(self.batch_discount))

    def _rates(self, value: Any, batch_discount: Usd) -> Rates:
        p = self.prices
        given = value(p.input or FREE)
        cached = value(p.cached_input) if p.cached_input else given * (1 - self.cached_discount)
        return Rates(
            input=given, cached_input=cached, output=value(p.output or FREE),
            audio=value(p.audio or FREE), image=value(p.image or FREE),
            request=value(p.request or FREE), batch_discount=batch_discount,
            audio_batch_discount=value(self.audio_batch_discount), stacking=self.stacking,
        )  # fmt: skip


def tariff_of(sheet: PriceSheet, model: str, *, is_fine_tuned: bool = False) -> Tariff:
    """The row of a model. Raises ValueError naming the nearest row where there is none."""
    name = sheet.row(model)
    if name is None:
        raise ValueError(f"sheet {sheet.name} has no row '{model}'; {sheet.nearest_row(model)}")
    row, batch, cached = sheet.serverless[name], sheet.batch, sheet.cached_input
    off = FREE
    if batch is not None:
        fixed, best = batch.discount, batch.discount_up_to or 0.0
        off = Price(fixed, fixed) if fixed is not None else Price(0.0, best)
    audio = off
    if batch is not None and batch.audio_discount is not None:
        audio = Price(batch.audio_discount, batch.audio_discount)
    told = name
    if is_fine_tuned:
        told += ", fine-tuned" + " at the base model's price" * (row.fine_tuned is None)
    parts = {name: row.doubt, "batch": batch.doubt if batch else "",
             "cached_input": cached.doubt if cached else ""}  # fmt: skip
    return Tariff(
        sheet=sheet.name, as_of=sheet.as_of.isoformat(), row=told,
        prices=row.fine_tuned if is_fine_tuned and row.fine_tuned is not None else row,
        cached_discount=cached.discount if cached is not None else 0.0,
        batch_discount=off, audio_batch_discount=audio, stacking=sheet.stacking or "none",
        doubts=tuple(f"{part}: {why}" for part, why in parts.items() if why),
    )  # fmt: skip


def usd_per_request(mix: Mix, rates: Rates) -> Usd:
    """Mean bill of one request of the mix, batch share and cached share included.

    [(1 - h) i p_in + h i p_cached + o p_out]/1e6, minutes, images and the request's own fee; the
    batch share at its discount. A cached token of a batch request costs, by stacking: `multiply`
    p_cached (1 - d); `best_of` the lower of p_cached and p_in (1 - d); `none` p_in (1 - d).
    """
    fresh = (1 - mix.cached_share) * mix.input_tok
    cached = mix.cached_share * mix.input_tok
    kept = 1 - rates.batch_discount
    batch_cached = {
        "multiply": rates.cached_input * kept,
        "best_of": np.minimum(rates.cached_input, rates.input * kept),
        "none": rates.input * kept,
    }[rates.stacking]
    others = mix.images * rates.image + rates.request
    plain = (
        fresh * rates.input + cached * rates.cached_input + mix.output_tok * rates.output
    ) / 1e6
    batch = (
        fresh * rates.input * kept + cached * batch_cached + mix.output_tok * rates.output * kept
    ) / 1e6
    share = mix.batch_share
    audio = mix.audio_min * rates.audio * (1 - share * rates.audio_batch_discount)
    bill: Usd = (1 - share) * (plain + others) + share * (batch + others * kept) + audio
    return bill


def blend_usd_per_mtok(mix: Mix, rates: Rates) -> Usd:
    """Mean USD of a million tokens of the mix, input and output together."""
    return usd_per_request(mix, rates) / mix.tok * 1e6

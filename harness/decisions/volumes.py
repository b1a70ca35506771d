"""What given volumes of one row cost by use, and from which volume on a GPU by the hour is cheaper.

Prices alone: no traffic, no capacity, no interval but that of price ranges. So also what no
scenario sends has its bill: minutes of audio, embeddings, images. Whether one GPU carries the
break-even volume is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.decisions.prices import Mix, Tariff, tariff_of, usd_per_request
from harness.scenario.prices import PriceSheet
from harness.units import Price

UNITS = {
    "input": "tok", "cached_input": "tok", "output": "tok", "audio": "audio_min", "image": "image",
    "request": "request",
}  # fmt: skip
MONTH_H = 720.0


@dataclass(frozen=True, slots=True)
class BreakEven:
    """usd_per_h: of one GPU at its point price.  times: the user's volumes, all of them, at which
    the bill by use is as high."""

    gpu: str
    usd_per_h: float
    times: float


@dataclass(frozen=True, slots=True)
class VolumeBill:
    """per_h: part of the row -> units an hour.  usd, as_batch_usd: a month of 720 hours; a range
    where prices are, or the discount is "up to".  as_batch_usd: None without a batch tariff."""

    row: str
    per_h: Mapping[str, float]
    usd: Price
    as_batch_usd: Price | None
    break_even: tuple[BreakEven, ...]
    doubts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `volume`: units a month by part."""
        return {
            "row": self.row, "volume_per_month": {p: v * MONTH_H for p, v in self.per_h.items()},
            "usd_per_month": [self.usd.low, self.usd.high],
            "as_batch_usd_per_month": None if self.as_batch_usd is None
            else [self.as_batch_usd.low, self.as_batch_usd.high],
            "break_even": [
                {"gpu": b.gpu, "usd_per_h": b.usd_per_h,
                 "volume_per_month": {p: v * MONTH_H * b.times for p, v in self.per_h.items()}}
                for b in self.break_even
            ],
            "doubts": list(self.doubts),
        }  # fmt: skip


def volume_bill(sheet: PriceSheet, row: str, per_h: Mapping[str, float]) -> VolumeBill:
    """per_h: part (a key of UNITS) -> units an hour, > 0; every part priced by the row.

    Raises ValueError where the row is missing, or has no price for a part.
    """
    tariff = tariff_of(sheet, row)
    for part in per_h:
        if part != "cached_input" and getattr(tariff.prices, part) is None:
            priced = [p for p in UNITS if getattr(tariff.prices, p) is not None]
            raise ValueError(f"row {tariff.row} has no price of {part}; it has {', '.join(priced)}")
    if per_h.get("cached_input") and tariff.prices.input is None:
        raise ValueError(f"row {tariff.row} has no price of input, nor of cached input")
    usd = _month(tariff, per_h, is_batch=False)
    batch = _month(tariff, per_h, is_batch=True) if sheet.batch is not None else None
    by_use = usd.point / MONTH_H
    even = tuple(
        BreakEven(name, gpu.price.point, gpu.price.point / by_use)
        for name, gpu in sheet.on_demand.items()
        if by_use > 0
    )
    unused = ["batch: "] * (batch is None) + ["cached_input: "] * (not per_h.get("cached_input"))
    doubts = tuple(d for d in tariff.doubts if not d.startswith(tuple(unused)))
    return VolumeBill(tariff.row, dict(per_h), usd, batch, even, doubts)


def _month(tariff: Tariff, per_h: Mapping[str, float], *, is_batch: bool) -> Price:
    """The bill at the low and the high end of every price."""
    tokens = per_h.get("input", 0.0) + per_h.get("cached_input", 0.0)
    mix = Mix(
        tokens, per_h.get("output", 0.0),
        cached_share=per_h.get("cached_input", 0.0) / tokens if tokens else 0.0,
        batch_share=1.0 if is_batch else 0.0, audio_min=per_h.get("audio", 0.0),
        images=per_h.get("image", 0.0),
    )  # fmt: skip

    def bill(is_low: bool) -> float:
        rates = tariff.end(is_low=is_low)
        # the mix is one request of an hour's volume: its own fee is that of as many as were given
        own = float(usd_per_request(mix, rates)) - float(rates.request) * _kept(rates, is_batch)
        return own + per_h.get("request", 0.0) * float(rates.request) * _kept(rates, is_batch)

    return Price(bill(True) * MONTH_H, bill(False) * MONTH_H)


def _kept(rates: Any, is_batch: bool) -> float:
    return 1 - float(rates.batch_discount) if is_batch else 1.0

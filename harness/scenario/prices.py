"""Price sheets: what a vendor asked on a date, and where that was read.

A sheet is data with a date and a source, never code: no price, discount or rule of stacking has a
default here. A price is one number or a range; what is doubtful carries its doubt, which is
printed beside every figure made from it. What things cost by it is decisions/prices.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from harness.notices import Notice
from harness.scenario._files import library_folder
from harness.scenario._plain import Kind, load_plain
from harness.scenario.distributions import Document
from harness.units import (
    Price,
    Seconds,
    Share,
    SizeBytes,
    UsdPerAudioMin,
    UsdPerGB,
    UsdPerGpuH,
    UsdPerImage,
    UsdPerMtok,
    UsdPerRequest,
    write_seconds,
)

SHEETS = Kind(
    "price sheet", "harness/prices/v1", "harness plan prices", library_folder() / "prices"
)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+$")]
Stacking = Literal["multiply", "best_of", "none"]


def _parse_date(text: object) -> date:
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise ValueError(f"'{str(text)[:40]}' is not a date; write 2026-11-23") from None


Date = Annotated[
    date, BeforeValidator(_parse_date), PlainSerializer(date.isoformat),
    WithJsonSchema({"type": "string", "format": "date"}),
]  # fmt: skip


class UnitPrices(Document):
    """What one model's tokens, audio, images and requests cost. None: not sold by that unit."""

    input: UsdPerMtok | None = Field(default=None, description="Prompt tokens.")
    cached_input: UsdPerMtok | None = Field(
        default=None, description="Prompt tokens found in a cache; None: by the sheet's discount."
    )
    output: UsdPerMtok | None = Field(default=None, description="Answer tokens.")
    audio: UsdPerAudioMin | None = Field(default=None, description="Audio sent.")
    image: UsdPerImage | None = Field(default=None, description="Each image sent.")
    request: UsdPerRequest | None = Field(default=None, description="Each request, beside tokens.")


class Serverless(UnitPrices):
    """One model, paid by use."""

    fine_tuned: UnitPrices | None = Field(
        default=None, description="Of a fine-tuned copy; None: the base model's price."
    )
    doubt: str = Field(default="", description="Why this row may be wrong; printed beside it.")


class Gpu(Document):
    """One kind of GPU, paid by time."""

    price: UsdPerGpuH = Field(description="One GPU for an hour.")
    memory: SizeBytes | None = Field(default=None, description="What has to hold the weights.")
    commitment_discount: Share = Field(default=0.0, description="Off, for GPUs paid day and night.")
    doubt: str = Field(default="", description="Why this row may be wrong; printed beside it.")


class BatchDiscount(Document):
    """Off for requests that may wait. up_to: what the vendor promises at best."""

    discount: Share | None = Field(default=None, description="Off, of every batch request.")
    discount_up_to: Share | None = Field(default=None, description="Off at best; 0% at worst.")
    audio_discount: Share | None = Field(default=None, description="Of audio, where it differs.")
    doubt: str = Field(default="", description="Why this row may be wrong; printed beside it.")


class CachedDiscount(Document):
    discount: Share = Field(description="Off the input price, of tokens found in a cache.")
    doubt: str = Field(default="", description="Why this row may be wrong; printed beside it.")


class PriceSheet(Document):
    """The whole sheet."""

    schema_: Literal["harness/prices/v1"] = Field(alias="schema", description="Of this document.")
    name: Name = Field(description="Printed beside every figure made from the sheet.")
    as_of: Date = Field(description="The day the prices were read; a price without one is rumour.")
    source: str = Field(min_length=1, description="Where they were read.")
    stale_after: Seconds = Field(default=90 * 86400.0, description="Older: a notice.")
    serverless: dict[Name, Serverless] = Field(default_factory=dict, description="By model.")
    on_demand: dict[Name, Gpu] = Field(default_factory=dict, description="By kind of GPU.")
    batch: BatchDiscount | None = Field(default=None, description="None: no batch tariff.")
    cached_input: CachedDiscount | None = Field(default=None, description="None: no discount.")
    egress: UsdPerGB | None = Field(
        default=None, description="Data that leaves rented machines; None: not asked."
    )
    stacking: Stacking | None = Field(
        default=None, description="What a cached token of a batch request costs."
    )

    def row(self, model: str) -> str | None:
        """The serverless row of a model id: the id itself, or what follows its last slash."""
        short = model.rpartition("/")[2]
        return next((name for name in (model, short) if name in self.serverless), None)

    def nearest_row(self, model: str) -> str:
        """`; did you mean 'x'?`, or the rows there are."""
        near = difflib.get_close_matches(model, self.serverless, n=1)
        return f"did you mean '{near[0]}'?" if near else f"it has {', '.join(self.serverless)}"

    @property
    def doubts(self) -> dict[str, str]:
        """Row -> why it may be wrong."""
        told = [(name, row.doubt) for name, row in self.serverless.items()]
        told += [(name, gpu.doubt) for name, gpu in self.on_demand.items()]
        blocks = (("batch", self.batch), ("cached_input", self.cached_input))
        told += [(name, block.doubt) for name, block in blocks if block is not None]
        return {name: why for name, why in told if why}


def load_prices(source: str | Path, search_paths: Sequence[Path] = ()) -> PriceSheet:
    """The sheet at a path, or the one of that name in the library. Raises ScenarioError."""
    return load_plain(SHEETS, PriceSheet, SHEETS.find(source, search_paths), _complaints)


def sheet_notices(sheet: PriceSheet, today: date) -> list[Notice]:
    """What is to be said of a sheet's age."""
    age = (today - sheet.as_of).days
    facts = {"sheet": sheet.name, "as_of": sheet.as_of.isoformat(), "days": age}
    if age < 0:
        return [Notice("prices_from_tomorrow", "warning", facts)]
    if age * 86400.0 > sheet.stale_after:
        limit = write_seconds(sheet.stale_after)
        return [Notice("stale_prices", "warning", {**facts, "limit": limit})]
    return []


def _complaints(block: BaseModel) -> Iterator[tuple[str, str]]:
    match block:
        case PriceSheet():
            yield from _of_sheet(block)
        case BatchDiscount(discount=None, discount_up_to=None):
            yield "", "says no discount; write discount: 50% or discount_up_to: 50%"
        case BatchDiscount(discount=float(), discount_up_to=float()):
            yield "discount_up_to", "give either discount or discount_up_to, not both"
        case UnitPrices():
            if not any(isinstance(getattr(block, f), Price) for f in UnitPrices.model_fields):
                yield "", "holds no price; write input: 0.90USD/Mtok or another unit"
            if block.cached_input is not None and block.input is None:
                yield "cached_input", "has no input price beside it"


def _of_sheet(sheet: PriceSheet) -> Iterator[tuple[str, str]]:
    if not sheet.serverless and not sheet.on_demand:
        yield "", "holds no price; give serverless, on_demand, or both"
    has_cached = sheet.cached_input is not None or any(
        row.cached_input is not None for row in sheet.serverless.values()
    )
    if sheet.stacking is None and sheet.batch is not None and has_cached:
        words = "multiply (both), best_of (the larger) or none (batch only)"
        yield "stacking", f"missing; say which discounts a cached batch token gets: {words}"

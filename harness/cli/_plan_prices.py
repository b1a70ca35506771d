"""`harness plan prices`: a sheet as a table, how old it is, where it is from, what is doubtful."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from harness.cli._options import Voice, voice_options
from harness.units import write_share, write_size

if TYPE_CHECKING:
    from datetime import date

    from harness.scenario.prices import PriceSheet, UnitPrices
    from harness.units import Price

_UNITS = {
    "input": "Mtok in", "cached_input": "Mtok cached", "output": "Mtok out",
    "audio": "audio min", "image": "image", "request": "request",
}  # fmt: skip
_GPU_COLUMNS = ["on demand", "USD/GPU-hour", "memory", "off when committed"]


@click.command()
@click.argument("sheets", nargs=-1, metavar="[SHEET]...")
@click.option(
    "--volume", "volumes", multiple=True, metavar="ROW[.PART]=VOLUME",
    help="Bill a month of this instead: whisper-v3=100kaudio_min/month; repeatable.",
)  # fmt: skip
@voice_options
def command(sheets: tuple[str, ...], volumes: tuple[str, ...], voice: Voice) -> int:
    """Print SHEET, a file or one that ships (all of these when left out), and check it.

    Faults are told with line and column, exit 2. A sheet past its stale_after draws a notice.
    With --volume, what a month of audio, embeddings or tokens costs by use, and from which volume
    on one GPU by the hour costs as little:

    \b
      harness plan prices fireworks-guide --volume whisper-v3=100kaudio_min/month
      harness plan prices my-prices.yaml --volume my-model.input=2Gtok/month \\
        --volume my-model.output=300Mtok/month
    """
    if volumes:
        from harness.cli._volumes import bill_volumes

        return bill_volumes(sheets, volumes, voice)
    from harness.scenario.prices import SHEETS, load_prices, sheet_notices

    today = datetime.now(UTC).date()
    rows, texts = [], []
    for source in sheets or SHEETS.names():
        sheet = load_prices(source)
        notices = sheet_notices(sheet, today)
        voice.notices(notices)
        told = [{**n.to_json(), "sentence": n.sentence} for n in notices]
        document = sheet.model_dump(by_alias=True, exclude_none=True)
        rows.append({"sheet": document, "age_d": (today - sheet.as_of).days, "notices": told})
        texts.append(_text(sheet, today))
    voice.result("\n\n".join(texts), {"sheets": rows})
    return 0


def _text(sheet: PriceSheet, today: date) -> str:
    age = (today - sheet.as_of).days
    lines = [
        f"{sheet.name}: prices of {sheet.as_of.isoformat()}, {_told(age)}",
        f"source: {sheet.source}",
    ]
    if sheet.serverless:
        used = [u for u in _UNITS if any(getattr(r, u) is not None for r in _all_rows(sheet))]
        header = ["serverless", *(f"USD/{_UNITS[u]}" for u in used)]
        rows = [[n, *(_price(getattr(r, u)) for u in used)] for n, r in _named_rows(sheet)]
        lines += ["", *_table([header, *rows])]
    if sheet.on_demand:
        lines += ["", *_table([_GPU_COLUMNS, *_gpu_rows(sheet)])]
    lines += ["", *_discounts(sheet)]
    lines += [f"doubt: {name}: {why}" for name, why in sheet.doubts.items()]
    return "\n".join(lines).rstrip()


def _told(age_d: int) -> str:
    days = f"{abs(age_d)} day{'s' * (abs(age_d) != 1)}"
    return f"{days} old" if age_d >= 0 else f"{days} still to come"


def _gpu_rows(sheet: PriceSheet) -> list[list[str]]:
    return [
        [
            name + " (!)" * bool(gpu.doubt), _price(gpu.price),
            write_size(gpu.memory) if gpu.memory else "-",
            write_share(gpu.commitment_discount) if gpu.commitment_discount else "-",
        ]
        for name, gpu in sheet.on_demand.items()
    ]  # fmt: skip


def _all_rows(sheet: PriceSheet) -> list[UnitPrices]:
    return [row for _, row in _named_rows(sheet)]


def _named_rows(sheet: PriceSheet) -> list[tuple[str, UnitPrices]]:
    found: list[tuple[str, UnitPrices]] = []
    for name, row in sheet.serverless.items():
        found.append((name + " (!)" * bool(row.doubt), row))
        if row.fine_tuned is not None:
            found.append((f"{name}, fine-tuned", row.fine_tuned))
    return found


def _discounts(sheet: PriceSheet) -> list[str]:
    lines = []
    if sheet.cached_input is not None:
        lines.append(f"cached input: {write_share(sheet.cached_input.discount)} off its price")
    if (batch := sheet.batch) is not None:
        up_to = "" if batch.discount is not None else "up to "
        share = batch.discount if batch.discount is not None else batch.discount_up_to
        audio = (
            f", audio {write_share(batch.audio_discount)}"
            if batch.audio_discount is not None else ""
        )  # fmt: skip
        lines.append(f"batch: {up_to}{write_share(share or 0.0)} off{audio}")
    if sheet.stacking is not None:
        words = {
            "multiply": "both discounts apply to a cached token of a batch request",
            "best_of": "a cached token of a batch request gets the larger discount",
            "none": "a cached token of a batch request gets the batch discount only",
        }
        lines.append(f"stacking: {sheet.stacking}, {words[sheet.stacking]}")
    return lines


def _price(price: Price | None) -> str:
    if price is None:
        return "-"
    low, high = (f"{end:.2f}" if end * 100 == round(end * 100) else f"{end:g}"
                 for end in (price.low, price.high))  # fmt: skip
    return f"{low} to {high}" if price.is_range else low


def _table(rows: list[list[str]]) -> list[str]:
    """The first column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines

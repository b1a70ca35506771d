"""`harness plan prices SHEET --volume ROW=VOLUME`: a month by use, beside GPUs by the hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from harness.cli._options import Voice
from harness.decisions.volumes import MONTH_H, UNITS, VolumeBill, volume_bill
from harness.errors import UsageError
from harness.scenario.prices import SHEETS, PriceSheet, load_prices, sheet_notices
from harness.units import Price, parse_volume, significant


def bill_volumes(sheets: Sequence[str], volumes: Sequence[str], voice: Voice) -> int:
    """Raises UsageError on a volume that cannot be read or that the sheet does not price."""
    names = sheets or SHEETS.names()
    if len(names) != 1:
        raise UsageError("--volume is billed by one sheet", why=f"{len(names)} were given")
    sheet = load_prices(names[0])
    voice.notices(sheet_notices(sheet, datetime.now(UTC).date()))
    asked: dict[str, dict[str, float]] = {}
    for text in volumes:
        row, part, per_h = _read(sheet, text)
        if part in asked.setdefault(row, {}):
            raise UsageError(f"--volume {text}: {part} of {row} is given twice")
        asked[row][part] = per_h
    try:
        bills = [volume_bill(sheet, row, per_h) for row, per_h in asked.items()]
    except ValueError as error:
        raise UsageError("this volume has no price", where=names[0], why=str(error)) from error
    data = {
        "sheet": sheet.name, "as_of": sheet.as_of.isoformat(), "bills": [b.to_json() for b in bills]
    }  # fmt: skip
    voice.result("\n\n".join(_text(bill, sheet) for bill in bills), data)
    return 0


def _read(sheet: PriceSheet, text: str) -> tuple[str, str, float]:
    """(row, part, units an hour) of `ROW=VOLUME` or `ROW.PART=VOLUME`."""
    path, sign, volume = text.partition("=")
    name, part = sheet.row(path), ""
    if name is None:
        before, _, last = path.rpartition(".")
        name, part = sheet.row(before), last if last in UNITS else ""
    if not sign or name is None or (sheet.row(path) is None and not part):
        raise UsageError(
            f"--volume {text} names no row", where=sheet.name, why=sheet.nearest_row(path),
            do=f"write ROW=100kaudio_min/month, or ROW.PART=...; parts: {', '.join(UNITS)}",
        )  # fmt: skip
    if not part:
        priced = [p for p in UNITS if getattr(sheet.serverless[name], p) is not None]
        if len(priced) > 1:
            told = " ".join(f"--volume {name}.{p}=..." for p in priced)
            raise UsageError(f"{name} is priced by several parts", do=f"say which: {told}")
        part = priced[0]
    try:
        return name, part, parse_volume(volume, UNITS[part])
    except ValueError as error:
        raise UsageError(f"--volume {text} cannot be read", why=str(error)) from error


def _text(bill: VolumeBill, sheet: PriceSheet) -> str:
    told = ", ".join(f"{_volume(p, v * MONTH_H)}" for p, v in bill.per_h.items())
    lines = [
        f"{bill.row}: {told} a month cost {_usd(bill.usd)} by use [{sheet.name}, {sheet.as_of}]"
    ]
    if bill.as_batch_usd is not None:
        lines.append(f"as batches {_usd(bill.as_batch_usd)}")
    if not bill.break_even and sheet.on_demand:
        lines.append("no GPU by the hour is ever cheaper: by use it costs nothing")
    for even in bill.break_even:
        same = ", ".join(_volume(p, v * MONTH_H * even.times) for p, v in bill.per_h.items())
        month = even.usd_per_h * MONTH_H
        word = "more" if even.times > 1 else "less"
        factor = even.times if even.times > 1 else 1 / even.times
        lines.append(
            f"one {even.gpu} is ${significant(month)} a month, used or not: as much as {same},"
            f" {significant(factor)} times {word} than yours"
            if even.times > 0
            else f"one {even.gpu} costs nothing: cheaper at any volume that it serves"
        )
    if bill.break_even:
        lines.append("whether one GPU serves that much within an SLO is not known: measure it")
    return "\n".join([lines[0], *(f"  {line}" for line in [*lines[1:], *_doubts(bill)])])


def _doubts(bill: VolumeBill) -> list[str]:
    return [f"doubt: {why}" for why in bill.doubts]


def _volume(part: str, number: float) -> str:
    names = {
        "input": "tokens in", "cached_input": "cached tokens in", "output": "tokens out",
        "audio": "minutes of audio", "image": "images", "request": "requests",
    }  # fmt: skip
    return f"{significant(number)} {names[part]}"


def _usd(price: Price) -> str:
    low, high = (f"${significant(end)}" for end in (price.low, price.high))
    return low if low == high else f"{low} to {high}"

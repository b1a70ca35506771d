"""The one place that parses, converts and formats quantities.

Units live in values: `250ms`, `8/s`, `0.90USD/Mtok`, `31Mtok/d`. A bare number where a dimension
is needed is an error that names two right spellings. Inside the program: int nanoseconds in load
and records, float seconds from the first statistic on, milliseconds only in printed text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
_RANGE = re.compile(r"(?<!^)(?<![0-9.][eE])-")
MOST_SECONDS = 1e9  # 30 years; as nanoseconds still far from the end of int64

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")

TIME_S = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
RATE_PER_S = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600, "/d": 1 / 86400}
SHARE = {"%": 0.01}
SIZE_BYTES = {
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
}  # fmt: skip
MONEY_USD = {"USD": 1.0}
_COUNTED = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
VOLUME_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1.0, "d": 24.0, "month": 720.0}  # of 30 days


def parse(text: object, table: Mapping[str, float], name: str, examples: str) -> float:
    """The quantity in base units; raises ValueError saying what to write instead.

    table: unit -> factor to the base unit.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"expected a {name}; write {examples}")
    match = _NUMBER.match(str(text))
    if not match:
        raise ValueError(f"'{text}' is not a {name}; write {examples}")
    number, unit = match[1], match[2]
    if not unit:
        raise ValueError(f"{text} has no unit; write {examples}")
    if unit not in table:
        raise ValueError(f"unknown unit '{unit}' in '{text}'; use one of {', '.join(table)}")
    value = _scaled(number, table[unit])
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not finite; write {examples}")
    return value


def _scaled(number: str, factor: float) -> float:
    """number * factor, rounded once, so that what write_* wrote is read back to the bit.

    A factor below 1 stands for a division (1e-3 for 1000), which decimals do exactly.
    """
    try:
        exact = Decimal(number)
        return float(exact / round(1 / factor) if factor < 1 else exact * round(factor))
    except (ArithmeticError, OverflowError):
        return math.inf


def parse_seconds(text: object) -> float:
    """`250ms` -> 0.25. Negative times are refused."""
    value = parse(text, TIME_S, "time", _time_examples(text))
    if value < 0:
        raise ValueError(f"'{text}' is negative; a time is 0 or more")
    if value > MOST_SECONDS:
        raise ValueError(f"'{text}' is longer than 30 years")
    return value


def parse_rate(text: object) -> float:
    """`480/min` -> 8.0 requests/s; must be above 0."""
    value = parse(text, RATE_PER_S, "rate", "8/s or 480/min")
    if value <= 0:
        raise ValueError(f"'{text}' must be above 0")
    return value


def parse_share(text: object) -> float:
    """`99%` -> 0.99; 0 to 100 %."""
    value = parse(text, SHARE, "share", _share_examples(text))
    if not 0 <= value <= 1:
        raise ValueError(f"'{text}' must lie between 0% and 100%")
    return value


def parse_size(text: object) -> float:
    """`64MiB` -> bytes."""
    return parse(text, SIZE_BYTES, "size", "64MiB or 80GB")


def parse_money(text: object) -> float:
    """`25USD` -> 25.0; must be above 0."""
    value = parse(text, MONEY_USD, "sum of money", "25USD")
    if value <= 0:
        raise ValueError(f"'{text}' must be above 0")
    return value


def parse_volume(text: object, unit: str = "tok") -> float:
    """`31Mtok/d` -> tokens an hour; a month has 30 days. Must be above 0.

    unit: another that is counted, such as audio_min: `100kaudio_min/month`.
    """
    examples = f"31M{unit}/d or 2G{unit}/month"
    names = (unit, "min") if unit == "audio_min" else (unit,)
    counts = {f"{k}{name}": f for name in names for k, f in _COUNTED.items()}
    table = {
        f"{count}/{period}": factor / hours
        for count, factor in counts.items()
        for period, hours in VOLUME_HOURS.items()
    }
    try:
        parse(text, table, f"volume of {unit}", examples)  # says what is wrong with it
    except ValueError as error:
        if "unknown unit" in str(error):  # its table is too long to be read
            raise ValueError(f"{str(error).partition('; use')[0]}; write {examples}") from None
        raise
    match = _NUMBER.match(str(text))
    assert match is not None
    count, _, period = match[2].partition("/")
    value = _scaled(match[1], counts[count]) / VOLUME_HOURS[period]
    if value <= 0:
        raise ValueError(f"'{text}' must be above 0")
    return value


@dataclass(frozen=True, slots=True)
class Volume:
    """per_h of a unit an hour: `tok`, `audio_min` or `req`."""

    per_h: float
    unit: str


def parse_traffic(text: object) -> Volume:
    """`31Mtok/d`, `100kaudio_min/month`, `1Mreq/d`: as parse_volume."""
    if isinstance(text, Volume):
        return text
    unit = next((name for name in ("audio_min", "req") if name in str(text)), "tok")
    return Volume(parse_volume(text, unit), unit)


@dataclass(frozen=True, slots=True)
class Price:
    """USD for one unit. low == high but where a range is known instead of a price."""

    low: float
    high: float

    @property
    def point(self) -> float:
        """The middle of the range: what one figure is computed with."""
        return (self.low + self.high) / 2

    @property
    def is_range(self) -> bool:
        return self.low != self.high

    def times(self, factor: float) -> Price:
        return Price(self.low * factor, self.high * factor)


# what is also read for a unit, times what makes it one
_AS_WELL = {"gpu_h": {"gpu_min": 60.0, "gpu_s": 3600.0}, "audio_min": {"audio_h": 1 / 60}}


def price_parser(unit: str) -> Callable[[object], Price]:
    """Reads `0.90USD/Mtok`, or the range `2.00-4.30USD/gpu_h`, of one unit; a GPU's price also a
    minute or a second, audio also an hour."""
    units = {f"USD/{unit}": 1.0, **{f"USD/{u}": f for u, f in _AS_WELL.get(unit, {}).items()}}

    def parse_price(text: object) -> Price:
        if isinstance(text, Price):
            return text
        examples = f"0.90USD/{unit}, or a range 0.90-1.20USD/{unit}"
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError(f"expected a price; write {examples}")
        # the minus of an exponent or of a negative price divides no range
        low, *rest = _RANGE.split(str(text).strip(), maxsplit=1)
        dash, high = bool(rest), rest[0] if rest else ""
        money = high.find("USD/")
        own = "" if "USD/" in low else high[money:] if money >= 0 else f"USD/{unit}"
        lower = low + own * dash
        ends = [parse(end, units, "price", examples) for end in (lower, high) if end]
        if not ends or min(ends) < 0 or (dash and len(ends) != 2):
            raise ValueError(f"'{text}' is not a price; write {examples}")
        if ends[0] > ends[-1]:
            raise ValueError(f"'{text}' runs from high to low; write the lower price first")
        return Price(ends[0], ends[-1])

    return parse_price


def _share_examples(text: object) -> str:
    """`0.9` is meant as a ratio more often than as 0.9 percent: 90% stands first."""
    try:
        number = float(str(text))
    except ValueError:
        return "99% or 5%"
    return f"{number * 100:g}% or {text}%" if 0 < number <= 1 else f"{text}% or 5%"


def _time_examples(text: object) -> str:
    """Two right spellings, made from the user's own number where it is one."""
    try:
        number = float(str(text))
    except ValueError:
        return "250ms or 1.5s"
    return f"{number:g}ms or {number / 1000:g}s" if number >= 20 else f"{number:g}s or 500ms"


def format_seconds(value_s: float, digits: int = 3) -> str:
    """For people: `182 ms`, `1.24 s`, `3 min 20 s`. Never for files."""
    if not math.isfinite(value_s):
        return "not reached"
    size = abs(value_s)
    if size >= 120:
        minutes, seconds = divmod(round(value_s), 60)
        hours, minutes = divmod(minutes, 60)
        parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
        return " ".join(f"{n} {u}" for n, u in parts if n) or "0 s"
    size = float(f"{size:.{digits - 1}e}")  # as it will read: 999.6 us is 1.00 ms
    scale, unit = (1.0, "s") if size >= 1 else (1e3, "ms") if size >= 1e-3 else (1e6, "us")
    if value_s == 0:
        return "0 s"
    return f"{significant(value_s * scale, digits)} {unit}"


def significant(value: float, digits: int = 3) -> str:
    """`digits` significant figures without an exponent, thousands separated: `4,210`, `0.0312`."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    value = float(f"{value:.{digits - 1}e}")  # first, so that 9.996 reads 10.0, not 10.00
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def brief(value: float, digits: int = 3) -> str:
    """As significant, without zeros at the end: `8`, `0.25`, `1,020`."""
    text = significant(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_seconds(value_s: float) -> str:
    """The shortest exact spelling a scenario accepts: 0.25 -> `250ms`."""
    for unit in ("d", "h", "min", "s", "ms", "us"):
        number = value_s / TIME_S[unit]
        if number >= 1 and abs(number - round(number)) < 1e-9:
            text = f"{round(number)}{unit}"
            if parse_seconds(text) == value_s:
                return text
    return f"{value_s!r}s" if value_s else "0s"


def write_rate(value: float) -> str:
    """8.0 -> `8/s`; exact for any float."""
    return f"{value:.0f}/s" if value.is_integer() and value < 1e15 else f"{value!r}/s"


def write_share(value: float) -> str:
    """0.99 -> `99%`; exact for any float."""
    return f"{(Decimal(repr(value)) * 100).normalize():f}%"


def write_money(value: float) -> str:
    """25.0 -> `25USD`; exact for any float."""
    return f"{_shortest(value)}USD"


def write_volume(value: float, unit: str = "tok") -> str:
    """Units an hour; exact for any float."""
    return f"{_shortest(value)}{unit}/h"


def write_traffic(volume: Volume) -> str:
    """Volume(1000.0, "req") -> `1000req/h`; exact for any float."""
    return write_volume(volume.per_h, volume.unit)


def price_writer(unit: str) -> Callable[[Price], str]:
    """Price(0.9, 0.9) -> `0.9USD/Mtok`; exact for any float."""

    def write_price(price: Price) -> str:
        number = _shortest(price.low)
        number += f"-{_shortest(price.high)}" if price.is_range else ""
        return f"{number}USD/{unit}"

    return write_price


def write_size(value: float) -> str:
    """8e10 -> `80GB`; exact for any float."""
    for unit in ("GB", "MB", "kB"):
        if value >= SIZE_BYTES[unit] and (value / SIZE_BYTES[unit]).is_integer():
            return f"{value / SIZE_BYTES[unit]:.0f}{unit}"
    return f"{_shortest(value)}B"


def _shortest(value: float) -> str:
    """Without an exponent, so that a range's dash is the only one."""
    return f"{Decimal(repr(value)).normalize():f}"


# Fields of a document: the YAML holds `250ms`, the model holds 0.25, a dump writes `250ms` again.
def _field(parser: Any, writer: Any, pattern: str, example: str) -> Any:
    schema = {"type": "string", "pattern": pattern, "examples": [example]}
    return (BeforeValidator(parser), PlainSerializer(writer), WithJsonSchema(schema))


_T = r"^\s*\d+(\.\d+)?([eE][+-]?\d+)?\s*(ns|us|ms|s|min|h|d)\s*$"
_R = r"^\s*\d+(\.\d+)?([eE][+-]?\d+)?\s*/(s|min|h|d)\s*$"
_S = r"^\s*\d+(\.\d+)?\s*%\s*$"
Seconds = Annotated[float, *_field(parse_seconds, write_seconds, _T, "250ms")]
ReqPerS = Annotated[float, *_field(parse_rate, write_rate, _R, "8/s")]
Share = Annotated[float, *_field(parse_share, write_share, _S, "99%")]
_N = r"\d+(\.\d+)?"
Usd = Annotated[float, *_field(parse_money, write_money, rf"^\s*{_N}\s*USD\s*$", "25USD")]
TrafficVolume = Annotated[
    Volume,
    *_field(
        parse_traffic, write_traffic,
        rf"^\s*{_N}([eE][+-]?\d+)?\s*[kMG]?(tok|audio_min|req)/(s|min|h|d|month)\s*$",
        "31Mtok/d",
    ),
]  # fmt: skip
SizeBytes = Annotated[
    float, *_field(parse_size, write_size, rf"^\s*{_N}\s*([kMG]i?)?B\s*$", "80GB")
]


def _price_field(unit: str, example: str) -> Any:
    names = "|".join((unit, *_AS_WELL.get(unit, {})))
    pattern = rf"^\s*{_N}(\s*-\s*{_N})?\s*USD/({names})\s*$"
    return _field(price_parser(unit), price_writer(unit), pattern, example)


UsdPerMtok = Annotated[Price, *_price_field("Mtok", "0.90USD/Mtok")]
UsdPerAudioMin = Annotated[Price, *_price_field("audio_min", "0.20USD/audio_min")]
UsdPerImage = Annotated[Price, *_price_field("image", "0.001USD/image")]
UsdPerRequest = Annotated[Price, *_price_field("request", "0.0001USD/request")]
UsdPerGB = Annotated[Price, *_price_field("GB", "0.09USD/GB")]
UsdPerGpuH = Annotated[Price, *_price_field("gpu_h", "5.00USD/gpu_h")]

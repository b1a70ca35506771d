"""Every fleet against serverless: what an hour costs over traffic, and who is cheaper where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Literal

from harness.decisions.cost_answer import CostAnswer
from harness.decisions.cost_curve import Curve
from harness.decisions.crossover_words import FLEET_NAMES, ends
from harness.decisions.question import Band
from harness.decisions.traffic_unit import UNITS
from harness.units import brief, significant
from reports.view import Boxes, Chart, Line, Panel, digits

# as an axis has room for
_SHORT = {"autoscaled": "autoscaled", "fixed": "fixed", "committed": "committed",
          "to_zero": "to zero"}  # fmt: skip
Cheaper = Literal["serverless", "open", "on demand"]
_TONES: tuple[tuple[Cheaper, int | Literal["limit"], float], ...] = (
    ("serverless", 0, 0.75), ("open", "limit", 0.35), ("on demand", 1, 0.75),
)  # fmt: skip
_X = {
    "tok": "Mtok an hour", "audio_min": "minutes of audio an hour",
    "req": "1,000 requests an hour",
}  # fmt: skip


def fleet_charts(answer: CostAnswer) -> tuple[Chart, ...]:
    """A line a fleet beside serverless, and under the same x a strip a fleet."""
    curve = answer.crossover.curve
    if not curve.fleets:  # a plan stored before fleets had curves
        return ()
    return _bills(answer, curve), _regimes(answer, curve)


def _bills(answer: CostAnswer, curve: Curve) -> Chart:
    x, unit = _units(curve, answer.crossover.unit), answer.crossover.unit
    rows = [("serverless", curve.serverless), *((_SHORT[n], b) for n, b in curve.fleets.items())]
    marks = _marks(answer)
    told = "; ".join(f"{_SHORT[name]} {_crossing(answer, name)}" for name in curve.fleets)
    caption = f"Cheaper than serverless for good above, {_X[unit]} (95% CI): {told}."
    return Chart(
        "chart-fleets", "An hour of every fleet", caption,
        "Bills of one traffic in the forecast's shape; bands hold 95% of 2,000 draws of capacity"
        " and prices. Autoscaled: as the plan's fleet table says; fixed: for the peak; committed:"
        " the cheapest part of it paid day and night; to zero: the last replica sleeps.",
        caption, _X[unit], (Panel("USD an hour", tuple(_line(n, x, b) for n, b in rows), "log",
                            marks=marks),), "log",
    )  # fmt: skip


def _line(name: str, x: tuple[float, ...], bills: Sequence[Band]) -> Line:
    low, value, high = (tuple(row[k] for row in bills) for k in range(3))
    return Line(name, x, value, low, tuple(h if math.isfinite(h) else math.nan for h in high))


def _regimes(answer: CostAnswer, curve: Curve) -> Chart:
    unit = answer.crossover.unit
    strips = {name: _strip(curve, bills, unit) for name, bills in curve.fleets.items()}
    num = len(strips)
    boxes = []
    for who, tone, shade in _TONES:
        spans = tuple(
            (x0, x1, num - i - 0.9, num - i - 0.1)
            for i, strip in enumerate(strips.values())
            for x0, x1, found in strip
            if found == who
        )
        if spans:
            told = f"{who} cheaper" if who != "open" else who
            boxes.append(Boxes(told, spans, tone, shade, who))
    ticks = tuple((num - i - 0.5, _SHORT[name]) for i, name in enumerate(strips))
    caption = " ".join(_in_words(name, strip) for name, strip in strips.items())
    rows = tuple(
        (FLEET_NAMES[name], tuple((digits(x0), digits(x1), who) for x0, x1, who in strip))
        for name, strip in strips.items()
    )
    marks = _marks(answer)
    return Chart(
        "chart-regimes", "Who is cheaper where", caption,
        "Read at the 60 traffics of the curve: cheaper where the two bands do not touch, open where"
        " they do. A staircase may cross more than once.",
        caption, _X[unit],
        (Panel("", (), boxes=tuple(boxes), y_ticks=ticks, num_rows=7 * num, marks=marks),), "log",
        own_data=((f"{_X[unit]}, above", "up to", "cheaper"), rows),
    )  # fmt: skip


def _strip(curve: Curve, bills: Sequence[Band], unit: str) -> list[tuple[float, float, Cheaper]]:
    """(from, to, cheaper) as the axis has it, from the first traffic of the curve to the last."""
    x = _units(curve, unit)
    edges = [x[0], *(math.sqrt(a * b) for a, b in pairwise(x)), x[-1]]
    each = [_cheaper(used, paid) for used, paid in zip(curve.serverless, bills, strict=True)]
    strip = []
    for who, group in groupby(range(len(x)), key=lambda k: each[k]):
        cells = list(group)
        strip.append((edges[cells[0]], edges[cells[-1] + 1], who))
    return strip


def _cheaper(used: Band, paid: Band) -> Cheaper:
    if used[0] > paid[2]:
        return "on demand"
    return "serverless" if paid[0] > used[2] else "open"


def _in_words(name: str, strip: Sequence[tuple[float, float, Cheaper]]) -> str:
    """`Fixed: serverless up to 3.2, open up to 4.1, then on demand.`"""
    short = _SHORT[name]
    told = [f"{who} up to {brief(x1)}" for _, x1, who in strip[:-1]]
    last = strip[-1][2]
    return f"{short[0].upper()}{short[1:]}: {', '.join([*told, f'then {last}' if told else last])}."


def _crossing(answer: CostAnswer, name: str) -> str:
    """`5.56 (4.9 to 6.2)` as on the axis; one number where the interval has no width to print."""
    low, value, high = ends(answer.crossover.crossing[name])
    if math.isinf(low):
        return "never"
    if high == 0:
        return "at any traffic"
    scale = UNITS[answer.crossover.unit].in_price
    told = [significant(x / scale) if math.isfinite(x) else "never" for x in (low, value, high)]
    if len(set(told)) == 1:
        return told[0]
    end = "without an upper end" if math.isinf(high) else f"to {told[2]}"
    return f"{told[1]} ({told[0]} {end})"


def _units(curve: Curve, unit: str) -> tuple[float, ...]:
    """Traffics of the curve, as the axis has them."""
    return tuple(t / UNITS[unit].in_price for t in curve.units_per_h)


def _marks(answer: CostAnswer) -> tuple[tuple[float, str], ...]:
    own, scale = answer.crossover.at_traffic, UNITS[answer.crossover.unit].in_price
    return ((own.units_per_h / scale, "your traffic"),) if own is not None else ()

"""The few SVG elements that charts are made of, as text for a page.

Colours, dashes and fonts are classes that report.css styles, so that a chart follows the theme and
two charts in one page share nothing. A place is written to a tenth of a point: less than eyes see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

Point = tuple[float, float]  # points of 1/72 inch, right and down from the upper left corner
Anchor = Literal["start", "middle", "end"]


def root(
    chart_id: str, title: str, description: str, size: tuple[float, float], parts: Iterable[str]
) -> str:
    """The `<svg>` of a chart. size: width and height in points; the page scales it.

    description: read aloud instead of the picture.
    """
    width, height = size
    return (
        f'<svg class="chart" viewBox="0 0 {num(width)} {num(height)}" role="img"'
        f' aria-labelledby="{chart_id}-t {chart_id}-d">'
        f'<title id="{chart_id}-t">{escape(title)}</title>'
        f'<desc id="{chart_id}-d">{escape(description)}</desc>' + "".join(parts) + "</svg>"
    )


def group(classes: str, parts: Iterable[str]) -> str:
    """Empty where it would hold nothing."""
    inside = "".join(parts)
    return f'<g class="{classes}">{inside}</g>' if inside else ""


def path(classes: str, data: str, opacity: float = 1.0) -> str:
    """data: of its `d`; no element where that is empty.  opacity: 0..1 of what is filled."""
    if not data:
        return ""
    faint = f' fill-opacity="{opacity:.3g}"' if opacity < 1 else ""
    return f'<path class="{classes}" d="{data}"{faint}/>'


def text(
    classes: str, at: Point, words: str, anchor: Anchor = "start", *, turned: bool = False
) -> str:
    """turned: reads upwards."""
    x, y = num(at[0]), num(at[1])
    turn = f' transform="rotate(-90 {x} {y})"' if turned else ""
    side = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text class="{classes}" x="{x}" y="{y}"{side}{turn}>{escape(words)}</text>'


def polyline(points: Sequence[Point], *, is_closed: bool = False) -> str:
    """Path data through points in order; one on the straight way between neighbours is left out."""
    if not points:
        return ""
    kept: list[tuple[float, float]] = []
    for x, y in points:
        here = (round(x, 1), round(y, 1))
        if kept and kept[-1] == here:
            continue
        if len(kept) > 1 and _is_on_the_way(kept[-2], kept[-1], here):
            kept.pop()
        kept.append(here)
    (x, y), data = kept[0], [f"M{num(kept[0][0])} {num(kept[0][1])}"]
    for to_x, to_y in kept[1:]:
        is_level, is_upright = to_y == y, to_x == x
        data.append(
            f"H{num(to_x)}" if is_level else f"V{num(to_y)}" if is_upright
            else f"L{num(to_x)} {num(to_y)}"
        )  # fmt: skip
        x, y = to_x, to_y
    return "".join(data) + "Z" * is_closed


def rectangle(x0: float, y0: float, x1: float, y1: float) -> str:
    """Path data between two corners."""
    return f"M{num(x0)} {num(y0)}H{num(x1)}V{num(y1)}H{num(x0)}Z"


def num(value: float) -> str:
    """A tenth of a point, without what says nothing."""
    written = f"{value:.1f}"
    return written[:-2] if written.endswith(".0") else written


def _is_on_the_way(a: Point, b: Point, c: Point) -> bool:
    """b between a and c on one level or upright line: a turn back is a peak, and stays."""
    level = a[1] == b[1] == c[1] and (b[0] - a[0]) * (c[0] - b[0]) > 0
    upright = a[0] == b[0] == c[0] and (b[1] - a[1]) * (c[1] - b[1]) > 0
    return level or upright

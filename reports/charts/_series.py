"""What a panel shows, as artists: measured lines with their intervals, guides, boxes.

Series differ by colour, dash and marker together, so that none is told apart by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from reports.svg import AXIS, LIMIT, SERIES
from reports.view import Boxes, Line

DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3)))
MARKS = ("o", "s", "^", "D", "v", "P")
BAR_WIDTH, CAP = 1.0, 2.5


def draw_line(axes: Axes, line: Line, i: int) -> Artist:
    """A measured series: marks with bars where x has few values, else a line in its band."""
    color, dash = SERIES[i], DASHES[i]
    if line.low and line.has_marks:
        _bars(axes, line, color)
    elif line.low:
        (at, low_y), (_, high_y) = (_held(replace(line, y=ends)) for ends in (line.low, line.high))
        axes.fill_between(
            at, low_y, high_y, color=color, alpha=0.18, linewidth=0,
            where=[not math.isnan(v) for v in low_y], step="post" if line.is_step else None,
        )  # fmt: skip
    x, y = _held(line)
    (handle,) = axes.plot(
        x, y, color=color, linestyle="none" if line.is_hollow else dash, linewidth=1.6,
        drawstyle="steps-post" if line.is_step else "default",
        marker=MARKS[i] if line.has_marks else "", markersize=4,
        markerfacecolor="none" if line.is_hollow else color,
    )  # fmt: skip
    return handle


def draw_guide(axes: Axes, line: Line) -> Artist:
    """Something to hold a measurement against."""
    x, y = _held(line)
    (handle,) = axes.plot(
        x, y, color=AXIS, linestyle=(0, (1, 1.6)), linewidth=1.2,
        drawstyle="steps-post" if line.is_step else "default",
    )  # fmt: skip
    return handle


def draw_boxes(axes: Axes, boxes: Boxes) -> Artist:
    """All of one meaning are one path: a page of hundreds stays small."""
    color = LIMIT if boxes.tone == "limit" else SERIES[boxes.tone]
    corners = [((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)) for x0, x1, y0, y1 in boxes.boxes]
    path = Path(
        [corner for box in corners for corner in box],
        [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY] * len(corners),
    )
    return axes.add_artist(PathPatch(path, facecolor=color, alpha=boxes.shade, linewidth=0))


def draw_open_ends(axes: Axes, lines: Sequence[Line]) -> None:
    """An interval without an upper end goes up to an arrow at the top; y has its scale by then."""
    top = axes.get_ylim()[1]
    for i, line in enumerate(lines):
        for x, y, high in zip(line.x, line.y, line.high, strict=False):
            if line.has_marks and math.isinf(high):
                color = SERIES[i % len(SERIES)]
                axes.plot([x, x], [y, top], color=color, linewidth=BAR_WIDTH)
                axes.plot([x], [top], color=color, marker="^", markersize=4, clip_on=False)


def _bars(axes: Axes, line: Line, color: str) -> None:
    """Intervals of y, and of x where given; none where an end is not known."""

    def lengths(values: Sequence[float], ends: Sequence[float], sign: int) -> list[float]:
        found = [sign * (end - v) for v, end in zip(values, ends, strict=True)]
        # an open end is drawn when the scale is known
        return [v if math.isnan(v) else 0.0 if math.isinf(v) else max(0.0, v) for v in found]

    up = (lengths(line.y, line.low, -1), lengths(line.y, line.high, 1))
    across = None
    if line.x_low:
        across = (lengths(line.x, line.x_low, -1), lengths(line.x, line.x_high, 1))
    axes.errorbar(
        line.x, line.y, yerr=up, xerr=across,
        fmt="none", color=color, elinewidth=BAR_WIDTH, capsize=CAP,
    )  # fmt: skip


def _held(line: Line) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The last step drawn as long as the others."""
    if not line.width or not line.x:
        return line.x, line.y
    return (*line.x, line.x[-1] + line.width), (*line.y, line.y[-1])

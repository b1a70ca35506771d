"""One function draws every chart of a report: stacked panels of lines or boxes over one x axis.

Series differ by colour, dash and marker together, so that none is told apart by colour alone.
"""

from __future__ import annotations

import math
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import ScaledTranslation

from reports.charts._axes import dress, fill_y, scale_x, scale_y
from reports.charts._limits import draw_limits
from reports.charts._ticks import draw_names, draw_ticks
from reports.svg import AXIS, LIMIT, SERIES, SHADE, TEXT
from reports.view import Boxes, Chart, Line, Panel

DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3)))
MARKS = ("o", "s", "^", "D", "v", "P")
# Drawn near the width of a phone's screen, so that text scales up from there and never below.
WIDTH_IN, WIDE_IN = 5.2, 9.4
ROW_IN = 0.19  # a line of small text
BOX_IN = 0.045  # a row of boxes


def draw(chart: Chart) -> Figure:
    """The chart's Figure; nothing global to close."""
    num = len(chart.panels)
    head = 0.08 + ROW_IN * _rows_above(chart.panels[0])
    bodies = [_body_in(panel, num) for panel in chart.panels]
    body = sum(bodies) / num
    height = head + sum(bodies) + (num - 1) * 0.3 + 0.5
    figure = Figure(figsize=(WIDE_IN if chart.is_wide else WIDTH_IN, height))
    grid = figure.subplots(
        num, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": bodies}
    )[:, 0]
    for k, (axes, panel) in enumerate(zip(grid, chart.panels, strict=True)):
        # boxes of several panels mean the same: one legend tells them
        _panel(axes, panel, has_legend=len(panel.names) > 1 and not (k and panel.boxes))
    scale_x(grid[-1], chart.x_scale, _every_x(chart), chart.x_ticks)
    for axes, panel in zip(grid, chart.panels, strict=True):  # once both scales are known
        draw_limits(axes, panel.limits)
    figure.subplots_adjust(
        left=0.085 if chart.is_wide else 0.15,
        right=0.975, top=1 - head / height, bottom=0.46 / height, hspace=0.3 / body,
    )  # fmt: skip
    for axes in grid:
        draw_ticks(figure, axes, has_x_numbers=axes is grid[-1])
    draw_names(figure, list(grid), chart.x_label, [panel.y_label for panel in chart.panels])
    return figure


def _body_in(panel: Panel, num: int) -> float:
    """Height of its axes, inches."""
    if panel.num_rows:
        return 0.25 + BOX_IN * panel.num_rows
    return 2.35 if num == 1 else 1.35 if num <= 4 else 1.0


def _every_x(chart: Chart) -> list[float]:
    """Everything that the x axis must hold, the ends of steps, bands and limits with it."""
    found: list[float] = list(chart.x_ticks)
    for panel in chart.panels:
        for line in panel.lines:
            found += [*line.x, *([line.x[-1] + line.width] if line.x else [])]
        found += [x for boxes in panel.boxes for x0, x1, *_ in boxes.boxes for x in (x0, x1)]
        found += [x for x0, x1, _ in panel.bands for x in (x0, x1)]
        found += [x for x, _ in panel.marks]
        found += [limit.until for limit in panel.limits if limit.until is not None]
    return found


def _rows_above(panel: Panel) -> int:
    """Lines of text above a panel: the words of its bands, then its legend."""
    legend = -(-len(panel.names) // _columns(panel)) if len(panel.names) > 1 else 0
    return legend + _has_words(panel)


def _has_words(panel: Panel) -> bool:
    """Whether bands or marks have words above the axes."""
    return any(label for *_, label in (*panel.bands, *panel.marks))


def _columns(panel: Panel) -> int:
    """Names side by side in the legend: as many as surely fit."""
    longest = max((len(name) for name in panel.names), default=1)
    return 5 if longest <= 8 else 4 if longest <= 12 else 3 if longest <= 20 else 2


def _panel(axes: Axes, panel: Panel, *, has_legend: bool) -> None:
    dress(axes)
    for x0, x1, label in panel.bands:
        # as an artist: a patch would have its corners counted into limits that are set by hand
        shade = Rectangle((x0, 0), x1 - x0, 1, color=SHADE, alpha=0.6, linewidth=0)
        shade.set_transform(axes.get_xaxis_transform())
        axes.add_artist(shade)
        axes.annotate(
            label, ((x0 + x1) / 2, 1.0), xycoords=("data", "axes fraction"), ha="center",
            va="bottom", fontsize=7.5, color=TEXT,
        )  # fmt: skip
    for at, label in panel.marks:
        axes.axvline(at, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            label, (at, 1.0), xycoords=("data", "axes fraction"), ha="right", va="bottom",
            xytext=(4, 0), textcoords="offset points", fontsize=7.5, color=LIMIT,
        )  # fmt: skip
    measured = [line for line in panel.lines if not line.is_guide]
    for line in panel.lines:
        if line.is_guide:
            _guide(axes, line)
    for i, line in enumerate(measured):
        _line(axes, line, i % len(SERIES))
    for boxes in panel.boxes:
        _boxes(axes, boxes)
    values = [limit.value for limit in panel.limits]
    values += [v for line in panel.lines for v in (*line.y, *line.low, *line.high)]
    if panel.boxes:
        fill_y(axes, panel.y_scale, _heights(panel), panel.y_ticks)
    else:
        scale_y(axes, panel.y_scale, values)
    if has_legend:
        handles, names = axes.get_legend_handles_labels()
        # guides are drawn first, beneath the data, but named last
        order = sorted(range(len(names)), key=lambda k: k < len(names) - len(measured))
        words_in = ROW_IN * _has_words(panel)
        assert axes.figure is not None
        above = ScaledTranslation(0, 0.04 + words_in, axes.figure.dpi_scale_trans)
        axes.legend(
            [handles[k] for k in order], [names[k] for k in order], fontsize=7.5, frameon=False,
            labelcolor=TEXT, handlelength=2.6, columnspacing=2.6, ncols=_columns(panel),
            borderaxespad=0, loc="lower left",
            bbox_to_anchor=(0.0, 1.0), bbox_transform=axes.transAxes + above,
        )  # fmt: skip


def _boxes(axes: Axes, boxes: Boxes) -> None:
    """All of one meaning are one path: a page of hundreds stays small."""
    color = LIMIT if boxes.tone == "limit" else SERIES[boxes.tone]
    corners = [((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)) for x0, x1, y0, y1 in boxes.boxes]
    path = Path(
        [corner for box in corners for corner in box],
        [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY] * len(corners),
    )
    axes.add_artist(
        PathPatch(path, facecolor=color, alpha=boxes.shade, linewidth=0, label=boxes.name)
    )


def _heights(panel: Panel) -> list[float]:
    return [y for boxes in panel.boxes for _, _, y0, y1 in boxes.boxes for y in (y0, y1)]


def _line(axes: Axes, line: Line, i: int) -> None:
    """A measured series: marks with bars where x has few values, else a line in its band."""
    color, dash = SERIES[i], DASHES[i]
    if line.low and line.has_marks:
        low = [max(0.0, y - b) for y, b in zip(line.y, line.low, strict=True)]
        high = [max(0.0, b - y) for y, b in zip(line.y, line.high, strict=True)]
        axes.errorbar(
            line.x, line.y, yerr=(low, high), fmt="none", color=color, elinewidth=1.0, capsize=2.5
        )
    elif line.low:
        (at, low_y), (_, high_y) = (_held(replace(line, y=ends)) for ends in (line.low, line.high))
        axes.fill_between(
            at, low_y, high_y, color=color, alpha=0.18, linewidth=0,
            where=[not math.isnan(v) for v in low_y], step="post" if line.is_step else None,
        )  # fmt: skip
    x, y = _held(line)
    axes.plot(
        x, y, color=color, linestyle="none" if line.is_hollow else dash, linewidth=1.6,
        label=line.name, drawstyle="steps-post" if line.is_step else "default",
        marker=MARKS[i] if line.has_marks else "", markersize=4,
        markerfacecolor="none" if line.is_hollow else color,
    )  # fmt: skip
    for at, words in zip(zip(line.x, line.y, strict=True), line.labels, strict=False):
        axes.annotate(
            words, at, xytext=(4, 3), textcoords="offset points", fontsize=7.5, color=TEXT
        )


def _guide(axes: Axes, line: Line) -> None:
    x, y = _held(line)
    axes.plot(
        x, y, color=AXIS, linestyle=(0, (1, 1.6)), linewidth=1.2, label=line.name,
        drawstyle="steps-post" if line.is_step else "default",
    )  # fmt: skip


def _held(line: Line) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The last step drawn as long as the others."""
    if not line.width or not line.x:
        return line.x, line.y
    return (*line.x, line.x[-1] + line.width), (*line.y, line.y[-1])

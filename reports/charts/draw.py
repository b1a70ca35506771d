"""One function draws every chart of a report: stacked panels of lines over one x axis.

Series differ by colour, dash and marker together, so that none is told apart by colour alone.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.charts._axes import dress, scale_x, scale_y
from reports.svg import LIMIT, SERIES, SHADE, TEXT
from reports.view import Chart, Panel

DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3)))
MARKS = ("o", "s", "^", "D", "v", "P")
# Drawn near the width of a phone's screen, so that text scales up from there and never below.
WIDTH_IN, WIDE_IN = 5.2, 9.4


def draw(chart: Chart) -> Figure:
    """The chart's Figure; nothing global to close."""
    num = len(chart.panels)
    height = 3.0 if num == 1 else 0.55 + 1.35 * num
    figure = Figure(figsize=(WIDE_IN if chart.is_wide else WIDTH_IN, height))
    grid = figure.subplots(num, 1, sharex=True, squeeze=False)[:, 0]
    every_x = [x for p in chart.panels for line in p.lines for x in line.x]
    for axes, panel in zip(grid, chart.panels, strict=True):
        _panel(axes, panel)
    scale_x(grid[-1], chart.x_scale, every_x)
    grid[-1].set_xlabel(chart.x_label, color=TEXT, fontsize=8.5)
    figure.align_ylabels(list(grid))
    figure.subplots_adjust(
        left=0.085 if chart.is_wide else 0.15,
        right=0.985, top=1 - 0.28 / height, bottom=0.5 / height, hspace=0.28,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, panel: Panel) -> None:
    dress(axes)
    values = [limit for limit, _ in panel.limits]
    for x0, x1, label in panel.bands:
        axes.axvspan(x0, x1, color=SHADE, alpha=0.5, linewidth=0)
        axes.annotate(
            label, ((x0 + x1) / 2, 1.0), xycoords=("data", "axes fraction"), ha="center",
            va="bottom", fontsize=7, color=TEXT,
        )  # fmt: skip
    for i, line in enumerate(panel.lines):
        color, dash = SERIES[i % 6], DASHES[i % 6]
        if line.low:
            axes.fill_between(
                line.x, line.low, line.high, color=color, alpha=0.18, linewidth=0,
                step="post" if line.is_step else None,
            )  # fmt: skip
            values += [*line.low, *line.high]
        axes.plot(
            line.x, line.y, color=color, linestyle=dash, linewidth=1.6, label=line.name,
            drawstyle="steps-post" if line.is_step else "default",
            marker=MARKS[i % 6] if line.has_marks else "", markersize=4,
        )  # fmt: skip
        values += list(line.y)
    for limit, label in panel.limits:
        axes.axhline(limit, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            label, (0.995, limit), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=7.5, color=LIMIT,
        )  # fmt: skip
    for limit, label in panel.x_limits:
        axes.axvline(limit, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            label, (limit, 0.03), xycoords=("data", "axes fraction"), ha="right", va="bottom",
            fontsize=7.5, color=LIMIT, rotation=90,
        )  # fmt: skip
    scale_y(axes, panel.y_scale, values)
    axes.set_ylabel(panel.y_label, color=TEXT, fontsize=8.5)
    if len(panel.lines) > 1:
        legend = axes.legend(
            fontsize=7.5, frameon=False, labelcolor=TEXT, loc="best", handlelength=2.6
        )
        legend.set_zorder(5)

"""Grid, ticks, numbers and names beside the axes, as a handful of artists of the figure.

matplotlib's own ticks are five artists each, made, styled and measured one by one: two thirds of a
chart's time. Where they stand is still its locators' work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, Transform, blended_transform_factory

from reports.svg import AXIS, GRID, TEXT

BESIDE_PT, UNDER_PT = 6.0, 5.0  # from an axis to its numbers
NAME_IN = 0.05  # from the figure's edge to the name of an axis


def draw_ticks(figure: Figure, axes: Axes, *, has_x_numbers: bool) -> None:
    """Of an axes whose two scales are set; its own ticks are hidden."""
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    xs, ys = (
        _inside(axes.get_xticks(), axes.get_xlim()),
        _inside(axes.get_yticks(), axes.get_ylim()),
    )
    along_x, along_y = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    _lines(figure, [[(x, 0.0), (x, 1.0)] for x in xs], along_x)
    _lines(figure, [[(0.0, y), (1.0, y)] for y in ys], along_y)
    _marks(figure, xs, [0.0] * len(xs), along_x, TICKDOWN)
    _marks(figure, [0.0] * len(ys), ys, along_y, TICKLEFT)
    points = figure.dpi_scale_trans
    left = along_y + ScaledTranslation(-BESIDE_PT / 72, 0, points)
    words = axes.yaxis.get_major_formatter()
    for y in ys:
        figure.text(0, y, words(y, None), transform=left, ha="right", va="center", **_NUMBER)
    if has_x_numbers:
        under = along_x + ScaledTranslation(0, -UNDER_PT / 72, points)
        words = axes.xaxis.get_major_formatter()
        for x in xs:
            figure.text(x, 0, words(x, None), transform=under, ha="center", va="top", **_NUMBER)


def draw_names(figure: Figure, grid: Sequence[Axes], x_label: str, y_labels: Sequence[str]) -> None:
    """At the figure's edges, where numbers of any length leave them room."""
    width_in, height_in = figure.get_size_inches()
    for axes, label in zip(grid, y_labels, strict=True):
        beside = blended_transform_factory(figure.transFigure, axes.transAxes)
        figure.text(
            NAME_IN / width_in, 0.5, label, transform=beside, rotation=90, ha="left", va="center",
            **_NAME,
        )  # fmt: skip
    below = blended_transform_factory(grid[-1].transAxes, figure.transFigure)
    figure.text(0.5, NAME_IN / height_in, x_label, transform=below, ha="center", va="bottom",
                **_NAME)  # fmt: skip


TICKLEFT, TICKDOWN = 0, 3  # matplotlib.markers has them, its types do not
_NUMBER: dict[str, Any] = {"fontsize": 8, "color": TEXT}
_NAME: dict[str, Any] = {"fontsize": 8.5, "color": TEXT}


def _inside(ticks: Iterable[float], ends: tuple[float, float]) -> list[float]:
    low, high = min(ends), max(ends)
    slack = 1e-9 * (high - low)
    return [float(t) for t in ticks if low - slack <= t <= high + slack]


def _lines(figure: Figure, lines: list[list[tuple[float, float]]], place: Transform) -> None:
    """Under the axes, which draw nothing behind their data."""
    figure.add_artist(
        LineCollection(lines, colors=GRID, linewidths=0.6, transform=place, zorder=-1)
    )


def _marks(figure: Figure, xs: list[float], ys: list[float], place: Transform, marker: Any) -> None:
    figure.add_artist(
        Line2D(xs, ys, color=AXIS, linestyle="none", marker=marker, markersize=3, transform=place)
    )

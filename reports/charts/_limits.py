"""Limit lines with their labels, none of which covers another.

A rule about one percentile binds up to there: its line ends at that percentile, with a mark, so
that a curve above it further right is not read as a breach.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from reports.svg import LIMIT
from reports.view import Limit

UNDER_FRACTION = 0.09  # so far below its line words under it begin
LABEL_FRACTION = 0.07  # of the height of the axes: labels nearer than this would touch


def draw_limits(axes: Axes, limits: Sequence[Limit]) -> None:
    """Call when both axes have their scales. Equal limits share one line of words."""
    for limit in limits:
        left, right = axes.get_xlim()
        ends = [left, right if limit.until is None else limit.until]
        axes.plot(ends, [limit.value] * 2, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
        if limit.until is not None:
            axes.plot(ends[1:], [limit.value], color=LIMIT, marker="|", markersize=7)
    taken: list[tuple[float, int]] = []  # height, column of the labels so far
    for value, words in sorted(_words(limits).items()):
        place = _height(axes, value)
        is_high = place > 0.85  # words under it, where they have room
        height = place - UNDER_FRACTION if is_high else place
        used = {column for other, column in taken if abs(other - height) < LABEL_FRACTION}
        column = next((k for k in range(2) if k not in used), 0)
        taken.append((height, column))
        axes.annotate(
            words, (0.01 if column == 0 else 0.45, value), xycoords=("axes fraction", "data"),
            xytext=(0, -5 if is_high else 2.5), textcoords="offset points", ha="left",
            va="top" if is_high else "bottom", fontsize=7.5, color=LIMIT,
        )  # fmt: skip


def _words(limits: Sequence[Limit]) -> dict[float, str]:
    """`p50 limit and good request 50 ms`, where several have one value."""
    found: dict[float, list[str]] = {}
    for limit in limits:
        found.setdefault(limit.value, []).append(limit.label)
    return {value: _joined(labels) for value, labels in found.items()}


def _joined(labels: list[str]) -> str:
    """The value, which all of them end in, is told once."""
    *first, last = labels
    ends = last.split()
    for k in range(len(ends)):
        tail = " " + " ".join(ends[k:])
        if all(label.endswith(tail) for label in first):
            return " and ".join([*(label.removesuffix(tail) for label in first), last])
    return " and ".join(labels)


def _height(axes: Axes, value: float) -> float:
    """Where on the y axis, 0 to 1."""
    point = axes.transData.transform((axes.get_xlim()[0], value))
    return float(axes.transAxes.inverted().transform(point)[1])

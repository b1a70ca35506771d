"""Limit lines, and what they are called.

A rule about one percentile binds up to there: its line ends at that percentile, with a mark, so
that a curve above it further right is not read as a breach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from reports.charts._words import Board, Spot
from reports.svg import LIMIT
from reports.view import Limit

INSET = 0.01  # of the axes' width, from their end to words
ABOVE_PT, UNDER_PT = 2.0, -5.0  # from the line to words, which are larger on a phone
BETWEEN = (0.5, 0.35, 0.65, 0.2, 0.8)  # of the line, where neither end is free


class _Named(NamedTuple):
    value: float
    words: str
    until: float | None


def draw_limits(axes: Axes, board: Board, limits: Sequence[Limit]) -> None:
    """Call when both axes have their scales and their place. Equal limits share a line of words."""
    left, right = axes.get_xlim()
    for limit in limits:
        ends = [left, right if limit.until is None else limit.until]
        axes.plot(ends, [limit.value] * 2, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
        board.add([(x, limit.value) for x in ends])
        if limit.until is not None:
            axes.plot(ends[1:], [limit.value], color=LIMIT, marker="|", markersize=7)
    for value, words, until in _named(limits):
        begin, height = board.at(left, value)
        end = board.at(right if until is None else until, value)[0]
        inset = INSET * board.area.width
        sides = [Spot(begin + inset, height, "left"), Spot(end - inset, height, "right")]
        sides += [Spot(begin + at * (end - begin), height, "center") for at in BETWEEN]
        spots = [s._replace(dy_pt=ABOVE_PT) for s in sides[:2]]
        spots += [s._replace(va="top", dy_pt=UNDER_PT) for s in sides[:2]]
        for middle in sides[2:]:
            spots += [middle._replace(dy_pt=ABOVE_PT), middle._replace(va="top", dy_pt=UNDER_PT)]
        board.put(words, spots, LIMIT)


def _named(limits: Sequence[Limit]) -> list[_Named]:
    """`p50 limit and good request 50 ms`, where several have one value; as far as any of them."""
    found: dict[float, list[Limit]] = {}
    for limit in sorted(limits, key=lambda limit: limit.value):
        found.setdefault(limit.value, []).append(limit)
    return [
        _Named(value, _joined([one.label for one in own]),
               None if any(one.until is None for one in own) else min(
                   one.until for one in own if one.until is not None))
        for value, own in found.items()
    ]  # fmt: skip


def _joined(labels: list[str]) -> str:
    """The value, which all of them end in, is told once."""
    *first, last = labels
    ends = last.split()
    for k in range(len(ends)):
        tail = " " + " ".join(ends[k:])
        if all(label.endswith(tail) for label in first):
            return " and ".join([*(label.removesuffix(tail) for label in first), last])
    return " and ".join(labels)

"""Limit lines with their words, none of which covers another or is struck through by a limit.

A rule about one percentile binds up to there: its line ends at that percentile, with a mark, so
that a curve above it further right is not read as a breach.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

from reports.charts._frame import Frame, width_of
from reports.svg import Point, group, path, polyline, text
from reports.view import Limit

HIGH = 10.5  # of a line of words, where text is largest
GAP = 2.5  # between a line and its words
COLUMNS = (0.01, 0.45)  # where words begin, of the width


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right
            and self.top < other.bottom and other.top < self.bottom
        )  # fmt: skip


def limit_parts(
    frame: Frame, limits: Sequence[Limit], drawn: Sequence[Sequence[Point]] = ()
) -> list[str]:
    """Equal limits share one line of words. drawn: the data's lines, which words keep off."""
    lines = []
    for limit in limits:
        y = frame.py(limit.value)
        end = frame.right if limit.until is None else frame.px(limit.until)
        lines.append(path("limit-line", polyline([(frame.left, y), (end, y)])))
        if limit.until is not None:
            lines.append(path("limit-end", polyline([(end, y - 3.5), (end, y + 3.5)])))
    found = words_of(limits)
    taken = [_line_box(frame, value) for value in found]
    words = []
    for value, told in sorted(found.items(), reverse=True):
        box, is_under = _free(frame, value, told, taken, drawn)
        taken.append(box)
        at = (box.left, box.top if is_under else box.bottom - GAP)
        words.append(text("small halo" + " under" * is_under, at, told))
    return [group("limit", [*lines, *words])] if limits else []


def words_of(limits: Sequence[Limit]) -> dict[float, str]:
    """`p50 limit and good request 50 ms`, where several have one value."""
    found: dict[float, list[str]] = {}
    for limit in limits:
        found.setdefault(limit.value, []).append(limit.label)
    return {value: _joined(labels) for value, labels in found.items()}


def _free(
    frame: Frame,
    value: float,
    told: str,
    taken: Sequence[_Box],
    drawn: Sequence[Sequence[Point]] = (),
) -> tuple[_Box, bool]:
    """Above the line or under it, left or further right: the first that meets the least.

    Other words and limits count for more than all of the data.
    """
    y = frame.py(value)
    sides = (True, False) if y - HIGH < frame.top else (False, True)
    options = []
    for column, is_under in product(COLUMNS, sides):
        left, top = frame.left + column * frame.width, y + GAP if is_under else y - HIGH - GAP
        options.append((_Box(left, top, left + width_of(told), top + HIGH), is_under))
    return min(
        options,
        key=lambda o: (any(o[0].meets(b) for b in taken), sum(_crosses(o[0], ln) for ln in drawn)),
    )


def _crosses(box: _Box, line: Sequence[Point]) -> bool:
    """Whether any piece of the line may pass through the box."""
    pieces = (
        _Box(min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y))
        for (x, y), (to_x, to_y) in pairwise(line)
    )
    return any(
        box.left <= p.right and p.left <= box.right and box.top <= p.bottom and p.top <= box.bottom
        for p in pieces
    )


def _line_box(frame: Frame, value: float) -> _Box:
    y = frame.py(value)
    return _Box(frame.left, y - 1, frame.right, y + 1)


def _joined(labels: list[str]) -> str:
    """The value, which all of them end in, is told once."""
    *first, last = labels
    ends = last.split()
    for k in range(len(ends)):
        tail = " " + " ".join(ends[k:])
        if all(label.endswith(tail) for label in first):
            return " and ".join([*(label.removesuffix(tail) for label in first), last])
    return " and ".join(labels)

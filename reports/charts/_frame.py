"""One pair of axes on the page: where it lies, and where in it a value does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.charts._axis import Axis
from reports.svg import Point, path, polyline, text

TICK = 3.0
WIDE_CHAR = 5.4  # a character of the page's font on a phone, where text is largest
ROW = 13.7  # a line of small text


@dataclass(frozen=True, slots=True)
class Frame:
    """left, top, width, height: of what its axes enclose, in points."""

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def px(self, value: float) -> float:
        return self.left + self.width * self.x.place(value)

    def py(self, value: float) -> float:
        return self.bottom - self.height * self.y.place(value)

    def at(self, x: float, y: float) -> Point:
        return self.px(x), self.py(y)

    def places(self, xs: Sequence[float], ys: Sequence[float]) -> list[Point]:
        """Of those that have both."""
        both = zip(xs, ys, strict=True)
        return [self.at(x, y) for x, y in both if math.isfinite(x) and math.isfinite(y)]


def width_of(words: str) -> float:
    """At most this wide in any font a reader is likely to have."""
    return WIDE_CHAR * len(words)


def grid(frame: Frame) -> str:
    """Behind the data."""
    levels = "".join(
        polyline([(frame.left, y), (frame.right, y)])
        for y in (frame.py(value) for value, _ in frame.y.ticks)
    )
    uprights = "".join(
        polyline([(x, frame.top), (x, frame.bottom)])
        for x in (frame.px(value) for value, _ in frame.x.ticks)
    )
    return path("grid", levels + uprights)


def axes(frame: Frame, y_label: str, *, has_x_words: bool) -> list[str]:
    """The two lines, their ticks and the words beside them."""
    left, bottom = frame.left, frame.bottom
    lines = polyline([(left, frame.top), (left, bottom), (frame.right, bottom)])
    parts = []
    for value, words in frame.y.ticks:
        y = frame.py(value)
        lines += polyline([(left - TICK, y), (left, y)])
        parts.append(text("tick mid", (left - TICK - 3, y), words, "end"))
    for value, words in frame.x.ticks:
        x = frame.px(value)
        lines += polyline([(x, bottom), (x, bottom + TICK)])
        if has_x_words:
            parts.append(text("tick", (x, bottom + 12.5), words, "middle"))
    parts.append(text("name", (10, (frame.top + bottom) / 2), y_label, "middle", turned=True))
    return [path("axis", lines), *parts]

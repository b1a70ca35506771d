"""Words on a picture, where they have room: beside the data and beside one another.

The room that a word takes is guessed from its letters, on the wide side: the reader's font is not
the one that matplotlib would measure. Where nothing is free the least bad place is taken, and the
page draws a halo about the letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from reports.svg import TEXT

SIZE_PT = 7.5
LETTER, HEIGHT = 0.58, 1.2  # of the size: how wide a letter, how high a line
WORD, CURVE, BEYOND = 100.0, 10.0, 2.0  # what lying on one costs, and a pixel outside the axes

Side = Literal["left", "center", "right"]
Rise = Literal["top", "center", "bottom"]


class Spot(NamedTuple):
    """An anchor in pixels, how the word hangs on it, and its distance in points."""

    x: float
    y: float
    ha: Side
    va: Rise = "bottom"
    dx_pt: float = 0.0
    dy_pt: float = 0.0


class Board:
    """What of an axes is taken: by curves, as paths in pixels, and by words, as boxes."""

    def __init__(self, axes: Axes) -> None:
        """Call when the axes has its scales, its place and its data."""
        assert axes.figure is not None
        self.axes = axes
        self.area = axes.get_window_extent()
        self.px = axes.figure.dpi / 72
        self.curves = list(_curves(axes))
        self.taken: list[tuple[str, Bbox]] = []

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data to pixels."""
        px, py = self.axes.transData.transform((x, y))
        return float(px), float(py)

    def add(self, places: Sequence[tuple[float, float]]) -> None:
        """A line drawn since, its places in data."""
        self.curves.append(_path(np.asarray([self.at(x, y) for x, y in places])))

    def put(self, words: str, spots: Sequence[Spot], color: str = TEXT) -> None:
        """At the first of the best spots; not at all where the same word would cover itself."""
        boxes = [self._box(words, spot) for spot in spots]
        costs = [self._cost(box) for box in boxes]
        k = costs.index(min(costs))
        if any(other == words and box.overlaps(boxes[k]) for other, box in self.taken):
            return
        self.taken.append((words, boxes[k]))
        self._write(words, spots[k], color)

    def put_inside(self, words: str, corners: tuple[float, float, float, float]) -> None:
        """In the middle of a box of data (x0, x1, y0, y1), if it is wide enough."""
        (left, low), (right, high) = (self.at(*corner) for corner in (corners[::2], corners[1::2]))
        middle = Spot((left + right) / 2, (low + high) / 2, "center", "center")
        if self._box(words, middle).width < 0.9 * (right - left):
            self._write(words, middle, TEXT)

    def _write(self, words: str, spot: Spot, color: str) -> None:
        x, y = self.axes.transAxes.inverted().transform((spot.x, spot.y))
        self.axes.annotate(
            words, (float(x), float(y)), xycoords="axes fraction", xytext=(spot.dx_pt, spot.dy_pt),
            textcoords="offset points", ha=spot.ha, va=spot.va, fontsize=SIZE_PT, color=color,
        )  # fmt: skip

    def _box(self, words: str, spot: Spot) -> Bbox:
        width, height = LETTER * SIZE_PT * len(words) * self.px, HEIGHT * SIZE_PT * self.px
        x, y = spot.x + spot.dx_pt * self.px, spot.y + spot.dy_pt * self.px
        left = {"left": x, "center": x - width / 2, "right": x - width}[spot.ha]
        return Bbox.from_bounds(left, y if spot.va == "bottom" else y - height, width, height)

    def _cost(self, box: Bbox) -> float:
        found: float = WORD * sum(box.overlaps(other) for _, other in self.taken)
        if box.y0 >= self.area.y1 - 1:  # above the axes lies no curve
            return found + BEYOND * max(float(box.x1 - self.area.x1) - 10, 0.0)
        found += CURVE * sum(curve.intersects_bbox(box, filled=False) for curve in self.curves)
        out = (self.area.x0 - box.x0, box.x1 - self.area.x1, self.area.y0 - box.y0,
               box.y1 - self.area.y1 - 1)  # fmt: skip
        return found + BEYOND * float(sum(max(one, 0.0) for one in out))


def _curves(axes: Axes) -> Iterator[Path]:
    """Every line and bar as drawn, in pixels, in parts without a gap."""
    for line in axes.lines:
        x, y = (np.asarray(v, float) for v in line.get_data(orig=False))
        if str(line.get_drawstyle()).startswith("steps") and len(x):
            x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
        places = line.get_transform().transform(np.column_stack([x, y]))
        if line.get_linestyle() in ("None", "none", " ", ""):
            yield from (_path(place[None]) for place in places if np.isfinite(place).all())
            continue
        is_gap = ~np.isfinite(places).all(axis=1)
        begins = np.flatnonzero(np.diff(np.cumsum(is_gap)[~is_gap])) + 1
        for part in np.split(places[~is_gap], begins):
            if len(part):
                yield _path(part)
    for bars in axes.collections:
        if isinstance(bars, LineCollection):
            segments = (np.asarray(one) for one in bars.get_segments())
            yield from (_path(axes.transData.transform(one)) for one in segments if len(one))


def _path(places: np.ndarray) -> Path:
    """One place alone is a line of no length."""
    return Path(places if len(places) > 1 else np.repeat(places, 2, axis=0))

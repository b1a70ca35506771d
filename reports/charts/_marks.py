"""What is measured, in a frame: lines and steps in their bands, marks with bars, boxes.

Series differ by colour, dash and marker together, so that none is told apart by colour alone;
colour and dash are those of the class that the group around them has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from reports.charts._frame import Frame
from reports.svg import Point, group, num, path, polyline, rectangle, text
from reports.view import Boxes, Line

NUM_SERIES = 6
MARK, CAP = 2.1, 2.5  # half of a mark's width, of a bar's end


def series_class(i: int | str) -> str:
    return f"s{i % NUM_SERIES}" if isinstance(i, int) else i


def line_parts(frame: Frame, line: Line, i: int) -> str:
    """A measured series: marks with bars where x has few values, else a line in its band."""
    parts = []
    if line.low and line.has_marks:
        parts.append(path("bar", _bars(frame, line)))
    elif line.low:
        parts.append(path("band", _band(frame, line)))
    if not line.is_hollow:
        parts.append(path("line", _drawn(frame, line)))
    if line.has_marks:
        parts.append(path(mark_class(line), marks(frame.places(line.x, line.y), i)))
    at = zip(zip(line.x, line.y, strict=True), line.labels, strict=False)
    parts += [
        text("small", (frame.px(x) + 4, frame.py(y) - 3), words) for (x, y), words in at if words
    ]
    return group(series_class(i), parts)


def guide_parts(frame: Frame, line: Line) -> str:
    """No measurement but something to hold one against, drawn quietly."""
    return group("guide", [path("line", _drawn(frame, line))])


def boxes_parts(frame: Frame, boxes: Boxes) -> str:
    """All of one meaning are one path: a page of hundreds stays small."""
    data = "".join(
        rectangle(frame.px(x0), frame.py(y1), frame.px(x1), frame.py(y0))
        for x0, x1, y0, y1 in boxes.boxes
    )
    return group(series_class(boxes.tone), [path("box", data, boxes.shade)])


def mark_class(line: Line) -> str:
    return "mark hollow" if line.is_hollow else "mark"


def marks(points: Sequence[Point], i: int) -> str:
    """Path data of one mark a point: circle, square, triangle, diamond, triangle down, plus."""
    return "".join(_mark(x, y, i % NUM_SERIES) for x, y in points)


def _mark(x: float, y: float, shape: int) -> str:
    r = MARK
    if shape == 0:
        return f"M{num(x - r)} {num(y)}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    if shape == 1:
        return rectangle(x - r, y - r, x + r, y + r)
    if shape == 5:
        t = r / 3
        corners = [(-r, -t), (-t, -t), (-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t), (t, r),
                   (-t, r), (-t, t), (-r, t)]  # fmt: skip
    else:
        corners = {
            2: [(-r, r), (0, -r), (r, r)], 3: [(-r, 0), (0, -1.2 * r), (r, 0), (0, 1.2 * r)],
            4: [(-r, -r), (0, r), (r, -r)],
        }[shape]  # fmt: skip
    return polyline([(x + dx, y + dy) for dx, dy in corners], is_closed=True)


def _drawn(frame: Frame, line: Line) -> str:
    """Path data through the values; a gap where there is none."""
    return "".join(
        polyline(_stepped(run) if line.is_step else run)
        for run in _runs(frame, *_held(line, line.y))
        if len(run) > 1
    )


def _band(frame: Frame, line: Line) -> str:
    """Path data around the interval, where both of its ends are known."""
    is_known = [
        math.isfinite(a) and math.isfinite(b) for a, b in zip(line.low, line.high, strict=True)
    ]
    ends = []
    for values in (line.low, line.high):
        kept = tuple(v if has else math.nan for v, has in zip(values, is_known, strict=True))
        runs = _runs(frame, *_held(line, kept))
        ends.append([_stepped(run) if line.is_step else run for run in runs])
    pairs = zip(*ends, strict=True)
    return "".join(
        polyline([*low, *reversed(high)], is_closed=True) for low, high in pairs if len(low) > 1
    )


def _bars(frame: Frame, line: Line) -> str:
    found = []
    for x, y, low, high in zip(line.x, line.y, line.low, line.high, strict=True):
        if math.isnan(low) or math.isnan(high):
            continue
        px, y0, y1 = frame.px(x), frame.py(min(low, y)), frame.py(max(high, y))
        found += [polyline([(px, y0), (px, y1)])]
        found += [polyline([(px - CAP, end), (px + CAP, end)]) for end in (y0, y1)]
    return "".join(found)


def _held(line: Line, y: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The last step drawn as long as the others."""
    if not line.width or not line.x:
        return line.x, y
    return (*line.x, line.x[-1] + line.width), (*y, y[-1])


def _runs(frame: Frame, xs: Sequence[float], ys: Sequence[float]) -> list[list[Point]]:
    """The places of neighbours that have a value."""
    runs: list[list[Point]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            runs[-1].append(frame.at(x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _stepped(run: list[Point]) -> list[Point]:
    """Each height is held until the next place."""
    found = run[:1]
    for (_, y), (x, to_y) in pairwise(run):
        found += [(x, y), (x, to_y)]
    return found

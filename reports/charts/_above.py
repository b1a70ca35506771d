"""What stands above a pair of axes: the words of its bands and marks, then its legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reports.charts._frame import ROW, Frame, width_of
from reports.charts._marks import mark_class, marks, series_class
from reports.svg import Anchor, group, path, polyline, rectangle, text
from reports.view import Boxes, Line, Panel

LEGEND = 0.86  # its text is smaller than what width_of has in mind
HANDLE, SPACE = 20.0, 14.0  # a sample of the series, and what parts two names
MOST_ROWS = 3  # of words; what finds no room is in the data and the caption


class Word(NamedTuple):
    """A word over x, in a row counted from the axes up."""

    text: str
    x: float
    anchor: Anchor
    row: int
    is_mark: bool


class Above(NamedTuple):
    """The words of bands and marks, and over them the rows of the legend."""

    words: list[Word]
    legend: list[list[Line | Boxes]]

    @property
    def height(self) -> float:
        return ROW * (max((w.row + 1 for w in self.words), default=0) + len(self.legend))


def words_above(panel: Panel, px: Sequence[float], left: float, right: float) -> list[Word]:
    """Marks first, then bands, each in the lowest row where it has room.

    px: where the x axis has each mark, then the middle of each band.
    """
    told = [*((words, True) for _, words in panel.marks), *((w, False) for *_, w in panel.bands)]
    placed: list[Word] = []
    ends: list[list[tuple[float, float]]] = [[] for _ in range(MOST_ROWS)]
    for (words, is_mark), x in zip(told, px, strict=True):
        if not words:
            continue
        width = width_of(words)
        start = min(max(x + 4 - width if is_mark else x - width / 2, left), right - width)
        anchor: Anchor = "end" if is_mark else "middle"
        if start <= left:
            start, anchor, at = left, "start", left
        else:
            at = start + (width if is_mark else width / 2)
        row = next(
            (k for k, taken in enumerate(ends)
             if all(start > b or start + width < a for a, b in taken)), None,
        )  # fmt: skip
        if row is not None:
            ends[row].append((start, start + width))
            placed.append(Word(words, at, anchor, row, is_mark))
    return placed


def legend_rows(panel: Panel, width: float, *, is_told: bool) -> list[list[Line | Boxes]]:
    """What a legend tells apart, as many side by side as surely fit; guides last."""
    guides = [line for line in panel.lines if line.is_guide]
    entries: list[Line | Boxes] = [
        *panel.boxes,
        *(ln for ln in panel.lines if not ln.is_guide),
        *guides,
    ]
    if len(entries) < 2 or not is_told:
        return []
    rows: list[list[Line | Boxes]] = [[]]
    used = 0.0
    for entry in entries:
        needed = _entry_width(entry)
        if rows[-1] and used + needed - SPACE > width:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += needed
    return rows


def above_parts(frame: Frame, panel: Panel, above: Above) -> list[str]:
    """Both, drawn upwards from the top of the frame."""
    parts = [
        text("small limit-word" if w.is_mark else "small", (w.x, frame.top - 3.5 - ROW * w.row),
             w.text, w.anchor)
        for w in above.words
    ]  # fmt: skip
    top = frame.top - above.height
    measured = [line for line in panel.lines if not line.is_guide]
    names = []
    for k, row in enumerate(above.legend):
        x, y = frame.left, top + ROW * k + ROW / 2 - 2
        for entry in row:
            i = measured.index(entry) if entry in measured else 0
            names += [_handle(entry, i, x, y), text("mid", (x + HANDLE + 5, y), entry.name)]
            x += _entry_width(entry)
    return [*parts, group("legend", names)]


def _entry_width(entry: Line | Boxes) -> float:
    return HANDLE + 5 + width_of(entry.name) * LEGEND + SPACE


def _handle(entry: Line | Boxes, i: int, x: float, y: float) -> str:
    if isinstance(entry, Boxes):
        swatch = rectangle(x + 3, y - 3.5, x + HANDLE - 3, y + 3.5)
        return group(series_class(entry.tone), [path("box", swatch, entry.shade)])
    parts = []
    if not entry.is_hollow:
        parts.append(path("line", polyline([(x, y), (x + HANDLE, y)])))
    if entry.has_marks and not entry.is_guide:
        parts.append(path(mark_class(entry), marks([(x + HANDLE / 2, y)], i)))
    return group("guide" if entry.is_guide else series_class(i), parts)

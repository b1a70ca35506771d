"""What a report says, before any renderer gives it a shape: frozen sentences, tables and series.

HTML, Markdown, JUnit and the console all render one View, so they cannot disagree. It imports
neither matplotlib nor jinja2. Every number in it is already a text with its unit; `value` beside
it is the raw one, for sorting and for the embedded JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import isinf, isnan
from typing import Any, Literal, NamedTuple

from harness.estimate import Verdict

Align = Literal["left", "right"]
Scale = Literal["linear", "log", "nines"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """answer - detail: the bold finding, then interval, rule, reason and next step."""

    answer: str
    detail: str
    outcome: str = ""  # pass | fail | inconclusive | invalid | "" (no judgement)

    @property
    def text(self) -> str:
        return f"{self.answer} {self.detail}".strip()


@dataclass(frozen=True, slots=True)
class Cell:
    """text is what people read. value: the raw number, None for words. outcome colours it."""

    text: str
    value: float | None = None
    outcome: str = ""
    title: str = ""  # a longer explanation, also shown in the data, never only on hover


@dataclass(frozen=True, slots=True)
class Row:
    """detail: a sentence that belongs to the row and needs its whole width."""

    cells: tuple[Cell, ...]
    id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    id: str
    caption: str
    columns: tuple[tuple[str, Align], ...]
    rows: tuple[Row, ...]
    note: str = ""  # the definition printed under it


@dataclass(frozen=True, slots=True)
class Line:
    """One series. x, y: equally long. low, high: its interval, empty when none; NaN: none there.

    x_low, x_high: the same of x, of marks only.  An infinite high: without an upper end.
    width: of a step, so that the last one is drawn as long as the others.  is_guide: no measurement
    but something to hold one against, drawn quietly.  is_hollow: marks alone, empty: places that
    another beats.  labels: a word beside each mark, empty for none.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    is_step: bool = False
    has_marks: bool = False
    width: float = 0.0
    is_guide: bool = False
    is_hollow: bool = False
    labels: tuple[str, ...] = ()
    x_low: tuple[float, ...] = ()
    x_high: tuple[float, ...] = ()

    def rows(self, *, has_ends: bool) -> tuple[tuple[str, ...], ...]:
        """x and value as text, the interval after them; what is NaN is left out."""
        given = bool(self.low)
        return tuple(
            (digits(x, 6), digits(y), *((_end(self.low, i), _end(self.high, i)) if given else
             ("", "")) * has_ends)
            for i, (x, y) in enumerate(zip(self.x, self.y, strict=True))
            if not isnan(y)
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Boxes:
    """Rectangles of one meaning. boxes: (x0, x1, y0, y1).

    tone: which series' colour, or `limit` for what went wrong.  shade: 0..1 of that colour.
    words: written into each that has room, where a colour alone would tell.
    """

    name: str
    boxes: tuple[tuple[float, float, float, float], ...]
    tone: int | Literal["limit"] = 0
    shade: float = 1.0
    words: str = ""


class Limit(NamedTuple):
    """A line at `value`. until: the x up to which it binds (p95 binds no p99); None: all of it."""

    value: float
    label: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. bands: (x0, x1, label) shaded.  marks: (x, label), upright lines.

    boxes: instead of lines; y_ticks: (y, words) that their axis has, beside numbers where it is
    log.  num_rows: of boxes, so that each gets its height; 0: as high as any panel.
    """

    y_label: str
    lines: tuple[Line, ...]
    y_scale: Scale = "linear"
    limits: tuple[Limit, ...] = ()
    bands: tuple[tuple[float, float, str], ...] = ()
    marks: tuple[tuple[float, str], ...] = ()
    boxes: tuple[Boxes, ...] = ()
    y_ticks: tuple[tuple[float, str], ...] = ()
    num_rows: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What a legend must tell apart."""
        return (*(b.name for b in self.boxes), *(line.name for line in self.lines))


# name of a series, its rows: behind the data disclosure, and in the CSV made from it
DataGroup = tuple[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture: stacked panels over one x axis.

    caption: the finding, in words.  definition: what is plotted, over which population.
    description: read aloud instead of the picture, made from the data.
    """

    id: str
    title: str
    caption: str
    definition: str
    description: str
    x_label: str
    panels: tuple[Panel, ...]
    x_scale: Scale = "linear"
    is_wide: bool = False
    x_ticks: tuple[float, ...] = ()  # where x has few values that matter
    own_data: tuple[tuple[str, ...], tuple[DataGroup, ...]] | None = None  # of a chart of boxes

    @property
    def data(self) -> tuple[tuple[str, ...], tuple[DataGroup, ...]]:
        """Header of a row, and the rows of each series; ends of intervals where there are any."""
        if self.own_data is not None:
            return self.own_data
        lines = [line for panel in self.panels for line in panel.lines]
        has_ends = any(line.low for line in lines)
        header = (self.x_label, "value", *(("low", "high") if has_ends else ()))
        return header, tuple((line.name, line.rows(has_ends=has_ends)) for line in lines)


def digits(value: float, most: int = 5) -> str:
    """For a table that a sheet is made from: no exponent, no thousands, nothing of what a
    subtraction leaves of zero."""
    if abs(value) < 1e-9:
        return "0"
    text = f"{value:.{most}g}"
    return f"{Decimal(text):f}" if "e" in text else text


def _end(ends: tuple[float, ...], i: int) -> str:
    return "" if isnan(ends[i]) else "not reached" if isinf(ends[i]) else digits(ends[i])


@dataclass(frozen=True, slots=True)
class Text:
    """Preformatted text behind a disclosure: a scenario, a log."""

    id: str
    title: str
    body: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Definitions:
    """Term -> explanation."""

    id: str
    title: str
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks behind one disclosure: what belongs to one point of many, or is rarely read."""

    id: str
    title: str
    blocks: tuple[Table | Chart, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a what-if. With stops: a slider over them (or, is_choice, a list to pick from),
    whose value is an index; without: a number at least `least`."""

    name: str
    label: str
    value: float
    stops: tuple[str, ...] = ()
    is_choice: bool = False
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Inputs and the sentence they lead to: printed for the values given here, computed again in
    the page by the function of report.js called `id`, from `what_if[id]` of the embedded data."""

    id: str
    title: str
    inputs: tuple[Input, ...]
    answer: str
    definition: str


MOST_ROWS_OPEN = 16


def folded(table: Table | None) -> tuple[Table | Group, ...]:
    """The table, behind a disclosure where it is so long that it would bury what follows."""
    if table is None:
        return ()
    if len(table.rows) <= MOST_ROWS_OPEN:
        return (table,)
    return (Group(f"all-{table.id}", f"{table.caption}: {len(table.rows)} rows", (table,)),)


Block = Table | Chart | Text | Definitions | Group | WhatIf


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter. An empty one is never built: no empty chart, no "N/A" panel."""

    id: str
    title: str
    lead: str
    blocks: tuple[Block, ...]

    @property
    def leaves(self) -> tuple[Block, ...]:
        """Every block, those of groups in their place."""
        found: list[Block] = []
        for block in self.blocks:
            found += block.blocks if isinstance(block, Group) else (block,)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class View:
    """Everything a renderer needs. lead: the chart of the first screen, in no section again."""

    title: str
    run_id: str
    description: str
    facts: tuple[tuple[str, str], ...]  # header line: target, model, date, duration ...
    outcome: str
    status: str  # complete | partial | interrupted ...
    sentences: tuple[Sentence, ...]
    next_step: str  # what to do or type now
    lead: Chart | None
    verdict_table: Table | None
    headline: tuple[Table, ...]  # key figures, shown under the verdict and on the console
    notices: tuple[tuple[str, str], ...]  # severity, sentence
    sections: tuple[Section, ...]
    verdicts: tuple[Verdict, ...]
    scenario: str
    duration_s: float
    commit: str
    reproduce: str
    data: dict[str, Any]  # embedded as JSON
    heading: str = "Verdict"  # of the first section
    subject: str = "Run"  # what run_id names

    @property
    def label(self) -> str:
        """The outcome; of a run without its end, that: it has no outcome."""
        return {"complete": self.outcome, "running": "partial"}.get(self.status, self.status)

    @property
    def first_tables(self) -> tuple[Table, ...]:
        """What stands beside the lead: a sweep's points, else the rules, else the key figures."""
        return self._ordered[: self._num_first]

    @property
    def further_tables(self) -> tuple[Table, ...]:
        """The tables of the verdict that come after."""
        return self._ordered[self._num_first :]

    @property
    def _num_first(self) -> int:
        # what the first request after a silence pays is that scenario's answer
        return 2 if any(t.id == "cold-starts" for t in self._ordered[1:2]) else 1

    @property
    def _ordered(self) -> tuple[Table, ...]:
        rules = (self.verdict_table,) if self.verdict_table else ()
        plan = tuple(t for t in self.headline if t.id == "fleets")
        if plan:
            return (*plan, *rules, *(t for t in self.headline if t not in plan))
        by_point = any(t.id == "points" for t in self.headline)
        # uptime is judged over all parts of a run: no row of a part is the answer
        is_pooled = self.lead is not None and self.lead.id.startswith("chart-uptime")
        has_sweep = by_point and not is_pooled
        return (*self.headline, *rules) if has_sweep else (*rules, *self.headline)

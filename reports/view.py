"""What a report says, before any renderer gives it a shape: frozen sentences, tables and series.

HTML, Markdown, JUnit and the console all render one View, so they cannot disagree. It imports
neither matplotlib nor jinja2. Every number in it is already a text with its unit; `value` beside
it is the raw one, for sorting and for the embedded JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

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
    cells: tuple[Cell, ...]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    id: str
    caption: str
    columns: tuple[tuple[str, Align], ...]
    rows: tuple[Row, ...]
    note: str = ""  # the definition printed under it


@dataclass(frozen=True, slots=True)
class Line:
    """One series. x, y: equally long. low, high: the interval band, empty when none."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    is_step: bool = False
    has_marks: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. limits: (value on y, label). bands: (x0, x1, label) shaded."""

    y_label: str
    lines: tuple[Line, ...]
    y_scale: Scale = "linear"
    limits: tuple[tuple[float, str], ...] = ()
    x_limits: tuple[tuple[float, str], ...] = ()
    bands: tuple[tuple[float, float, str], ...] = ()


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

    @property
    def data(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Header and rows of the series, long form, for the data disclosure and CSV."""
        rows = [
            (line.name, f"{x:.6g}", f"{y:.6g}")
            for panel in self.panels
            for line in panel.lines
            for x, y in zip(line.x, line.y, strict=True)
        ]
        return ("series", self.x_label, "value"), tuple(rows)


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


Block = Table | Chart | Text | Definitions


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter. An empty one is never built: no empty chart, no "N/A" panel."""

    id: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Everything a renderer needs."""

    title: str
    run_id: str
    description: str
    facts: tuple[tuple[str, str], ...]  # header line: target, model, date, duration ...
    outcome: str
    status: str  # complete | partial | interrupted ...
    sentences: tuple[Sentence, ...]
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

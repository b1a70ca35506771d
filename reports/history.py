"""A stored baseline -> a page: one mark a session for every metric, those in quarantine apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.records import Session
from reports._text import amount, name_of
from reports.view import Cell, Chart, Line, Panel, Row, Section, Sentence, Table, View

_COLUMNS = ("saved", "run", "build", "state")


def history_view(name: str, sessions: Sequence[Session]) -> View:
    """sessions: in the order saved, at least one."""
    keys = list(dict.fromkeys(key for s in sessions for key in s.values))
    charts = tuple(c for key in keys if (c := _chart(key, sessions)) is not None)
    used = sum(not s.quarantine for s in sessions)
    what = f"{used} session{'' if used == 1 else 's'} in use"
    need = "" if used >= 5 else " Five are needed before a relative rule can pass or fail."
    lost = len(sessions) - used
    detail = f"{lost} in quarantine.{need}" if lost else need.strip()
    sections = [Section("history", "History", "One mark a stored session.", charts)]
    return View(
        title=f"baseline {name}",
        run_id=name,
        description="Append-only: sessions are added or put in quarantine, never changed.",
        facts=(("sessions", str(len(sessions))), ("newest", sessions[-1].saved_utc)),
        outcome="", status="complete", sentences=(Sentence(f"{what}.", detail),), next_step="",
        lead=None, verdict_table=None, headline=(_table(sessions),), notices=(),
        sections=tuple(s for s in sections if s.blocks), verdicts=(), scenario=name,
        duration_s=0.0, commit=sessions[-1].build,
        reproduce=f"harness baseline report {name}", heading="Baseline", subject="Baseline",
        data={"name": name, "sessions": [s.to_json() for s in sessions]},
    )  # fmt: skip


def _table(sessions: Sequence[Session]) -> Table:
    rows = tuple(
        Row(
            (
                Cell(s.saved_utc), Cell(s.run_id), Cell(s.build),
                Cell(f"quarantine: {s.quarantine}" if s.quarantine else "in use"),
            ),
            f"session-{i}",
        )
        for i, s in enumerate(sessions)
    )  # fmt: skip
    return Table("sessions", "Sessions", tuple((c, "left") for c in _COLUMNS), rows)


def _chart(key: str, sessions: Sequence[Session]) -> Chart | None:
    """The geometric mean of each session with the range of its runs."""
    stage, metric, stat = key.split("/")
    is_time = not metric.endswith("_per_s")
    scale = 1e3 if is_time else 1.0
    lines = []
    for name, wanted in (("in use", False), ("quarantine", True)):
        marks = [
            (i + 1.0, s.values[key])
            for i, s in enumerate(sessions)
            if key in s.values and bool(s.quarantine) is wanted
        ]
        if marks:
            lines.append(
                Line(
                    name, tuple(x for x, _ in marks),
                    tuple(scale * _mean(v) for _, v in marks),
                    tuple(scale * min(v) for _, v in marks),
                    tuple(scale * max(v) for _, v in marks), has_marks=True,
                )
            )  # fmt: skip
    if not lines:
        return None
    title = f"{name_of(metric)}{f' {stat}' if stat != 'rate' else ''}"
    title += f", {stage}" if stage != "main" else ""
    ends = [_mean(s.values[key]) for s in sessions if key in s.values]
    unit = "s" if is_time else "tok/s" if metric.startswith("output_tok") else "req/s"
    caption = f"First {amount(ends[0], unit)}, newest {amount(ends[-1], unit)}."
    return Chart(
        id=f"chart-history-{stage}-{metric}-{stat}",
        title=title,
        caption=caption,
        definition="Geometric mean of a session's runs; the bar is from its least to its largest.",
        description=caption,
        x_label="session",
        panels=(Panel("milliseconds" if is_time else unit, tuple(lines)),),
        x_ticks=tuple(float(i + 1) for i in range(len(sessions))) if len(sessions) <= 16 else (),
    )


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))

"""A run of many points on one page: which of them are drawn and detailed, what the others share.

Each picture takes more of the page than all tables of its point, and sixty disclosures are read by
nobody: beyond MOST_DETAILED points only those about the answer have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis import PointSummary
from reports._tables import LEFT, NO_FAILURES, RIGHT, load_text
from reports._text import NAMES, amount, estimate_cell, listed
from reports._what_if import Ladder, drawn_points
from reports.view import Cell, Row, Table

MOST_DETAILED = 12
_TAILS = tuple(
    (metric, stat) for metric in ("ttft", "tpot", "e2e_latency") for stat in ("p50", "p95", "p99")
)


@dataclass(frozen=True, slots=True)
class Shown:
    """Names of points. drawn: whose course over time has pictures.  detailed: that have tables of
    their own.  is_short: whether those are not all."""

    drawn: frozenset[str]
    detailed: frozenset[str]
    is_short: bool
    drawn_told: str
    details_told: str


def shown_of(summaries: Sequence[PointSummary], rates: Sequence[Ladder]) -> Shown:
    drawn = drawn_points(summaries, rates)
    names = [s.meta.name for s in summaries]
    is_short = len(summaries) > MOST_DETAILED
    named = [name for name in dict.fromkeys(names) if name in drawn]
    told = "" if len(named) == len(set(names)) else (
        f"Drawn at {len(named)} of {len(set(names))} points: {listed(named)}; the records hold"
        " every one."
    )  # fmt: skip
    details = "" if not is_short else (
        f"Tables of their own at {listed(named)}; every figure of all {len(summaries)} points is in"
        " points.csv beside this file."
    )  # fmt: skip
    return Shown(drawn, drawn if is_short else frozenset(names), is_short, told, details)


def latency_table(summaries: Sequence[PointSummary]) -> Table | None:
    """Quantiles of every point, a row each; those that no point reports have no column."""
    found = {
        key: [s.find(*key, population="success") or s.find(*key) for s in summaries]
        for key in _TAILS
    }
    kept = {k: column for k, column in found.items() if any(e and not e.is_absent for e in column)}
    if not kept:
        return None
    columns = [("point", LEFT), *((f"{NAMES[m]} {stat}", RIGHT) for m, stat in kept), ("n", RIGHT)]
    rows = []
    for i, s in enumerate(summaries):
        n = max((column[i].n for column in kept.values() if column[i]), default=0)  # type: ignore[union-attr]
        cells = (Cell(s.meta.name), *(estimate_cell(column[i]) for column in kept.values()),
                 Cell(f"{n:,}", float(n)))  # fmt: skip
        rows.append(Row(cells, f"latency-{s.meta.index}-{s.meta.stage_index}"))
    note = "Over successes, from the intended send; intervals are in points.csv beside this file."
    return Table("latency-by-point", "Latency by point", tuple(columns), tuple(rows), note)


def error_table(summaries: Sequence[PointSummary]) -> Table | None:
    """Errors of every point by class, the most frequent first."""
    found = [(s, e) for s in summaries for e in s.errors]
    if not found:
        return None
    found.sort(key=lambda pair: (pair[1].error_class in NO_FAILURES, -pair[1].count))
    columns = (("class", LEFT), ("point", LEFT), ("load", LEFT), ("count", RIGHT),
               ("first seen", RIGHT), ("sample", LEFT))  # fmt: skip
    rows = tuple(
        Row(
            (Cell(e.error_class), Cell(s.meta.name), Cell(load_text(s)),
             Cell(f"{e.count:,}", float(e.count)), Cell(amount(e.first_s, "s"), e.first_s),
             Cell(e.sample)),
            f"error-{e.error_class}-{s.meta.index}-{s.meta.stage_index}-all",
        )
        for s, e in found
    )  # fmt: skip
    return Table("errors-by-point", "Errors by class and point", columns, rows)

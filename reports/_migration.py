"""What moving from one endpoint to another costs: both sides, line by line."""

from __future__ import annotations

from collections.abc import Callable

from harness.decisions.migration import Migration, SideCost
from harness.units import significant
from reports.view import Cell, Row, Table

_LINES: tuple[tuple[str, Callable[[SideCost], str]], ...] = (
    ("model asked for", lambda s: s.asked),
    ("model sent", lambda s: s.sent),
    ("requests that told their usage", lambda s: f"{s.usage.requests:,}"),
    ("input tokens a request", lambda s: _each(s, s.usage.input_tok)),
    ("of them found in a cache", lambda s: _each(s, s.usage.cached_tok)),
    ("output tokens a request", lambda s: _each(s, s.usage.output_tok)),
    ("prices", lambda s: s.sheet or "none given for this model"),
    ("USD a Mtok, input and output together", lambda s: _usd(s.usd_per_mtok)),
    ("USD for 1,000 requests", lambda s: _usd(s.usd_per_1000_requests)),
)


def migration_table(found: Migration) -> Table:
    rows = [
        Row((Cell(name), Cell(told(found.base)), Cell(told(found.other))), f"migration-{i}")
        for i, (name, told) in enumerate(_LINES)
    ]
    if found.ratio is not None:
        ends = "no interval: six pairs carry one" if found.low is None or found.high is None else (
            f"{significant(found.low)} to {significant(found.high)}, {found.num_pairs} pairs"
        )  # fmt: skip
        text = f"{significant(found.ratio)} times ({ends})"
        cells = (Cell("cost of an answered request"), Cell("1"), Cell(text, found.ratio))
        rows.append(Row(cells, "migration-ratio"))
    note = (
        "Usage as each server told it, every request of the paired runs, warm-up too, since each is"
        " billed. A mapping of models claims no equal quality: judge the answers yourself."
    )
    columns = (("the same traffic", "left"), ("baseline", "right"), ("candidate", "right"))
    return Table("migration", "Cost side by side", columns, tuple(rows), note)  # type: ignore[arg-type]


def _each(side: SideCost, tokens: float) -> str:
    return f"{tokens / side.usage.requests:,.1f}" if side.usage.requests else "none"


def _usd(value: float | None) -> str:
    return "not known" if value is None else f"${significant(value)}"

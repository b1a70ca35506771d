"""What moving from one endpoint to another costs: both sides, line by line."""

from __future__ import annotations

from collections.abc import Callable

from harness.decisions.migration import Migration, SideCost
from harness.units import significant
from reports.view import Cell, Row, Table

_LINES: tuple[tuple[str, Callable[[SideCost], str]], ...] = (
    ("model asked for", lambda s: s.asked),
    ("model sent", lambda s: s.sent),
    ("requests sent", lambda s: f"{s.num_sent:,}"),
    ("answered, their usage told", lambda s: f"{s.num_answered:,}"),
    ("answered by both sides: what follows is of these", lambda s: f"{s.usage.requests:,}"),
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
    rows.append(_ratio(found))
    if found.price_ratio is not None:
        text = f"{significant(found.price_ratio)} times"
        cells = (
            Cell("cost of the baseline's own tokens"),
            Cell("1"),
            Cell(text, found.price_ratio),
        )
        rows.append(Row(cells, "migration-price"))
    note = (
        "Usage as each server told it, of the paired runs, warm-up too, since each request is"
        " billed. A mapping of models claims no equal quality: judge the answers yourself."
    )
    columns = (("the same traffic", "left"), ("baseline", "right"), ("candidate", "right"))
    text = " ".join((*found.notes, note))
    return Table("migration", "Cost side by side", columns, tuple(rows), text)  # type: ignore[arg-type]


def _ratio(found: Migration) -> Row:
    name = Cell("cost of an answered request")
    if found.ratio is None:
        return Row((name, Cell(""), Cell("not known")), "migration-ratio")
    ends = "no interval: six pairs carry one" if found.low is None or found.high is None else (
        f"{significant(found.low)} to {significant(found.high)}, {found.num_pairs} pairs"
    )  # fmt: skip
    text = f"{significant(found.ratio)} times ({ends})"
    return Row((name, Cell("1"), Cell(text, found.ratio)), "migration-ratio")


def _each(side: SideCost, tokens: float) -> str:
    return f"{tokens / side.usage.requests:,.1f}" if side.usage.requests else "none"


def _usd(value: float | None) -> str:
    return "not known" if value is None else f"${significant(value)}"

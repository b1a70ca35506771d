"""Where classes ask for calls or documents, the report says which share was valid, by class."""

from __future__ import annotations

from dataclasses import replace

from harness.estimate import Estimate
from reports._tables import class_table, latency_table, rate_table

from .sample import point


def judged():
    plain = point(0, 2.0)
    found = [
        Estimate("tool_valid", "ratio", "ratio", value, value - 0.1, value, n=90, scope=scope)
        for value, scope in ((0.8, "all"), (0.8, "chat"))
    ]
    found += [
        Estimate("valid_tok_per_s", "rate", "tok/s", 33.0, 30.0, 36.0, n=900),
        Estimate("time_to_tool_call", "p50", "s", 0.42, 0.4, 0.45, n=90, population="success"),
    ]
    meta = replace(plain.meta, tool_classes=("chat",))
    return replace(plain, meta=meta, estimates=(*plain.estimates, *found))


def test_the_class_table_gains_a_column() -> None:
    table = class_table(judged(), "")
    assert table is not None
    assert table.columns[-1][0] == "valid answers"
    assert [row.cells[-1].text for row in table.rows] == ["80%", ""]
    assert "keep their schema or make valid calls" in table.note
    plain = class_table(point(0, 2.0), "")
    assert plain is not None
    assert "valid answers" not in [name for name, _ in plain.columns]


def test_shares_rates_and_times_are_listed_by_their_names() -> None:
    rates, times = rate_table(judged(), ""), latency_table(judged(), "")
    assert rates is not None
    assert times is not None
    shown = {row.cells[0].text: row.cells[1].text for row in (*rates.rows, *times.rows)}
    assert shown["valid tool calls"] == "80%"
    assert shown["valid tokens/s, system"] == "33.0 tok/s"
    assert shown["time to a valid tool call"] == "420 ms"

"""Uptime in a report: the strip, its words, the tables, parts pooled, and every twin the same."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import reports
from harness.analysis import PointSummary, analyse_point
from harness.decisions import headlines, judge_slo, judge_uptime
from harness.estimate import Outcome
from harness.scenario.slo import Slo
from reports._uptime import MOST_CELLS, uptime_blocks, uptime_figures
from reports.view import Chart, Table, View

_SPEC = importlib.util.spec_from_file_location(
    "analysis_rows", Path(__file__).parents[1] / "analysis" / "rows.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
rows = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rows)
SLO = Slo.model_validate({"uptime": {"window": "60s", "objective": "99%"}})


def measured(num: int, down: range, **meta: Any) -> PointSummary:
    """One request a minute, one window each; those of `down` fail."""
    table = [
        rows.row(60.0 * k, [60 * k + 0.1], error="connect" if k in down else "") for k in range(num)
    ]
    given = rows.meta(60.0 * num, slo=meta.pop("slo", SLO), **meta)
    return analyse_point(rows.requests(table), rows.clients(60), given)


def view(*summaries: PointSummary) -> View:
    verdicts = judge_uptime(summaries, [v for s in summaries for v in judge_slo(s, s.meta.slo)])
    facts = reports.RunFacts(
        run_id="r", scenario="soak", description="", status="complete",
        created_utc="2026-11-24T01:02:03+00:00", provenance={}, given_text="", resolved_text="",
        targets=(("t", "m", "http://127.0.0.1:1/v1"),), duration_s=1.0, reproduce="harness run x",
    )  # fmt: skip
    said = headlines(summaries, verdicts)
    return reports.build_view(facts, summaries, verdicts, Outcome.FAIL, said)


def test_the_strip_says_in_words_what_it_shades() -> None:
    summary = measured(120, range(30, 40))
    strip, alerts, outages = uptime_blocks([summary])
    (figures,) = uptime_figures([summary])
    assert isinstance(strip, Chart)
    assert strip.caption.startswith("110 of 120 windows were up: uptime 91.7% (")
    assert strip.caption.endswith("99% allows 1.2 down windows of as many; 10 were.")
    assert "Down at 30 min for 10 min (connect)." in strip.description
    (panel,) = strip.panels
    assert panel.bands == ((0.5, pytest.approx(40 / 60), "down"),)
    assert panel.limits == ((pytest.approx(95.0), "up from 95%", None),)
    assert sum(y == 0 for y in panel.lines[0].y) == 10
    assert isinstance(figures, Table)
    told = {row.cells[0].text: row.cells[1].text for row in figures.rows}
    assert told["mean time to repair"] == "10 min"
    assert told["burn rate"] == "8.33"  # 10 / 120 of windows over 1 %
    assert told["W: share of windows that were up"] == "91.7%"
    assert told["R: good requests over the period"] == "91.7%"
    assert told["A: mean of the windows' good shares"] == "91.7%"
    assert told["error budget of 99%, spent (10 of 1.2 windows)"] == "833%"
    assert told["99% allows in 30 days"] == "7.20 h"
    assert "they refute 99.9% and 99.99%; they cannot tell 99%" in figures.note
    assert isinstance(alerts, Table)
    # ten of the sixty minutes of an hour: 16.7 % over 1 %
    assert [cell.text for cell in alerts.rows[0].cells][:5] == [
        "page", "14.4x", "1h and 5min", "2%", "16.7x"
    ]  # fmt: skip
    assert alerts.rows[1].cells[6].text == "not measured: needs 6h of measurement"
    assert isinstance(outages, Table)
    assert [cell.text for cell in outages.rows[0].cells] == [
        "1", "30 min", "10 min", "10", "10 of 10", "connect"
    ]  # fmt: skip


def test_a_long_run_is_drawn_in_cells_as_good_as_their_worst() -> None:
    (strip, *_) = uptime_blocks([measured(900, range(450, 451))])
    assert isinstance(strip, Chart)
    (line,) = strip.panels[0].lines
    assert len(line.x) <= MOST_CELLS
    assert min(line.y) == 0.0
    assert "Drawn in cells of 3 min, each as its worst window." in strip.definition


def test_every_twin_tells_it_and_parts_are_pooled() -> None:
    parts = [
        replace(s, meta=replace(s.meta, label=f"main-r{k + 1}", index=k))
        for k, s in enumerate([measured(30, range(0)), measured(30, range(28, 30))])
    ]
    made = view(*parts)
    markdown, html = reports.render_markdown(made), reports.render_html(made)
    for text in (markdown, html):
        assert "main (2 parts)" in text
        assert "58 of 60 windows were up" in text
        assert "at least 2 min" in text
        assert "99% uptime is" in text
    assert "Errors over time" in html
    assert made.lead is not None
    assert made.lead.id == "chart-uptime"
    assert html.count('id="chart-uptime"') == 1


def test_what_lies_between_two_parts_is_not_drawn() -> None:
    parts = [measured(3, range(2, 3)), measured(3, range(0))]
    meta, minutes = parts[1].meta, 600 * 10**9
    later = replace(
        meta, t0_ns=meta.t0_ns + minutes, t1_ns=meta.t1_ns + minutes, index=1, label="main-r2"
    )
    first = replace(parts[0].meta, label="main-r1")
    made = view(replace(parts[0], meta=first), replace(parts[1], meta=later))
    assert made.lead is not None
    (line,) = made.lead.panels[0].lines
    at = [x for x, y in zip(line.x, line.y, strict=True) if math.isnan(y)]
    assert at == [3.0]  # the first part's three minutes, then nothing
    assert len(made.lead.data[1][0][1]) == 6
    # pooled over the parts, the rule is the answer and not a row of a part
    assert [t.id for t in made.first_tables] == ["verdicts"]


def test_credits_and_redundancy_are_told_with_their_source() -> None:
    data = {
        "window": "60s", "objective": "99%",
        "sla": {
            "schema": "harness/sla/v1", "name": "Some SLA", "as_of": "2026-01-02",
            "source": "their page", "definition": "mean", "objective": "99.9%",
            "steps": [{"below": "99.9%", "credit": "10%"}, {"below": "95%", "credit": "100%"}],
        },
        "redundancy": {"replicas_needed": 4, "availability": "99%"},
    }  # fmt: skip
    made = view(measured(120, range(30, 40), slo=Slo.model_validate({"uptime": data})))
    for text in (reports.render_markdown(made), reports.render_html(made)):
        assert "credit due, Some SLA" in text
        assert "2026-01-02: their page" in text
        assert "What redundancy would buy" in text
        assert "99.9%" in text
    (row,) = made.data["uptime"]
    assert row["credit"]["credit_ratio"] == 1.0  # 91.7 % is below 95 %
    assert row["redundancy"]["fleets"][1]["cost_ratio"] == 1.25
    assert row["alerts"][0]["answer"].startswith("fired")


def test_nothing_is_shown_where_nobody_asked_and_nothing_fell() -> None:
    assert uptime_blocks([measured(12, range(0), slo=Slo())]) == []


def test_cold_starts_have_their_table() -> None:
    table = [rows.row(-1.0, [-0.9])]
    for k in range(6):
        at = 60.0 * (k + 1)
        table += [rows.row(at, [at + 2.0]), rows.row(at + 1, [at + 1.1])]
    summary = analyse_point(
        rows.requests(table), rows.clients(60), rows.meta(400.0, idle_s=(50.0,))
    )
    text = reports.render_markdown(view(summary))
    assert "Cold starts" in text
    assert "cold after 50s" in text

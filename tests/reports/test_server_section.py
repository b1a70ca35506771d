"""The server's own account in the report: there when told, absent when not, in words."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.analysis.server_summary import (
    Comparison,
    NetGain,
    RateLimit,
    ServerSeries,
    ServerSide,
    Speculation,
)
from harness.estimate import Outcome
from reports import View, build_view, render_html, render_markdown

TIMES = tuple(float(t) for t in range(-3, 12))
SIDE = ServerSide(
    name="vllm",
    num_readings=15,
    comparisons=(
        Comparison("requests_success", "requests finished, whole point", "count", 400.0, 396.0,
                   -0.01, "ok"),
        Comparison("output_tok", "output tokens, whole point", "tok", 48123.0, 51003.0, 0.05985,
                   "notice"),
        Comparison("preemptions", "preemptions", "count", None, 3.0),
    ),
    series=(
        ServerSeries("running", "requests running", "count", TIMES, (9.0,) * 3 + (4.0,) * 12),
        ServerSeries("waiting", "requests waiting", "count", TIMES, (0.0,) * 14 + (2.0,)),
        ServerSeries("kv_usage", "KV cache in use", "ratio", TIMES, (0.415,) * 15),
    ),
    rate_limits=(RateLimit("requests", 461.0, 500.0), RateLimit("tokens", 0.0)),
)  # fmt: skip


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    path = Path(__file__).with_name("sample.py")
    spec = importlib.util.spec_from_file_location("server_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def view_of(sample: ModuleType, num_points: int, side: ServerSide = SIDE) -> View:
    facts: dict[str, Any] = {
        "run_id": "r", "scenario": "s", "description": "", "status": "complete",
        "created_utc": "2026-11-24T01:02:03+00:00", "provenance": {}, "given_text": "",
        "resolved_text": "", "targets": (), "duration_s": 1.0, "reproduce": "",
    }  # fmt: skip
    points = [replace(sample.point(i, 2.0 + i), server=side) for i in range(num_points)]
    return build_view(sample.RunFacts(**facts), points, [], Outcome.PASS, ())


def test_one_point_leads_with_both_accounts(sample) -> None:
    view = view_of(sample, 1)
    (table,) = [t for t in view.headline if t.id == "client-server"]
    rows = [[cell.text for cell in row.cells] for row in table.rows]
    assert rows == [
        ["requests finished, whole point", "400", "396", "-1%", "agree"],
        ["output tokens, whole point", "48,123 tok", "51,003 tok", "+5.99%", "differ"],
        ["preemptions", "", "3", "", ""],
    ]
    assert table.rows[1].cells[4].outcome == "notice"
    assert "vllm" in table.note


def test_the_series_say_what_they_came_to_in_the_window(sample) -> None:
    (section,) = [s for s in view_of(sample, 1).sections if s.id == "engine"]
    chart, limits = section.blocks
    # 9 were running before the window and 2 waited after it
    assert chart.caption == (
        "In the measured window the server ran up to 4 requests at a time, kept no requests"
        " waiting and filled its KV cache to 41.5%."
    )
    names = [line.name for panel in chart.panels for line in panel.lines]
    assert names == ["in flight, client", "running, server", "waiting, server", "KV cache"]
    assert [[c.text for c in row.cells] for row in limits.rows] == [
        ["requests", "461", "500"], ["tokens", "0", ""],
    ]  # fmt: skip
    assert limits.rows[1].cells[0].outcome == "notice"


def test_a_sweep_has_both_accounts_by_point(sample) -> None:
    view = view_of(sample, 2)
    (section,) = [s for s in view.sections if s.id == "engine"]
    assert [b.id for b in section.blocks] == ["point-engine-0-0", "point-engine-1-0"]
    assert [b.id for b in section.leaves] == [
        "client-server-0-0", "chart-server-0-0", "limits-0-0",
        "client-server-1-0", "chart-server-1-0", "limits-1-0",
    ]  # fmt: skip
    assert not [t for t in view.headline if t.id.startswith("client-server")]


def test_without_an_account_there_is_no_section(sample) -> None:
    view = view_of(sample, 1, ServerSide())
    assert not [s for s in view.sections if s.id == "engine"]
    assert not [t for t in view.headline if t.id.startswith("client-server")]


def test_every_renderer_tells_it(sample) -> None:
    view = view_of(sample, 1)
    page, text = render_html(view), render_markdown(view)
    for told in ("Client against server", "51,003 tok", "+5.99%", "The server over time"):
        assert told in page
        assert told in text
    assert 'id="chart-server"' in page
    compared = view.data["points"][0]["client_against_server"]
    assert [row["server"] for row in compared] == [396.0, 51003.0, 3.0]
    assert view.data["points"][0]["rate_limits"][0]["remaining_min"] == 461.0


def test_accepted_drafts_are_told_by_place(sample) -> None:
    spec = Speculation(100.0, 300.0, 150.0, (80.0, 50.0, 20.0))
    (section,) = [
        s for s in view_of(sample, 1, replace(SIDE, speculation=spec)).sections if s.id == "engine"
    ]
    (table,) = [b for b in section.blocks if b.id == "speculation"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["number 1", "80", "80%"], ["number 2", "50", "50%"], ["number 3", "20", "20%"],
    ]  # fmt: skip
    assert "100 verifications gave 2.50 tokens each" in table.note
    assert "50% of 300 drafts were accepted" in table.note
    assert "coin" not in table.note


def test_the_net_speed_up_is_told_in_rates_and_as_an_estimate(sample) -> None:
    """900 tokens in 2 s, 1.5 times what it would have been: 450 against 300 tok/s."""
    gain = NetGain(1.5, 1.25, 1.8, 2.0, 900.0, 40.0)
    side = replace(SIDE, speculation=Speculation(100.0, 300.0, 150.0, (80.0,), gain=gain))
    page = render_html(view_of(sample, 1, side))
    for words in ("450 tok/s", "given 300", "estimate", "1.50 times", "1.25 to 1.80", "40 steps"):
        assert words in page
    assert ServerSide.from_json(json.loads(json.dumps(side.to_json()))) == side
    bare = replace(SIDE, speculation=Speculation(100.0, 300.0, 150.0, (80.0,)))
    assert "tokens/s beside a run without" in render_html(view_of(sample, 1, bare))


def test_a_report_of_synthetic_acceptance_says_so(sample) -> None:
    spec = Speculation(100.0, 300.0, 150.0, (80.0, 50.0, 20.0), is_synthetic=True)
    view = view_of(sample, 1, replace(SIDE, speculation=spec))
    assert "the text means nothing" in render_html(view)
    assert "the text means nothing" in render_markdown(view)

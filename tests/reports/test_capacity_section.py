"""The capacity section: planner's sentence, charts, what-ifs, and that the page says the same."""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import urlencode

import pytest

from harness.decisions import headlines
from harness.estimate import Outcome
from reports import RunFacts, View, build_view, render_html, render_markdown
from reports._what_if import drawn_points, ladders_of, slo_answer
from reports.view import Chart, WhatIf
from tests.decisions.rates import point

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def load_rows() -> ModuleType:
    path = Path(__file__).parents[1] / "analysis" / "rows.py"
    spec = importlib.util.spec_from_file_location("capacity_rows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["capacity_rows"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def summaries():
    rows = load_rows()
    waits = {2: 0.05, 4: 0.08, 8: 0.09, 16: 0.4}
    return [point(rows, rate, wait, index=k) for k, (rate, wait) in enumerate(waits.items())]


def make_view(summaries, gpus=None) -> View:
    facts = RunFacts(
        "20261127T010203Z-rates-ab12cd", "rates", "", "complete", "2026-11-27T01:02:03+00:00",
        {}, "", "", (("main", "m", "http://127.0.0.1:1/v1"),), 30.0, "harness run rates",
        gpus=gpus or {},
    )  # fmt: skip
    return build_view(facts, summaries, (), Outcome.PASS, headlines(summaries, ()))


@pytest.fixture(scope="module")
def view(summaries) -> View:
    return make_view(summaries)


def block(view: View, name: str):
    found = [b for s in view.sections for b in s.leaves if b.id == name]
    return found[0] if found else view.lead


def test_the_planners_sentence_leads(view):
    (section,) = [s for s in view.sections if s.id == "capacity"]
    assert view.sentences[0].answer.startswith("Sustains 8")
    assert view.sentences[0].answer in render_markdown(view)
    assert section.lead == ""  # said once, on the first screen
    assert [b.id for b in section.blocks if isinstance(b, Chart)] == [
        "chart-load-ttft", "chart-load-tpot", "chart-load-e2e_latency", "chart-frontier",
    ]  # fmt: skip


def test_goodput_marks_the_sustained_rate_and_the_share(view):
    chart = view.lead
    assert chart.id == "chart-goodput"
    (panel,) = chart.panels
    assert [line.name for line in panel.lines if line.is_guide] == ["as offered", "95% of it"]
    share = panel.lines[-1]
    assert share.y == tuple(0.95 * x for x in share.x)
    ((at, words),) = panel.marks
    assert words == f"sustained {at:.3g} req/s"
    assert panel.bands[0][:2] == (8.0, 16.0)  # the interval
    assert "Sustained: 8.28 req/s (95% CI 8.00 to 16.0 req/s), shaded." in chart.caption


def test_answers_are_printed_without_javascript(view):
    page = render_html(view)
    outputs = [html.unescape(text) for text in re.findall(r"<output>(.*?)</output>", page)]
    assert outputs == [
        "Sustains 8 req/s (100% good, 98.1 to 100%), not 16 req/s (0% good, 0 to 1.88%).",
        "50 req/s needs 8 replicas: 7 at the lower bound of 8.00 req/s each, 1 spare.",
    ]
    assert page.count('<div class="inputs" hidden>') == 2  # of no use before the script runs


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("state", [{"ttft": 9, "tpot": 23}, {"ttft": 2}])
def test_the_page_computes_what_python_does(view, summaries, state, tmp_path):
    (ladder,) = ladders_of(summaries)
    (grid,) = ladder.grids
    stops = (state.get("ttft", grid.default[0]), state.get("tpot", grid.default[1]))
    path = tmp_path / "report.html"
    path.write_text(render_html(view), encoding="utf-8")
    dom = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         f"file://{path}#my-slo?{urlencode(state | {'rate': 100, 'spare': 0})}"],
        capture_output=True, text=True, timeout=100, check=False,
    ).stdout  # fmt: skip
    first, second = (html.unescape(t) for t in re.findall(r"<output>(.*?)</output>", dom))
    assert first == slo_answer(grid, stops)
    low = re.match(r"Sustains ([\d.]+) req/s", first)
    need = {"2": 50, "4": 25, "8": 13, "16": 7}[low[1]] if low else 0
    assert second.startswith(f"100 req/s needs {need} replicas" if need else "Not measured")


def test_rates_that_were_not_measured_are_not_guessed(summaries):
    (ladder,) = ladders_of(summaries)
    (grid,) = ladder.grids
    assert "none surely misses" in slo_answer(grid, (23, 23))
    assert slo_answer(grid, (0, 0)).startswith("Not measured: no rate surely holds")


def test_every_number_of_the_frontier_is_a_level(view, summaries):
    chart = block(view, "chart-frontier")
    labels = {label for line in chart.panels[0].lines for label in line.labels}
    assert labels == {"2", "4", "8", "16"}
    assert isinstance(block(view, "my-slo"), WhatIf)


def test_tokens_are_told_per_gpu_where_their_number_is_known(view, summaries) -> None:
    whole, each = (
        block(v, "chart-frontier") for v in (view, make_view(summaries, {"t": 2, "other": 8}))
    )
    assert whole.panels[0].y_label == "output tokens/s in all"
    assert each.panels[0].y_label == "output tokens/s per GPU"
    for a, b in zip(whole.panels[0].lines, each.panels[0].lines, strict=True):
        assert b.y == tuple(y / 2 for y in a.y)
        assert a.x == b.x
    assert "of a GPU (2 GPUs in all) against those of one user" in each.definition
    assert "output tokens/s per GPU at" in each.caption


def test_of_many_rates_those_about_the_answer_are_drawn_over_time(summaries):
    rows = load_rows()
    many = [point(rows, rate, 0.05 if rate < 9 else 0.4, index=k)
            for k, rate in enumerate((1, 2, 4, 6, 8, 10, 12))]  # fmt: skip
    drawn = drawn_points(many, ladders_of(many))
    assert drawn == {"rate-1", "rate-8", "rate-10"}
    assert len(drawn_points(summaries, ladders_of(summaries))) == 4  # all of a few


def test_points_say_whether_their_rate_holds(view):
    (table,) = [t for t in view.headline if t.id == "points"]
    assert [row.cells[1].text for row in table.rows] == ["holds", "holds", "holds", "misses"]


def test_a_rate_at_which_nobody_was_answered_has_its_row(summaries):
    none = point(load_rows(), 32, 100.0, index=4, error_class="cut")
    assert (none.counts["valid"], none.is_stable) == (0, False)
    view = make_view([*summaries, none])
    table = block(view, "capacity-levels")
    assert [c.text for c in table.rows[-1].cells[:3]] == ["32.0 req/s", "unstable", "none"]
    assert "32.0 req/s" in render_html(view)
    assert "32.0 req/s" in render_markdown(view)

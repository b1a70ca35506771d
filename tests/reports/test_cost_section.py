"""The cost section: sentences, charts, tables, and a slider that says what Python says."""

from __future__ import annotations

import html
import re
import subprocess
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from harness.decisions import find_capacity, headlines
from harness.decisions.cost_answer import CostAnswer, answer
from harness.decisions.cost_curve import Curve
from harness.decisions.cost_question import measured_mix, question_of, ttft_limit_s
from harness.decisions.point_cost import point_costs
from harness.decisions.question import Capacity
from harness.estimate import Outcome
from harness.scenario.cost import Cost
from harness.scenario.forecast import load_forecast
from harness.scenario.prices import load_prices
from reports import RunFacts, build_view, render_html, render_markdown
from reports._cost import price_data
from reports._cost_fleets import fleet_charts
from reports.view import Chart, Table
from tests.decisions.rates import point
from tests.reports.test_capacity_section import BROWSER, load_rows

SHEET = load_prices("fireworks-guide").model_dump(by_alias=True, exclude_none=True)
COST = Cost.model_validate({
    "prices": SHEET,
    "serverless": {"model": "llama-v3p3-70b-instruct"},
    "on_demand": {"gpu": "h100", "scale_to_zero": {"idle": "10min", "cold_start": "1min"},
                  "commitment_discount": "30%"},
    "forecast": {"file": "servegen-day", "volume": "240Mtok/d"},
})  # fmt: skip
EGRESS = Cost.model_validate(COST.model_dump(by_alias=True, exclude_none=True) | {
    "prices": SHEET | {"egress": "0.09USD/GB"},
    "on_demand": {"gpu": "h100", "egress_per_request": "4kB"},
})  # fmt: skip
FACTS = RunFacts(
    "20261127T010203Z-money-ab12cd", "money", "", "complete", "2026-11-27T01:02:03+00:00", {}, "",
    "", (("main", "m", "http://127.0.0.1:1/v1"),), 30.0, "harness run money",
)  # fmt: skip


def make_summaries():
    waits = {2: 0.05, 4: 0.08, 8: 0.09, 16: 0.4}
    rows = load_rows()
    return [point(rows, r, wait, index=k, n_in=1000) for k, (r, wait) in enumerate(waits.items())]


@pytest.fixture(scope="module")
def summaries():
    return make_summaries()


def make_answer(summaries, cost: Cost = COST) -> CostAnswer:
    capacity = Capacity(find_capacity(summaries).estimate, ttft_limit_s(summaries[0]))
    mix = measured_mix(cost, summaries, summaries)
    question = question_of(cost, "auto", mix, capacity, load_forecast("servegen-day"))
    return answer(question, traffic_source="a day")


@pytest.fixture(scope="module")
def found(summaries) -> CostAnswer:
    return make_answer(summaries)


def make_view(summaries, found):
    facts = replace(FACTS, costs=point_costs(summaries, COST, {"t": "auto"}), crossover=found)
    return build_view(facts, summaries, (), Outcome.PASS, headlines(summaries, ()))


@pytest.fixture(scope="module")
def view(summaries, found):
    return make_view(summaries, found)


def blocks(view):
    (section,) = [s for s in view.sections if s.id == "cost"]
    return section, {b.id: b for b in section.blocks}


def test_the_section_leads_with_the_sentences(view, found) -> None:
    section, own = blocks(view)
    assert section.lead == " ".join(s.text for s in view.sentences[-3:])
    assert view.sentences[-1].text.startswith("A million good tokens cost $0.17")
    assert view.sentences[-1].text.endswith("on demand at rate-8, the cheapest point measured.")
    assert list(own) == [
        "chart-crossover", "my-prices", "chart-fleets", "chart-regimes", "chart-token-cost",
        "token-cost", "crossings", "bills", "assumptions",
    ]  # fmt: skip
    assert found.headlines[1].answer in render_markdown(view)


def test_the_crossing_is_an_interval_on_x(view, found) -> None:
    chart = blocks(view)[1]["chart-crossover"]
    assert isinstance(chart, Chart)
    (panel,) = chart.panels
    ((left, right, words),) = panel.bands
    low, high = found.crossover.asked.low, found.crossover.asked.high
    assert (left, words) == (pytest.approx(low * 24 / 1e6), "crossing")
    assert right >= high * 24 / 1e6
    ((own, mark),) = panel.marks
    assert (own, mark) == (pytest.approx(240), "your traffic")
    assert [line.name for line in panel.lines] == ["serverless", "on demand"]
    # the serverless line is straight: $0.90 a million
    line = panel.lines[0]
    assert all(y == pytest.approx(0.9 * x) for x, y in zip(line.x, line.y, strict=True))
    assert "prices of 2026-11-23" in chart.definition


def test_every_fleet_has_its_line_and_its_strip(view, found) -> None:
    """$5/h and $.90 a million cross at 5.56 Mtok/h, at 30 % off at 3.89; the page tells both in
    words, and in its tables without a script."""
    _, own = blocks(view)
    lines, strips = own["chart-fleets"], own["chart-regimes"]
    assert isinstance(lines, Chart)
    assert isinstance(strips, Chart)
    (panel,) = lines.panels
    assert [line.name for line in panel.lines] == [
        "serverless", "autoscaled", "fixed", "committed", "to zero",
    ]  # fmt: skip
    for line, fleet in zip(panel.lines[1:], found.crossover.curve.fleets.values(), strict=True):
        assert line.y == tuple(row[1] for row in fleet)  # USD an hour, not a day
        assert len(line.low) == len(line.high) == len(line.x)
    assert panel.lines[0].y == pytest.approx([0.9 * x for x in panel.lines[0].x])
    assert panel.marks == ((pytest.approx(10), "your traffic"),)  # 240 a day
    assert "autoscaled 5.56;" in lines.caption
    assert "committed 3.89;" in lines.caption
    header, rows = strips.data
    assert header == ("Mtok an hour, above", "up to", "cheaper")
    (first, second) = dict(rows)["fixed for the peak"]
    assert (first[2], second[2]) == ("serverless", "on demand")
    assert float(first[1]) == pytest.approx(5.56, rel=0.05)  # the curve's own 60 traffics
    assert first[1] == second[0]
    assert "Fixed: serverless up to 5." in strips.caption


def test_what_an_interval_leaves_open_is_no_ones_regime(summaries, found) -> None:
    """A curve whose bands touch in the middle."""
    made = Curve(
        tuple(1e6 * x for x in (1, 2, 4, 8)), ((1.0,) * 3, (2.0,) * 3, (4.0,) * 3, (8.0,) * 3),
        ((3.0,) * 3,) * 4, {"autoscaled": ((3.0,) * 3, (1.9, 3, 3), (3, 3, 4.1), (3.0,) * 3)},
    )  # fmt: skip
    crossover = replace(found.crossover, curve=made, at_traffic=None)
    _, strips = fleet_charts(replace(found, crossover=crossover))
    ((_, rows),) = strips.data[1]
    assert [row[2] for row in rows] == ["serverless", "open", "on demand"]
    assert [float(row[1]) for row in rows] == pytest.approx([2**0.5, 32**0.5, 8], rel=1e-4)
    assert [b.name for b in strips.panels[0].boxes] == [
        "serverless cheaper", "open", "on demand cheaper",
    ]  # fmt: skip
    assert strips.caption == "Autoscaled: serverless up to 1.41, open up to 5.66, then on demand."


def test_a_good_token_against_latency(view) -> None:
    """2, 4 and 8 req/s have a p90 and good tokens; the dearest is at the lowest rate."""
    chart = blocks(view)[1]["chart-token-cost"]
    assert isinstance(chart, Chart)
    (line,) = [ln for ln in chart.panels[0].lines if not ln.is_hollow]
    assert line.labels == ("2", "4", "8")
    assert line.y == pytest.approx([5 / 3600 / (1010 * r) * 1e6 for r in (2, 4, 8)], rel=0.12)
    assert chart.panels[0].limits[0].value == pytest.approx(0.9)


def test_tables_hold_the_numbers_of_the_answer(view, found) -> None:
    _, own = blocks(view)
    bills, rests = own["bills"], own["assumptions"]
    assert isinstance(bills, Table)
    assert isinstance(rests, Table)
    assert bills.rows[0].cells[1].value == pytest.approx(240 * 0.9)
    assert len(bills.rows) == 5  # serverless, both fleets, committed, scaled to zero
    assert [row.cells[0].text for row in rests.rows] == [a.what for a in found.assumptions]
    assert view.data["costs"][0]["side"] == "on_demand"


def test_the_printed_default_is_the_answer(view, found) -> None:
    page = render_html(view)
    outputs = [html.unescape(text) for text in re.findall(r"<output>(.*?)</output>", page)]
    said = [h.detail.partition(" [")[0] for h in found.headlines]
    heads = [h.answer for h in found.headlines]
    assert outputs[-1] == f"{heads[0]} {said[0]} {heads[1]} {said[1]}"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    ("cost", "state"), [(COST, {"gpu": 12, "tok": 3}), (EGRESS, {"gpu": 0, "tok": 16})]
)
def test_the_page_says_what_python_does(summaries, cost, state, tmp_path) -> None:
    found = make_answer(summaries, cost)
    path = tmp_path / "report.html"
    path.write_text(render_html(make_view(summaries, found)), encoding="utf-8")
    dom = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         f"file://{path}#my-prices?{urlencode(state)}"],
        capture_output=True, text=True, timeout=100, check=False,
    ).stdout  # fmt: skip
    data = price_data(found)["my-prices"]
    pair = 17 * state["gpu"] + state["tok"]
    ratio = 16 + state["gpu"] - state["tok"]
    expected = data["crossing"][pair if cost is EGRESS else ratio]
    expected += " " + data["saving"][pair]
    assert html.unescape(re.findall(r"<output>(.*?)</output>", dom)[-1]) == expected


def test_without_prices_there_is_no_section(summaries) -> None:
    plain = build_view(FACTS, summaries, (), Outcome.PASS, headlines(summaries, ()))
    assert "cost" not in {s.id for s in plain.sections}
    assert "costs" not in plain.data

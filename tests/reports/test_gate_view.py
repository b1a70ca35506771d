"""A gate's report: the rules first, both arms in one picture, every number in all of its forms."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.analysis.curves import cdf_curve
from harness.analysis.run_sample import RunSample, run_sample
from harness.decisions import Comparison
from harness.decisions.comparison import lone_rows, outcome_of, paired_rows
from harness.decisions.gate import Block, judge_gate
from harness.decisions.gate_words import comparison_headline, gate_headline, rule_verdict
from harness.records import Session
from harness.scenario.gate import Gate
from harness.scenario.slo import Slo
from reports import RunFacts, View, build_gate_view, render_html, render_junit, render_markdown
from reports.history import history_view

GATE = Gate.model_validate(
    {
        "candidate": "new", "baseline": {"kind": "target", "target": "old"}, "blocks": 8,
        "rules": [
            {"id": "ttft", "kind": "relative", "metric": "ttft", "stat": "p50",
             "max_increase": "5%"},
            {"id": "tok", "kind": "relative", "metric": "output_tok_per_s", "max_decrease": "3%"},
            {"id": "errors", "kind": "absolute", "metric": "error_rate", "max": "0.1%"},
        ],
    }
)  # fmt: skip
FACTS = RunFacts(
    "20260101T000000Z-g-abcdef", "g", "A gate.", "complete", "2026-01-01T00:00:00+00:00",
    {"git": {"sha": "abc"}}, "given", "resolved",
    (("old", "tiny", "http://127.0.0.1:1/v1"), ("new", "tiny", "http://127.0.0.1:2/v1")),
    400.0, "harness run g",
)  # fmt: skip


def _rows() -> ModuleType:
    path = Path(__file__).parents[1] / "analysis" / "rows.py"
    spec = importlib.util.spec_from_file_location("gate_view_rows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_base() -> RunSample:
    rows, rng = _rows(), np.random.default_rng(3)
    made = [
        rows.row(i / 3, [i / 3 + wait + 0.02 * k for k in range(5)])
        for i, wait in enumerate(rng.exponential(0.1, 300))
    ]
    return run_sample(rows.requests(made), rows.clients(100), rows.meta(100.0))


@pytest.fixture(scope="module")
def base() -> RunSample:
    return make_base()


def make_view(base: RunSample) -> View:
    blocks = [
        Block(i, "AB", {"main": base}, {"main": replace(base, samples={
            k: v * (1.1 + 0.01 * (i % 3)) for k, v in base.samples.items()})}, f"sha{i}")
        for i in range(8)
    ]  # fmt: skip
    result = judge_gate(GATE, Slo(), blocks, sigma_of={"ttft": 0.01})
    ruled = [(r.metric, r.stat, r.stage) for r in result.rules if r.judged]
    curves = [
        cdf_curve("ttft", "s", "valid", runs["main"].samples["ttft", "all"])
        for runs in (blocks[0].baseline, blocks[0].candidate)
    ]
    assert curves[0] is not None
    assert curves[1] is not None
    comparison = Comparison(
        "old", "new", ("scenario", "model"), (), paired_rows(blocks, 0.05, ruled),
        ((curves[0], curves[1]),), result, 0.05, 8,
    )  # fmt: skip
    verdicts = [rule_verdict(rule) for rule in result.rules]
    return build_gate_view(
        FACTS, comparison, [base.summary], verdicts, result.outcome,
        [gate_headline(comparison, result)],
    )  # fmt: skip


@pytest.fixture(scope="module")
def view(base: RunSample) -> View:
    return make_view(base)


def test_the_rules_stand_first_and_the_comparison_second(view: View) -> None:
    assert view.sentences[0].answer == "FAIL: TTFT p50 is 10.9% slower"
    assert view.verdict_table is not None
    assert [row.cells[0].text for row in view.verdict_table.rows] == [
        "TTFT p50", "error rate", "system output"
    ]  # fmt: skip
    assert [s.id for s in view.sections] == ["comparison", "method", "provenance"]
    ids = [b.id for b in view.sections[0].leaves]
    assert ids == ["chart-both-ttft-cdf", "comparison", "blocks", "comparable"]
    assert view.lead is not None
    assert view.lead.id == "chart-blocks"
    (panel,) = view.lead.panels
    assert next((limit.value, limit.label) for limit in panel.limits) == (
        pytest.approx(105.0), "TTFT p50 limit +5.0%"
    )  # fmt: skip
    assert [line.name for line in panel.lines if line.is_guide] == ["no change"]


def test_html_is_whole_and_carries_both_arms(view: View) -> None:
    page = render_html(view)
    assert page == render_html(view)
    for anchor in ("chart-both-ttft-cdf", "chart-blocks", "blocks", "comparable"):
        assert f'id="{anchor}"' in page
    assert "10.9%" in page
    assert not re.search(r'(src|href)="https?://', page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert (data["baseline"], data["candidate"], data["num_blocks"]) == ("old", "new", 8)


def test_markdown_says_the_numbers_of_the_embedded_data(view: View) -> None:
    text = render_markdown(view)
    assert "| TTFT p50 | ❌ fail | +5.0% |" in text
    for row in view.data["metrics"]:
        change = row["change_ratio"]
        if change is not None and abs(change) > 0.01:
            assert f"{change * 100:+.1f}%" in text
    assert len(text.encode()) <= 60 * 1024


def test_junit_has_a_case_a_rule(view: View) -> None:
    root = ElementTree.fromstring(render_junit(view))
    cases = {c.get("name"): [child.tag for child in c] for c in root.findall(".//testcase")}
    assert cases == {"ttft": ["failure"], "tok": ["system-out"], "errors": ["skipped"]}


def test_two_lone_runs_are_told_apart_from_a_verdict(base: RunSample) -> None:
    slow = replace(base.summary, estimates=tuple(
        replace(e, value=e.value * 1.5, low=e.low * 1.5 if e.low else e.low,
                high=e.high * 1.5 if e.high else e.high) if e.value and e.unit == "s" else e
        for e in base.summary.estimates
    ))  # fmt: skip
    comparison = Comparison("a", "b", (), (), lone_rows([base.summary], [slow]))
    assert outcome_of(comparison) == "inconclusive"
    row = next(r for r in comparison.rows if (r.metric, r.stat) == ("ttft", "p50"))
    assert row.effect == pytest.approx(0.5)
    assert row.ci[0] is not None
    assert row.ci[1] is not None
    assert row.ci[0] < 0.5 < row.ci[1]  # from within the two runs, and so it is called
    line = comparison_headline(comparison)
    assert line.answer.startswith("INCONCLUSIVE: TTFT p50 +50.0%")
    assert "how much two runs of the same thing differ is not known" in line.detail
    page = render_html(
        build_gate_view(FACTS, comparison, [base.summary], (), outcome_of(comparison), [line])
    )
    assert "INCONCLUSIVE" in page


def make_history() -> View:
    return history_view("main", [
        Session(f"r{i}", f"2026-01-0{i + 1}", "k", "abc", {}, {"main/ttft/p50": (0.1, 0.11 + i)},
                "busy host" if i == 1 else "")
        for i in range(3)
    ])  # fmt: skip


def test_the_history_of_a_baseline_marks_what_is_out_of_use() -> None:
    page = render_html(make_history())
    assert "2 sessions in use." in page
    assert "quarantine: busy host" in page
    assert 'id="chart-history-main-ttft-p50"' in page


def test_a_history_is_headed_by_what_it_is() -> None:
    """Nothing is judged in it: no verdict, and no run."""
    page = render_html(make_history())
    assert '<h2 id="verdict-h">Baseline</h2>' in page
    assert "Verdict" not in page
    assert "Run main" not in page


def test_arms_that_are_called_what_they_are_need_no_introduction(view: View) -> None:
    assert view.sentences[0].detail.endswith("Candidate new, baseline old: comparable.")

"""The report of a calibration: steps, the law, what failed; no rate."""

from __future__ import annotations

import json

import reports
from harness.analysis.steps import StepRow
from harness.decisions import Headline
from harness.estimate import Outcome
from reports._embedded import embedded_json
from reports.view import Chart, Table
from tests.decisions.test_step_words import FIT

FACTS = reports.RunFacts(
    run_id="run", scenario="twin-sweep", description="", status="complete", created_utc="",
    provenance={}, given_text="", resolved_text="", targets=(("main", "tiny", "http://x/v1"),),
    duration_s=60.0, reproduce="harness run x",
)  # fmt: skip
ROWS = [
    StepRow(k, "decode", (2 + n * 0.1 + k) * 1e-3, n, 100.0 * n * (k + 1), 0, 0, False, 50)
    for n in (1, 4)
    for k in range(3)
] + [StepRow(9, "prefill", 6e-3, 0, 0.0, 400, 0, False, 4)]
LINE = Headline("Calibrated: well", "so it is.", "pass")


def view(**more: object) -> reports.View:
    given = {"fit": FIT, "rows": ROWS, "failures": (), "outcome": Outcome.PASS} | more
    return reports.build_calibration_view(
        FACTS, given["fit"], given["rows"], given["failures"], (), (), given["outcome"], (LINE,)
    )


def test_a_line_a_batch_and_a_row_a_measured_step() -> None:
    found = view()
    assert found.lead is not None
    assert found.lead.id == "chart-steps"
    assert [line.name for line in found.lead.panels[0].lines] == ["1 alone", "4 at once"]
    assert found.lead.panels[0].lines[0].x == (100.0, 200.0, 300.0)
    tables = {b.id: b for s in found.sections for b in s.leaves if isinstance(b, Table)}
    assert len(tables["decode-steps"].rows) == 6
    assert tables["decode-steps"].rows[0].cells[2].text == "2.10 ms"
    assert tables["prompt-steps"].rows[0].cells[0].text == "400"
    assert "plan replicas run" in found.next_step
    assert found.headline[0].id == "step-law"


def test_no_figure_of_a_load_is_in_any_form() -> None:
    found = view()
    for text in (reports.render_html(found), reports.render_markdown(found)):
        for word in ("completed/s", "TTFT p50", "Goodput"):
            assert word not in text
    assert set(json.loads(json.dumps(found.data))["steps"][0]) >= {"kind", "seconds", "law_s"}


def test_failures_are_told_and_a_run_that_is_no_calibration_too() -> None:
    lost = reports.Failures("concurrency-64", "http_5xx", 60, 64, "busy")
    found = view(fit=None, rows=(), failures=(lost,), outcome=Outcome.INVALID)
    assert [s.id for s in found.sections] == ["errors", "provenance"]
    assert not any(isinstance(b, Chart) for s in found.sections for b in s.leaves)
    assert "see Errors" in found.next_step
    reports.render_html(found)


def test_points_without_figures_are_embedded_as_they_are() -> None:
    point = {"name": "concurrency-1", "counts": {"success": 4}}
    assert json.loads(embedded_json({"points": [point]})) == {"points": [point]}


def test_a_spreadsheet_gets_a_row_a_step() -> None:
    head, first, *rest = reports.render_csv(view()).splitlines()
    assert head == "kind,num_seqs,context_tok,prompt_tok,cached_tok,num,seconds,law_s"
    assert first.startswith("decode,1,100,0,0,50,0.0021,")
    assert len(rest) == 6

"""What a reader meets: numbers that agree, few notices, labels apart, one chart that answers."""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from matplotlib.figure import Figure

from harness.analysis import Check, PointSummary, Series
from harness.decisions import Headline, wording
from harness.estimate import Estimate, Outcome, Verdict
from reports import RunFacts, View, build_view, render_html, render_markdown
from reports._next import next_step
from reports._text import amount, defined, span
from reports._uptime import errors_chart
from reports.charts import draw
from reports.charts._axes import log_ticks
from reports.charts._limits import draw_limits
from reports.charts._words import Board
from reports.view import Chart, Limit, Line, Panel


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    path = Path(__file__).with_name("sample.py")
    spec = importlib.util.spec_from_file_location("reading_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def view_of(points: list[PointSummary], verdicts: list[Verdict], **facts: Any) -> View:
    given: dict[str, Any] = {
        "run_id": "r", "scenario": "s", "description": "", "status": "complete",
        "created_utc": "2026-11-24T01:02:03+00:00", "provenance": {}, "given_text": "",
        "resolved_text": "", "targets": (), "duration_s": 77.4, "reproduce": "", **facts,
    }  # fmt: skip
    said = (Headline("FAIL", "", "fail"),)
    return build_view(RunFacts(**given), points, verdicts, Outcome.FAIL, said)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(0.0212, "ratio"), (0.1, "ratio"), (0.99954, "ratio"), (0.0138, "s/tok"), (0.0613, "s")],
)
def test_a_table_rounds_as_the_sentence_above_it(value: float, unit: str) -> None:
    assert amount(value, unit) == wording.amount(value, unit)


def test_amounts_fit_what_is_told() -> None:
    assert amount(0.0138, "s/tok") == "13.8 ms"
    assert amount(2.7e-8, "s") == "27 ns"
    assert amount(math.inf, "s") == "not reached"


def test_an_interval_without_numbers_is_not_put_in_words() -> None:
    lost = Estimate("ttft", "p95", "s", math.inf, math.inf, math.inf, n=9, reason="3 of 9 failed")
    assert span(lost) == ""
    assert span(replace(lost, low=0.2)) == "at least 200 ms"


def test_abbreviations_in_a_table_are_told_once_under_it() -> None:
    assert defined(["ttft", "error_rate", "ttft"]) == "TTFT: time to first token."


def test_a_failing_row_says_only_what_its_numbers_do_not(sample: ModuleType) -> None:
    lost = Estimate("ttft", "p95", "s", math.inf, math.inf, math.inf, n=9, reason="3 of 9 failed")
    seen = Estimate("error_rate", "ratio", "ratio", 0.3, 0.2, 0.4, n=9)
    verdicts = [
        Verdict("slo-ttft-p95", Outcome.FAIL, "TTFT p95 is not reached ...", lost, 0.4),
        Verdict("slo-error_rate-max", Outcome.FAIL, "error rate is 30% ...", seen, 0.1),
    ]
    table = view_of([sample.point(0, 2.0)], verdicts).verdict_table
    assert table is not None
    assert [row.detail for row in table.rows] == ["3 of 9 failed", ""]
    assert '<tr class="detail"><td colspan="6"><span>3 of 9 failed</span></td></tr>' in render_html(
        view_of([sample.point(0, 2.0)], verdicts)
    )


def test_a_sweep_tells_each_check_once_with_its_worst_point(sample: ModuleType) -> None:
    points = [sample.point(i, 2.0 * (i + 1)) for i in range(3)]
    late = Check("send_lag", "send lag p99", 0.09, "s", 0.001, 0.01, "notice", "lag was 90 ms")
    points[1] = replace(points[1], checks=(*points[1].checks, late))
    cpu = points[0].checks[1]
    worse = replace(cpu, value=0.81, sentence="the busiest load worker used 81% of its core")
    points[2] = replace(points[2], checks=(worse,))
    assert view_of(points, []).notices == (
        (
            "warning",
            "the busiest load worker used 81% of its core (at rate-6; also at rate-2 and rate-4)",
        ),
        ("warning", "lag was 90 ms (at rate-4)"),
    )


def test_a_gate_s_sixteen_runs_are_counted_not_listed(sample: ModuleType) -> None:
    notices = view_of([sample.point(i, 2.0 * (i + 1)) for i in range(16)], []).notices
    assert len(notices) == 1
    assert notices[0][1].endswith("(at rate-2; also at 15 more of 16)")


def test_the_first_screen_holds_a_chart_that_no_section_repeats(sample: ModuleType) -> None:
    for num, chart in ((1, "chart-nines-ttft"), (2, "chart-goodput")):
        page = render_html(sample.view(num))
        verdict, rest = page.split("</section>", 1)
        assert f'id="{chart}"' in verdict
        assert f'id="{chart}"' not in rest
        for table in ("verdicts",) if num == 1 else ("points", "verdicts"):
            assert f'id="{table}"' in verdict


def test_more_than_four_notices_wait_behind_a_disclosure(sample: ModuleType) -> None:
    point = sample.point(0, 2.0)
    checks = tuple(
        Check(f"c{k}", f"check {k}", 1.0, "count", 0.0, None, "notice", f"sentence {k}")
        for k in range(6)
    )
    page = render_html(view_of([replace(point, checks=checks)], []))
    assert "<summary>2 more notices</summary>" in page
    assert page.index("sentence 3") < page.index("2 more notices") < page.index("sentence 4")


def test_points_of_a_sweep_are_behind_disclosures_that_print_opens(sample: ModuleType) -> None:
    page = render_html(sample.view(2))
    assert re.search(r'<details class="group" id="point-time-0-0"><summary>rate-2: At most', page)
    assert 'querySelectorAll("details:not(.data)")' in page


def test_a_run_that_was_killed_does_not_claim_how_long_it_took(sample: ModuleType) -> None:
    point = sample.point(0, 2.0)
    assert dict(view_of([point], []).facts)["took"] == "77 s"
    assert "took" not in dict(view_of([point], [], duration_s=0.0).facts)


def test_provenance_reads_as_people_write(sample: ModuleType) -> None:
    told = {"argv": ["harness", "run", "my file"], "git": {"is_dirty": False}}
    provenance = {**told, "machine": {"memory_bytes": 25276510208}}
    page = render_html(view_of([sample.point(0, 2.0)], [], provenance=provenance))
    assert "harness run &#39;my file&#39;" in page
    assert "<dd>no</dd>" in page
    assert "<dd>25.3 GB</dd>" in page


def test_what_to_do_next(sample: ModuleType) -> None:
    one, two = [sample.point(0, 2.0)], [sample.point(i, 2.0 + i) for i in range(2)]
    slow = Verdict("slo-ttft-p50", Outcome.FAIL, "", Estimate("ttft", "p50", "s", 3.0, n=9), 1.0)
    assert "finds where the target stops" in next_step(
        Outcome.PASS, "complete", one, [], "20260101T000000Z-x-1"
    )
    assert "finds the load that still keeps" in next_step(
        Outcome.FAIL, "complete", one, [slow], "20260101T000000Z-x-1"
    )
    assert "add rates between" in next_step(
        Outcome.FAIL, "complete", two, [slow], "20260101T000000Z-x-1"
    )
    assert "add higher rates" in next_step(
        Outcome.PASS, "complete", two, [], "20260101T000000Z-x-1"
    )
    assert "--resume" in next_step(Outcome.INVALID, "interrupted", two, [], "20260101T000000Z-x-1")
    assert "mend that" in next_step(Outcome.INVALID, "complete", two, [], "20260101T000000Z-x-1")
    assert "longer window" in next_step(
        Outcome.INCONCLUSIVE, "complete", two, [], "20260101T000000Z-x-1"
    )
    busy = Check("stamps", "stamps", 0.2, "ratio", 0.01, 0.05, "absent", "the client was busy")
    open_rule = Verdict("slo-ttft-p50", Outcome.INCONCLUSIVE, "the client was busy")
    held = [replace(one[0], checks=(busy,))]
    assert "what withheld" in next_step(
        Outcome.INCONCLUSIVE, "complete", held, [open_rule], "20260101T000000Z-x-1"
    )
    view = sample.view()
    assert view.next_step
    assert view.next_step in render_markdown(view)
    assert view.next_step in render_html(view)


@pytest.mark.parametrize("low", [0.3, 1.0, 12.0, 29.9, 480.0])
@pytest.mark.parametrize("ratio", [1.6, 3.0, 6.5, 40.0, 900.0, 5e4])
def test_a_log_axis_has_a_few_ticks_inside_it(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert 3 <= len(ticks) <= 8
    assert all(low <= tick <= low * ratio for tick in ticks)


def test_limits_that_meet_share_words_and_neighbours_stand_apart() -> None:
    axes = Figure(figsize=(5, 3)).subplots()
    axes.set_xlim(1.0, 0.01)
    axes.set_ylim(0, 100)
    limits = [Limit(50, "p50 limit 50 ms", 0.5), Limit(50, "good request 50 ms"),
              Limit(52, "p95 limit 52 ms", 0.05)]  # fmt: skip
    draw_limits(axes, Board(axes), limits)
    axes.figure.draw_without_rendering()
    told = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(told) == {"p50 limit and good request 50 ms", "p95 limit 52 ms"}
    first, second = told.values()
    assert not first.overlaps(second)
    # a rule about p50 binds nothing beyond p50
    assert [list(line.get_xdata()) for line in axes.lines] == [
        [1.0, 0.5], [0.5], [1.0, 0.01], [1.0, 0.05], [0.05]
    ]  # fmt: skip


def test_a_limit_far_above_the_data_is_told_and_not_drawn(sample: ModuleType) -> None:
    point = sample.point(0, 2.0)
    slo = sample.SLO.model_validate({"ttft": {"p50": "1s", "max": "60s"}})
    lead = view_of([replace(point, meta=replace(point.meta, slo=slo))], []).lead
    assert lead is not None
    assert [limit.label for limit in lead.panels[0].limits] == ["p50 limit 1.00 s"]
    assert "Far above this axis: max limit 60.0 s." in lead.definition


def test_a_legend_lies_above_its_panel_and_steps_reach_the_end() -> None:
    x = (0.0, 1.0, 2.0)
    lines = tuple(Line(n, x, (1.0, 2.0, 1.0), is_step=True, width=1.0) for n in ("a", "b"))
    chart = Chart("c", "t", "", "", "", "s", (Panel("y", lines, bands=((0, 1, "warm-up"),)),))
    figure = draw(chart)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    box, words = legend.get_window_extent(), axes.texts[0].get_window_extent()
    assert box.y0 >= axes.get_window_extent().y1
    assert not box.overlaps(words)
    assert box.y1 <= figure.bbox.y1
    assert all(line.get_xdata()[-1] == 3.0 for line in axes.lines)


def test_a_band_of_steps_has_steps_as_long_as_its_line() -> None:
    line = Line("a", (0.0, 1.0), (2.0, 3.0), (1.0, 2.0), (2.0, 4.0), is_step=True, width=1.0)
    figure = draw(Chart("c", "t", "", "", "", "h", (Panel("y", (line,)),)))
    (band,) = figure.axes[0].collections
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    assert {(1.0, 2.0), (1.0, 4.0), (2.0, 2.0), (2.0, 4.0)} <= corners  # hour 1 to its end
    assert {(0.0, 1.0), (1.0, 1.0)} <= corners  # hour 0 level, no slope into the next


def test_a_page_that_judges_nothing_wears_no_badge(sample: ModuleType) -> None:
    page = render_html(replace(sample.view(1), outcome="", status="complete"))
    assert '<span class="badge' not in page
    assert "<title>sample</title>" in page


def test_a_band_stays_where_its_ends_are_known(sample: ModuleType) -> None:
    point = sample.point(0, 2.0)
    (first, *others) = point.curves
    curves = (replace(first, high=(*first.high[:-2], math.inf, math.inf)), *others)
    lead = view_of([replace(point, curves=curves)], []).lead
    assert lead is not None
    line = lead.panels[0].lines[0]
    assert [math.isnan(v) for v in line.high] == [False] * 5 + [True] * 2
    assert (
        "nan"
        not in render_html(view_of([replace(point, curves=curves)], []))
        .lower()
        .split("<svg", 2)[1]
        .split("</svg>")[0]
    )


def test_errors_over_time_are_counts_in_a_panel_a_class(sample: ModuleType) -> None:
    t = tuple(0.5 * k for k in range(200))
    few, many = (tuple(2.0 * (k % m == 0) for k in range(200)) for m in (50, 4))
    series = Series(0.5, 100.0, t, error_classes=("http_4xx", "truncated"),
                    errors_by_class=(few, many))  # fmt: skip
    chart = errors_chart(replace(sample.point(0, 2.0), series=series), "")
    assert chart is not None
    assert [panel.y_label for panel in chart.panels] == ["truncated", "http_4xx"]
    assert [sum(panel.lines[0].y) for panel in chart.panels] == [50.0, 4.0]
    assert "in bins of 1.5 s" in chart.definition
    assert chart.caption.startswith("Most were truncated, 50 of 54; the worst 1.5 s of them")


def test_unstable_loads_are_shaded_and_not_drawn_as_latency(sample: ModuleType) -> None:
    points = [sample.point(i, 2.0 * (i + 1)) for i in range(3)]
    absent = tuple(
        replace(e, value=None, low=None, high=None) if e.metric == "ttft" else e
        for e in points[2].estimates
    )
    points[2] = replace(points[2], is_stable=False, estimates=absent)
    charts = {b.id: b for s in view_of(points, []).sections for b in s.blocks}
    chart = charts["chart-load-ttft"]
    assert isinstance(chart, Chart)
    assert chart.panels[0].bands[0][0] == 5.0
    assert chart.caption.endswith("Not reported at 6.")
    assert chart.x_ticks == (2.0, 4.0, 6.0)


def test_a_log_axis_of_times_has_plain_numbers() -> None:
    line = Line("a", (10.0, 2000.0), (0.0, 100.0), is_step=True)
    figure = draw(Chart("c", "t", "", "", "", "ms", (Panel("%", (line,)),), x_scale="log"))
    figure.draw_without_rendering()
    told = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "100" in told
    assert not any("$" in text for text in told)


def test_a_run_without_its_end_is_called_partial_and_its_broken_point_is_no_mark(
    sample: ModuleType,
) -> None:
    points = [sample.point(i, 2.0 * (i + 1)) for i in range(3)]
    points[2] = replace(points[2], validity=Outcome.INVALID)
    view = view_of(points, [], status="running")
    assert view.lead is not None
    assert view.lead.panels[0].lines[0].x == (2.0, 4.0)
    assert "</span> partial</span>" in render_html(view)
    assert "<title>s: partial</title>" in render_html(view)
    assert render_markdown(view).startswith("## s: ❌ partial\n")


def test_an_overload_is_told_once_a_point_and_what_voids_it_not_at_all(sample: ModuleType) -> None:
    e = sample.point(0, 2.0).find("ttft", "p99")
    verdicts = [
        Verdict("slo-ttft-p50", Outcome.FAIL, "more than the capacity", e, 1.0, point="rate-2"),
        Verdict("slo-ttft-p95", Outcome.FAIL, "more than the capacity", e, 2.0, point="rate-2"),
        Verdict("slo-ttft-p99", Outcome.INVALID, "the client was late", e, 3.0, point="rate-4"),
    ]
    table = view_of([sample.point(i, 2.0 + i) for i in range(2)], verdicts).verdict_table
    assert table is not None
    assert sorted(row.detail for row in table.rows) == ["", "", "more than the capacity"]


def test_tpot_has_its_curve_and_counts_from_no_send(sample: ModuleType) -> None:
    point = sample.point(0, 2.0)
    curve = replace(point.curves[0], metric="tpot")
    view = view_of([replace(point, curves=(*point.curves, curve))], [])
    (chart,) = [b for s in view.sections for b in s.blocks if b.id == "chart-nines-tpot"]
    assert isinstance(chart, Chart)
    assert [line.name for line in chart.panels[0].lines] == ["TPOT"]
    assert "send" not in chart.definition


def test_notices_come_gravest_first(sample: ModuleType) -> None:
    point = sample.point(0, 2.0)
    checks = tuple(
        Check(status, status, 1.0, "count", 0.0, None, status, f"it is {status}")
        for status in ("notice", "absent", "invalid")
    )
    view = view_of([replace(point, checks=checks)], [])
    assert [severity for severity, _ in view.notices] == ["invalid", "withheld", "warning"]


def test_a_sweep_without_good_requests_has_no_column_for_them(sample: ModuleType) -> None:
    points = [sample.point(i, 2.0 + i) for i in range(2)]
    bare = [
        replace(p, estimates=tuple(e for e in p.estimates if e.metric != "slo_attainment"))
        for p in points
    ]
    (with_good,), (without,) = view_of(points, []).headline, view_of(bare, []).headline
    assert "good" in [name for name, _ in with_good.columns]
    assert "good" not in [name for name, _ in without.columns]
    assert all(len(row.cells) == len(without.columns) for row in without.rows)


def test_ticks_of_loads_do_not_touch() -> None:
    loads = (1.0, 2.0, 2.1, 64.0)
    line = Line("a", loads, loads, has_marks=True)
    chart = Chart("c", "t", "", "", "", "s", (Panel("y", (line,)),), x_ticks=loads)
    ticks = list(draw(chart).axes[0].get_xticks())
    low, high = draw(chart).axes[0].get_xlim()
    assert ticks[-1] == 64.0
    assert all(b - a > 0.05 * (high - low) for a, b in pairwise(ticks))

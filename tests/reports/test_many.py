"""Sixty points on a page: small, with the answer's details, and every other figure in a sheet."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from harness.analysis import ErrorRow, PointSummary
from harness.estimate import Estimate, Outcome
from reports import RunFacts, View, build_view, leaves_figures_out, render_csv, render_html
from reports._embedded import MOST_BYTES, embedded_json
from reports._many import MOST_DETAILED
from tests.decisions.rates import point
from tests.reports.test_capacity_section import load_rows
from tests.reports.test_reports import Page

FACTS = RunFacts(
    "20261127T010203Z-many-ab12cd", "many", "", "complete", "2026-11-27T01:02:03+00:00", {}, "",
    "", (("t", "m", "http://127.0.0.1:1/v1"),), 30.0, "harness run many",
)  # fmt: skip


@pytest.fixture(scope="module")
def one() -> PointSummary:
    return point(load_rows(), 8, 0.09)


def copies(one: PointSummary, num: int) -> list[PointSummary]:
    """One measured point at as many places of a grid."""
    found = []
    for k in range(num):
        lost = ErrorRow("timeout", k + 1, 0.0, 1.0, "slow")
        meta = replace(one.meta, index=k, label=f"cell-{k}", kind="closed", concurrency=k % 8 + 1,
                       offered_req_per_s=None, swept={"cell": k})  # fmt: skip
        found.append(replace(one, meta=meta, errors=(lost,)))
    return found


@pytest.fixture(scope="module")
def view(one: PointSummary) -> View:
    return build_view(FACTS, copies(one, 60), (), Outcome.PASS, ())


@pytest.fixture(scope="module")
def page(view: View) -> str:
    return render_html(view)


def test_the_page_and_its_data_stay_small(page: str) -> None:
    assert len(page.encode()) <= 1_500_000
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert len(data[1].encode()) <= 1_000_000
    assert "points.csv" in json.loads(data[1])["left_out"]
    ids = Page(page).ids
    assert len(ids) == len(set(ids))


def test_every_point_is_in_the_shared_tables_and_some_have_their_own(view: View, page: str) -> None:
    tables = {b.id: b for s in view.sections for b in s.leaves}
    for name in ("latency-by-point", "errors-by-point"):
        told = {cell.text for row in tables[name].rows for cell in row.cells}  # type: ignore[union-attr]
        assert {f"cell-{k}" for k in range(60)} <= told
    own = re.findall(r'<details class="group" id="point-latency-(\d+)-0"', page)
    assert own == ["0", "20", "39", "59"]  # from the first to the last
    assert set(re.findall(r'id="chart-heatmap-(\d+)-0"', page)) == set(own)
    (section,) = [s for s in view.sections if s.id == "latency"]
    assert "Tables of their own at cell-0, cell-20, cell-39 and cell-59;" in section.lead
    assert "points.csv beside this file" in section.lead


def test_checks_are_told_at_their_worst(one: PointSummary) -> None:
    points = copies(one, 13)
    first = points[0].checks[0]
    late = replace(first, value=0.5, status="invalid", sentence="late")
    points[7] = replace(points[7], checks=(late, *points[7].checks[1:]))
    view = build_view(FACTS, points, (), Outcome.INVALID, ())
    (table,) = [b for s in view.sections for b in s.leaves if b.id == "checks"]
    row = table.rows[0]  # type: ignore[union-attr]
    assert [c.text for c in row.cells][:2] == [first.title, "invalid"]
    assert [c.text for c in row.cells][3:5] == ["cell-7", "1 of 13"]
    assert len(table.rows) == len(points[0].checks)  # type: ignore[union-attr]


def test_the_sheet_has_every_estimate_of_every_point(view: View, one: PointSummary) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(view))))
    assert len(rows) == 60 * len(one.estimates)
    for row, e in zip(rows[-len(one.estimates) :], one.estimates, strict=True):
        assert (row["point"], row["metric"], row["stat"], row["n"]) == (
            "cell-59", e.metric, e.stat, str(e.n)
        )  # fmt: skip
        assert row["value"] == ("" if e.value is None else f"{e.value:.6g}")
    assert leaves_figures_out(view)


def test_up_to_a_dozen_points_keep_all_of_theirs(one: PointSummary) -> None:
    view = build_view(FACTS, copies(one, MOST_DETAILED), (), Outcome.PASS, ())
    assert not leaves_figures_out(view)
    groups = [b.id for s in view.sections if s.id == "latency" for b in s.blocks]
    assert sum(name.startswith("point-latency-") for name in groups) == MOST_DETAILED
    assert "left_out" not in json.loads(embedded_json(view.data))


def test_what_is_embedded_reads_back_as_what_was_stored(one: PointSummary) -> None:
    view = build_view(FACTS, copies(one, 2), (), Outcome.PASS, ())
    text = embedded_json(view.data)
    assert len(text) <= MOST_BYTES
    for point_, s in zip(json.loads(text)["points"], copies(one, 2), strict=True):
        for row, e in zip(point_["estimates"], s.estimates, strict=True):
            again = Estimate.from_json(row)
            assert replace(again, value=e.value, low=e.low, high=e.high, n_eff=e.n_eff) == e
            if e.value is not None:
                assert again.value == pytest.approx(e.value, rel=1e-5)

"""Heatmap and waterfall: every request in a box of the right shade, and words for both pictures."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.analysis import PointSummary
from harness.analysis.heatmap import Heatmap
from harness.analysis.waterfall import Passage, Waterfall
from harness.estimate import Outcome
from reports import RunFacts, build_view, render_html
from reports._requests import _shades, heatmap_chart, waterfall_chart
from tests.decisions.rates import point
from tests.reports.test_capacity_section import load_rows

EDGES = (0.1, 0.2, 0.4, 0.8)


class Bare:
    """A point that has these two alone."""

    def __init__(self, heatmap: Heatmap | None = None, waterfall: Waterfall | None = None) -> None:
        self.heatmap, self.waterfall = heatmap, waterfall


def heat(counts: Any, failed: Any, thirds: Any = (0.1, 0.2, 0.4)) -> Heatmap:
    return Heatmap("ttft", 1.0, float(len(counts)), EDGES, counts, failed, thirds)


@pytest.fixture(scope="module")
def measured() -> PointSummary:
    return point(load_rows(), 4, 0.08)


def test_a_box_a_count_and_failures_in_a_row_of_their_own() -> None:
    chart = heatmap_chart(Bare(heat(((3, 0, 1), (0, 20, 0)), (0, 2))), "")  # type: ignore[arg-type]
    assert chart is not None
    (panel,) = chart.panels
    drawn = {b.name: b.boxes for b in panel.boxes}
    # 20 requests at most: shades of 1, 2, 3, 4 to 6, 7 to 11, 12 to 20
    assert {name: len(boxes) for name, boxes in drawn.items()} == {
        "1 request": 1, "3 requests": 1, "12 to 20 requests": 1, "failed": 1,
    }  # fmt: skip
    assert drawn["1 request"] == ((0.0, 1.0, 400.0, 800.0),)
    assert drawn["12 to 20 requests"] == ((1.0, 2.0, 200.0, 400.0),)
    ((_, _, low, high),) = drawn["failed"]
    assert 800 < low < high
    assert panel.y_ticks[0][1] == "failed"
    assert chart.caption == (
        "TTFT rose: median 100 ms in the first third of the window, 400 ms in the last. 2 failed."
    )
    assert "The slowest lie between 400 ms and 800 ms, first at 0 s" in chart.description
    header, groups = chart.data
    assert header[-1] == "requests"
    assert [(name, [row[-1] for row in rows]) for name, rows in groups] == [
        ("answered", ["3", "1", "20"]), ("failed", ["2"]),
    ]  # fmt: skip


@pytest.mark.parametrize("most", [1, 2, 3, 7, 40, 5000])
def test_shades_hold_every_count_once(most: int) -> None:
    shades = _shades(heat(((most, 0, 1),), (0,)))
    held = [n for low, high, _ in shades for n in range(low, high + 1)]
    assert held == list(range(1, most + 1))
    tones = [shade for *_, shade in shades]
    assert tones == sorted(set(tones))
    assert all(0.2 <= tone <= 1 for tone in tones)


def test_a_level_latency_is_called_level() -> None:
    counts = ((1, 1, 1),)
    told = heatmap_chart(Bare(heat(counts, (0,), (0.2, 0.2, 0.21))), "")  # type: ignore[arg-type]
    assert told is not None
    assert told.caption.startswith("TTFT kept its level: median 200 ms in the first third")
    dip = heatmap_chart(Bare(heat(counts, (0,), (0.4, 0.2, 0.4))), "")  # type: ignore[arg-type]
    assert dip is not None
    assert "moved within the window: median 400 ms, 200 ms and 400 ms in its" in dip.caption
    fell = heatmap_chart(Bare(heat(counts, (0,), (0.4, 0.2, 0.2))), "")  # type: ignore[arg-type]
    assert fell is not None
    assert fell.caption.startswith("TTFT fell: median 400 ms")


def test_the_parts_of_a_bar_follow_one_another() -> None:
    whole = Passage(
        0.0, 2.0, "chat", sent_s=0.2, connect_s=0.1, server_queue_s=0.3, first_token_s=1.0,
        stall_s=(1.2, 1.6),
    )  # fmt: skip
    lost = Passage(1.0, 1.5, "chat", "timeout", sent_s=0.1)
    chart = waterfall_chart(Bare(waterfall=Waterfall(2, (whole, lost))), "")  # type: ignore[arg-type]
    assert chart is not None
    (panel,) = chart.panels
    top = {b.name: [box[:2] for box in b.boxes if box[2] > 1] for b in panel.boxes}
    assert top == {
        "held by the client": [(0.0, 0.1)], "connecting": [(0.1, 0.2)],
        "server's queue": [(0.2, 0.5)], "to the first token": [(0.5, 1.0)],
        "streaming": [(1.0, 2.0)], "longest stall": [(1.2, 1.6)], "failed": [],
    }  # fmt: skip
    (failed,) = [b for b in panel.boxes if b.name == "failed"]
    assert failed.tone == "limit"
    assert failed.boxes[0][:2] == (0.1, 1.5)
    assert chart.caption == (
        "The slowest of 2 took 2.00 s. Of the time of the slowest 2, 28.6% was streaming, 14.3% was"
        " waiting for the first token, 8.6% was the server's queue, 5.7% was spent before the send"
        " and 2.9% went into connecting. 1 of them failed."
    )
    assert "The server's queue is its own account." in chart.definition


def test_what_is_too_short_to_be_seen_is_told() -> None:
    quick = tuple(
        Passage(0.0, 1.0, "chat", sent_s=1e-3, connect_s=5e-4, first_token_s=0.5) for _ in range(60)
    )
    chart = waterfall_chart(Bare(waterfall=Waterfall(900, quick[:50], quick[:10])), "")  # type: ignore[arg-type]
    assert chart is not None
    assert [p.y_label for p in chart.panels] == ["50 slowest", "10 at random"]
    assert {b.name for b in chart.panels[0].boxes} == {"to the first token", "streaming"}
    assert chart.definition.endswith(
        "Too short to be seen: held by the client at most 500 us and connecting at most 500 us."
    )
    assert chart.x_label == "seconds from the intended send"


def test_one_load_has_both_pictures_and_their_data(measured: PointSummary) -> None:
    facts = RunFacts(
        "r", "s", "", "complete", "2026-11-27T01:02:03+00:00", {}, "", "",
        (("t", "m", "http://127.0.0.1:1/v1"),), 30.0, "harness run s",
    )  # fmt: skip
    view = build_view(facts, [measured], (), Outcome.PASS, ())
    (section,) = [s for s in view.sections if s.id == "time"]
    assert [b.id for b in section.blocks] == ["chart-time", "chart-heatmap", "chart-waterfall"]
    page = render_html(view)
    for chart in ("chart-heatmap", "chart-waterfall"):
        figure = re.search(rf'id="{chart}">.*?</figure>', page, re.DOTALL)
        assert figure is not None
        assert 'role="img"' in figure[0]
        assert re.search(r"<desc [^>]*>TTFT|<desc [^>]*>The slowest", figure[0])
        assert figure[0].count("<tr>") > 20
    heat_svg = re.search(r'id="chart-heatmap">.*?</svg>', page, re.DOTALL)
    assert heat_svg is not None
    assert len(heat_svg[0]) < 60_000

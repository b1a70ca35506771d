"""A chart's picture: what is drawn lies where the numbers say, and no words cover others."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reports
from reports.charts import draw
from reports.charts._above import legend_rows, words_above
from reports.charts._axis import Axis, linear_ticks, log_ticks, x_axis, y_axis
from reports.charts._frame import Frame
from reports.charts._limits import _free, _line_box, limit_parts, words_of
from reports.svg import polyline
from reports.view import Boxes, Chart, Limit, Line, Panel

TENTHS = st.integers(0, 40).map(lambda k: k / 10)


def chart_of(*panels: Panel, **more: object) -> Chart:
    return Chart("c", "t", "", "", "", "x", panels, **more)  # type: ignore[arg-type]


def walked(data: str) -> list[list[tuple[float, float]]]:
    """The corners of each stroke of path data made of M, L, H, V and Z."""
    strokes: list[list[tuple[float, float]]] = []
    for letter, numbers in re.findall(r"([MLHVZ])([-\d. ]*)", data):
        values = [float(v) for v in numbers.split()]
        if letter == "M":
            strokes.append([(values[0], values[1])])
        elif letter == "Z":
            strokes[-1].append(strokes[-1][0])
        else:
            x, y = strokes[-1][-1]
            strokes[-1].append(
                (values[0], y) if letter == "H" else (x, values[0]) if letter == "V"
                else (values[0], values[1])
            )  # fmt: skip
    return strokes


def drawn(chart: Chart, name: str) -> list[ElementTree.Element]:
    """The elements of a class."""
    tree = ElementTree.fromstring(draw(chart))
    return [e for e in tree.iter() if name in (e.get("class") or "").split()]


def corners(chart: Chart, name: str) -> list[list[tuple[float, float]]]:
    return [stroke for e in drawn(chart, name) for stroke in walked(e.get("d", ""))]


def told(chart: Chart, name: str) -> list[str]:
    return ["".join(e.itertext()) for e in drawn(chart, name)]


def unit_frame(y: Axis) -> Frame:
    return Frame(0.0, 0.0, 300.0, 100.0, Axis(0.0, 1.0, False, ()), y)


@given(st.lists(st.tuples(TENTHS, TENTHS), min_size=1, max_size=30))
def test_a_path_visits_every_turn_and_nothing_else(points: list[tuple[float, float]]) -> None:
    """What polyline leaves out lies between its neighbours: the length walked is the same."""

    def length(places: list[tuple[float, float]]) -> float:
        return sum(math.dist((a, b), (c, d)) for (a, b), (c, d) in pairwise(places))

    (stroke,) = walked(polyline(points))
    assert stroke[0] == points[0]
    assert stroke[-1] == points[-1]
    assert set(stroke) <= set(points)
    assert length(stroke) == pytest.approx(length(points))


@pytest.mark.parametrize("low", [0.3, 1.0, 12.0, 29.9, 480.0])
@pytest.mark.parametrize("ratio", [1.2, 1.6, 3.0, 6.5, 40.0, 900.0, 5e4])
def test_a_log_axis_has_a_few_ticks_inside_it(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert 3 <= len(ticks) <= 10
    assert all(low <= tick <= low * ratio for tick in ticks)


@given(st.floats(-1e3, 1e6), st.floats(1e-3, 1e6), st.integers(4, 8))
def test_a_linear_axis_has_evenly_spaced_round_ticks(low: float, width: float, most: int) -> None:
    ticks = linear_ticks(low, low + width, most)
    assert 1 <= len(ticks) <= most + 1
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)
    steps = {float(f"{b - a:.6g}") for a, b in pairwise(ticks)}
    assert len(steps) <= 1
    assert all(f"{s:.2e}"[:4] in ("1.00", "2.00", "2.50", "5.00") for s in steps)


def test_ticks_of_counts_are_whole() -> None:
    for top in range(1, 200):
        assert all(t == round(t) for t in linear_ticks(0, top, 5, least=1.0))


def test_a_log_axis_of_times_has_plain_numbers() -> None:
    line = Line("a", (10.0, 2000.0), (0.0, 100.0), is_step=True)
    axis = x_axis(chart_of(Panel("%", (line,)), x_scale="log"))
    assert [words for _, words in axis.ticks] == ["10", "20", "50", "100", "200", "500", "1,000",
                                                  "2,000"]  # fmt: skip


def test_every_nine_is_as_wide_as_the_last() -> None:
    line = Line("a", (0.8, 0.1, 0.01, 0.001), (1.0, 2.0, 3.0, 4.0))
    axis = x_axis(chart_of(Panel("ms", (line,)), x_scale="nines"))
    at = {words: axis.place(value) for value, words in axis.ticks}
    assert at["p99.9"] - at["p99"] == pytest.approx(at["p99"] - at["p90"])
    assert 0 < at["p50"] < at["p90"]


def test_ticks_of_loads_do_not_touch() -> None:
    loads = (1.0, 2.0, 2.1, 64.0)
    line = Line("a", loads, loads, has_marks=True)
    axis = x_axis(chart_of(Panel("y", (line,)), x_ticks=loads))
    ticks = [value for value, _ in axis.ticks]
    assert ticks[-1] == 64.0
    assert all(axis.place(b) - axis.place(a) > 0.05 for a, b in pairwise(ticks))


def test_a_line_and_its_bars_lie_where_the_axes_say() -> None:
    line = Line("a", (0.0, 10.0), (5.0, 10.0), (4.0, 8.0), (6.0, 20.0), has_marks=True)
    chart = chart_of(Panel("y", (line,)))
    (axis,) = corners(chart, "axis")[:1]
    (left, top), (_, bottom), (right, _) = axis
    x, y = x_axis(chart), y_axis(chart.panels[0])

    def at(a: float, b: float) -> tuple[float, float]:
        px = left + (right - left) * (a - x.first) / (x.last - x.first)
        py = bottom + (top - bottom) * (b - y.first) / (y.last - y.first)
        return pytest.approx(px, abs=0.11), pytest.approx(py, abs=0.11)  # type: ignore[return-value]

    assert corners(chart, "line")[0] == [at(0, 5), at(10, 10)]
    bars = [stroke for stroke in corners(chart, "bar") if stroke[0][0] == stroke[1][0]]
    assert bars == [[at(0, 4), at(0, 6)], [at(10, 8), at(10, 20)]]


def test_limits_that_meet_share_words_and_neighbours_stand_apart() -> None:
    limits = [Limit(50, "p50 limit 50 ms", 0.5), Limit(50, "good request 50 ms"),
              Limit(52, "p95 limit 52 ms", 0.05)]  # fmt: skip
    assert list(words_of(limits).values()) == [
        "p50 limit and good request 50 ms", "p95 limit 52 ms"
    ]  # fmt: skip
    frame = unit_frame(Axis(0.0, 100.0, False, ()))
    taken = [_line_box(frame, 50), _line_box(frame, 52)]
    for value, words in ((52, "p95 limit 52 ms"), (50, "p50 limit and good request 50 ms")):
        box, _ = _free(frame, value, words, taken)
        assert not any(box.meets(other) for other in taken)
        taken.append(box)
    # a rule about p50 binds nothing beyond p50
    tree = ElementTree.fromstring("".join(limit_parts(frame, limits)))
    lines = [e for e in tree if e.get("class") == "limit-line"]
    ends = [walked(e.get("d", ""))[0][-1][0] for e in lines]
    assert ends == [150.0, 300.0, 15.0]


def test_words_of_a_limit_keep_off_the_data_where_they_can() -> None:
    frame = unit_frame(Axis(0.0, 100.0, False, ()))
    above, under = frame.places((0.0, 1.0), (56.0, 56.0)), frame.places((0.0, 1.0), (44.0, 44.0))
    for drawn_lines, is_lower in (([above], True), ([under], False), ([above, above, under], True)):
        _, is_under = _free(frame, 50, "a limit", [_line_box(frame, 50)], drawn_lines)
        assert is_under is is_lower


def test_a_legend_lies_above_its_panel_and_the_words_of_its_bands() -> None:
    x = (0.0, 1.0, 2.0)
    lines = tuple(Line(n, x, (1.0, 2.0, 1.0), is_step=True, width=1.0) for n in ("a", "b"))
    chart = chart_of(Panel("y", lines, bands=((0, 1, "warm-up"),)))
    (axis,) = corners(chart, "axis")[:1]
    (words,) = [e for e in drawn(chart, "small") if e.text == "warm-up"]
    names = [float(e.get("y", "0")) for e in drawn(chart, "mid") if e.text in ("a", "b")]
    assert len(names) == 2
    assert max(names) + 5 < float(words.get("y", "0")) < axis[0][1]
    assert min(names) > 4
    # steps reach the end of the last one
    right = max(px for stroke in corners(chart, "line") for px, _ in stroke)
    assert right == pytest.approx(axis[2][0] - 0.02 / 1.02 * (axis[2][0] - axis[1][0]), abs=0.2)


def test_a_legend_goes_on_in_another_line_before_it_leaves_the_page() -> None:
    lines = tuple(Line(f"a name of some length {k}", (1.0,), (1.0,)) for k in range(5))
    rows = legend_rows(Panel("y", (*lines[:4], Line("guide", (1.0,), (1.0,), is_guide=True))),
                       320.0, is_told=True)  # fmt: skip
    assert [len(row) for row in rows] == [2, 2, 1]
    assert rows[-1][0].name == "guide"
    assert legend_rows(Panel("y", lines[:1]), 320.0, is_told=True) == []


def test_words_above_a_panel_keep_apart_and_inside() -> None:
    panel = Panel("y", (), bands=((0, 2, "outage"), (2, 3, "drain of the last"), (9, 10, "end")),
                  marks=((9.9, "highest rate that holds"),))  # fmt: skip
    found = words_above(panel, [299.0, 30.0, 75.0, 295.0], 0.0, 300.0)
    assert [w.text for w in found] == ["highest rate that holds", "outage", "drain of the last",
                                       "end"]  # fmt: skip
    spans = []
    for w in found:
        width = 5.4 * len(w.text)
        start = {"start": w.x, "middle": w.x - width / 2, "end": w.x - width}[w.anchor]
        assert start >= 0
        assert start + width <= 300.0
        spans.append((w.row, start, start + width))
    for row, a, b in spans:
        assert [s for s in spans if s[0] == row and s[1] < b and a < s[2]] == [(row, a, b)]


def test_a_band_of_steps_has_steps_as_long_as_its_line() -> None:
    line = Line("a", (0.0, 1.0), (2.0, 3.0), (1.0, 2.0), (2.0, 4.0), is_step=True, width=1.0)
    chart = chart_of(Panel("y", (line,)))
    (band,), (steps,) = corners(chart, "band"), corners(chart, "line")
    (axis,) = corners(chart, "axis")[:1]
    top_of = {v: axis[1][1] - (axis[1][1] - axis[0][1]) * v / (4 * 1.08) for v in (1, 2, 4)}
    hour_1, end = steps[1][0], steps[-1][0]
    heights = {x: {y for at, y in band if at == x} for x in (steps[0][0], hour_1, end)}
    assert sorted(heights[end]) == pytest.approx([top_of[4], top_of[2]], abs=0.1)
    assert sorted(heights[steps[0][0]]) == pytest.approx([top_of[2], top_of[1]], abs=0.1)
    assert len(heights[hour_1]) == 3  # level, no slope into the next


def test_boxes_of_one_meaning_are_one_path() -> None:
    boxes = Boxes("failed", ((0, 1, 0, 1), (1, 2, 1, 2)), "limit", 0.5)
    chart = chart_of(Panel("y", (), boxes=(boxes,), num_rows=4))
    (path,) = drawn(chart, "box")
    assert path.get("fill-opacity") == "0.5"
    assert len(walked(path.get("d", ""))) == 2


def test_a_chart_has_only_classes_that_the_sheet_styles() -> None:
    """Else a path would be filled black in every theme."""
    css = (Path(reports.__file__).parent / "static" / "report.css").read_text("utf-8")
    line = Line("a", (1.0, 2.0), (1.0, 2.0), (1.0, 1.0), (2.0, 3.0), has_marks=True, is_hollow=True,
                labels=("x", "y"))  # fmt: skip
    many = tuple(Line(f"{k}", (1.0, 2.0), (1.0, 2.0), (0.5, 1.0), (2.0, 3.0)) for k in range(6))
    guide = Line("g", (1.0, 2.0), (1.0, 2.0), is_guide=True)
    boxes = Boxes("b", ((0, 1, 0, 1),), "limit", 0.5)
    chart = chart_of(
        Panel("y", (line, *many, guide), limits=(Limit(1.5, "limit", 1.5), Limit(1.6, "other")),
              bands=((0, 1, "band"),), marks=((1, "mark"),)),
        Panel("z", (), boxes=(boxes,)),
    )  # fmt: skip
    used = {c for words in re.findall(r'class="([^"]+)"', draw(chart)) for c in words.split()}
    assert {"s0", "s5", "guide", "limit", "hollow", "box", "band", "bar", "halo"} <= used
    unstyled = {c for c in used if not re.search(rf"\.{re.escape(c)}\b", css)}
    assert unstyled == {"tick"}  # as .chart text


def test_markup_in_a_chart_s_words_stays_text() -> None:
    line = Line("<b>&", (1.0, 2.0), (1.0, 2.0))
    assert told(chart_of(Panel("y", (line, line))), "mid").count("<b>&") == 2

"""Words on a picture lie on nothing, ticks say where they stand, intervals go to their end."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from reports.charts import draw
from reports.charts._axes import numbers
from reports.svg import LIMIT, to_inline_svg
from reports.view import Chart, Limit, Line, Panel


def chart(panel: Panel, **given: object) -> Chart:
    return Chart("c", "t", "", "", "d", "x", (panel,), **given)  # type: ignore[arg-type]


def words(figure: Figure) -> dict[str, Bbox]:
    """Extents of what is written inside the axes or right above them, in pixels."""
    figure.draw_without_rendering()
    (axes,) = figure.axes
    return {t.get_text(): t.get_window_extent() for t in axes.texts}


def curve(axes: Axes) -> Path:
    line = max(axes.lines, key=lambda one: len(one.get_xdata()))
    return line.get_transform().transform_path(line.get_path())


def test_a_limit_is_named_where_no_curve_runs() -> None:
    xs = tuple(float(k) for k in range(1, 17))
    ys = tuple(105.25 if x < 8 else 99.0 for x in xs)  # over the left end of the limit
    figure = draw(chart(Panel("%", (Line("a", xs, ys, has_marks=True),), "log",
                              (Limit(105.0, "TTFT p50 limit +5.0%"),))))  # fmt: skip
    (box,) = words(figure).values()
    assert not curve(figure.axes[0]).intersects_bbox(box, filled=False)
    assert figure.axes[0].get_window_extent().padded(2).contains(box.x1, box.y1)


def test_a_limit_stays_at_the_left_where_it_can() -> None:
    line = Line("a", (1.0, 9.0), (10.0, 20.0), has_marks=True)
    figure = draw(chart(Panel("ms", (line,), limits=(Limit(60.0, "limit 60 ms"),))))
    (box,) = words(figure).values()
    area = figure.axes[0].get_window_extent()
    assert box.x0 - area.x0 < 0.05 * area.width


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.5, 3.0])
def test_words_above_a_panel_do_not_touch(gap: float) -> None:
    panel = Panel(
        "USD", (Line("a", (0.0, 20.0), (1.0, 2.0)),),
        bands=((9.0, 9.4, "crossing"), (16.0, 20.0, "overload")),
        marks=((9.4 + gap, "your traffic"),),
    )  # fmt: skip
    boxes = words(draw(chart(panel)))
    assert set(boxes) == {"crossing", "overload", "your traffic"}
    assert not any(a.overlaps(b) for a, b in combinations(boxes.values(), 2))


def test_a_word_that_would_lie_on_itself_is_written_once() -> None:
    bands = tuple((x, x + 0.1, "down") for x in (3.0, 3.3, 12.0))
    figure = draw(chart(Panel("%", (Line("a", (0.0, 20.0), (1.0, 2.0)),), bands=bands)))
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert len(boxes) >= 2
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_labels_of_near_marks_stand_apart() -> None:
    line = Line("a", (10.0, 10.05, 30.0), (10.0, 10.2, 30.0), has_marks=True,
                labels=("2", "4", "8"))  # fmt: skip
    boxes = words(draw(chart(Panel("tok/s", (line,)))))
    assert set(boxes) == {"2", "4", "8"}
    assert not boxes["2"].overlaps(boxes["4"])


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ((97.5, 100.0, 102.5), ["97.5", "100", "102.5"]), ((0.0, 0.5, 1.0), ["0", "0.5", "1"]),
        ((1000.0, 1001.0), ["1,000", "1,001"]), ((1.0, 1.37, 214833.6), ["1", "1.37", "215,000"]),
        ((2.3333333, 4.6666667), ["2.33", "4.67"]),
        ((7.0,), ["7"]), ((), []),
    ],
)  # fmt: skip
def test_a_tick_says_where_it_stands(ticks: tuple[float, ...], told: list[str]) -> None:
    word = numbers(ticks)
    assert [word(tick, None) for tick in ticks] == told


def test_an_interval_without_an_end_goes_to_the_top_and_one_not_known_is_no_bar() -> None:
    line = Line("a", (1.0, 2.0, 3.0), (5.0, 6.0, 7.0), (4.0, math.nan, 6.0),
                (6.0, math.nan, math.inf), has_marks=True)  # fmt: skip
    figure = draw(chart(Panel("ms", (line,), "log")))
    (axes,) = figure.axes
    top = axes.get_ylim()[1]
    assert [[3.0, 3.0], [7.0, top]] in [
        [list(one.get_xdata()), list(one.get_ydata())] for one in axes.lines
    ]
    (bars,) = axes.collections
    assert isinstance(bars, LineCollection)
    ends = [one for one in bars.get_segments() if len(one) == 2 and math.isfinite(one[0][1])]
    drawn = [(float(a[0]), float(a[1]), float(b[1])) for a, b in ends]
    assert drawn == [(1.0, 4.0, 6.0), (3.0, 6.0, 7.0)]
    header, groups = chart(Panel("ms", (line,))).data
    assert header == ("x", "value", "low", "high")
    assert groups[0][1][1:] == (("2", "6", "", ""), ("3", "7", "6", "not reached"))


def test_large_numbers_of_a_sheet_have_no_exponent() -> None:
    line = Line("a", (2.5e7,), (1.23456e5,))
    assert line.rows(has_ends=False) == (("25000000", "123460"),)


def test_a_formula_is_a_name_and_a_colour_in_a_name_is_none() -> None:
    lines = (Line(r"$\frac{a}$ #c0ffee", (0.0, 1.0), (1.0, 2.0)), Line("_b", (0.0,), (1.0,)))
    page = to_inline_svg(draw(chart(Panel("y", lines, limits=(Limit(1.0, "$x$"),)))), "c", "t", "d")
    for name in (r"$\frac{a}$ #c0ffee", "_b", "$x$"):
        assert f">{name}</text>" in page
    assert "var(--limit)" in page
    assert LIMIT not in page


def test_a_legend_of_long_names_stays_inside() -> None:
    names = ("20261128T002810Z-a-scenario-with-a-name-ab12cd@" + "x" * 60, "short")
    lines = tuple(Line(name, (0.0, 1.0), (1.0, 2.0)) for name in names)
    figure = draw(chart(Panel("y", lines)))
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    told = [text.get_text() for text in legend.get_texts()]
    assert told[0].startswith("20261128T002810Z")
    assert "…" in told[0]

"""One function draws every chart of a report: stacked panels of lines or boxes over one x axis."""

from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from reports.charts._axes import dress, fill_y, scale_x, scale_y
from reports.charts._limits import draw_limits
from reports.charts._series import draw_boxes, draw_guide, draw_line, draw_open_ends
from reports.charts._ticks import draw_names, draw_ticks
from reports.charts._words import SIZE_PT, Board, Spot
from reports.svg import LIMIT, SERIES, SHADE, TEXT
from reports.view import Chart, Panel

# Drawn near the width of a phone's screen, so that text scales up from there and never below.
WIDTH_IN, WIDE_IN = 5.2, 9.4
ROW_IN = 0.19  # a line of small text
BOX_IN = 0.045  # a row of boxes
LONGEST = 56  # letters of a name in a legend; the data below the picture has all of it
MOST_COLUMNS = 5
HANDLE_PT, LETTER_PT = 44.0, 4.5  # of a name in a legend: its sign and gap, each of its letters
ROOM = 0.82  # of a figure, for its axes


def draw(chart: Chart) -> Figure:
    """The chart's Figure; nothing global to close. Names are no formulas: `$` is a letter."""
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        # a letter that matplotlib's font lacks is in the reader's
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        return _drawn(chart)


def _drawn(chart: Chart) -> Figure:
    num = len(chart.panels)
    width = WIDE_IN if chart.is_wide else WIDTH_IN
    head = 0.08 + ROW_IN * _rows_above(chart.panels[0], width)
    bodies = [_body_in(panel, num) for panel in chart.panels]
    body = sum(bodies) / num
    height = head + sum(bodies) + (num - 1) * 0.3 + 0.5
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(
        num, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": bodies}
    )[:, 0]
    for k, (axes, panel) in enumerate(zip(grid, chart.panels, strict=True)):
        named = _panel(axes, panel)
        # boxes of several panels mean the same: one legend tells them
        if len(panel.names) > 1 and not (k and panel.boxes):
            _legend(axes, panel, named, _columns(panel, width))
    scale_x(grid[-1], chart.x_scale, _every_x(chart), chart.x_ticks)
    figure.subplots_adjust(
        left=0.085 if chart.is_wide else 0.15,
        right=0.975, top=1 - head / height, bottom=0.46 / height, hspace=0.3 / body,
    )  # fmt: skip
    for axes, panel in zip(grid, chart.panels, strict=True):  # scales and places are known
        _finish(axes, panel)
        draw_ticks(figure, axes, has_x_numbers=axes is grid[-1])
    draw_names(figure, list(grid), chart.x_label, [panel.y_label for panel in chart.panels])
    return figure


def _body_in(panel: Panel, num: int) -> float:
    """Height of its axes, inches."""
    if panel.num_rows:
        return 0.25 + BOX_IN * panel.num_rows
    return 2.35 if num == 1 else 1.35 if num <= 4 else 1.0


def _every_x(chart: Chart) -> list[float]:
    """Everything that the x axis must hold, the ends of steps, bands and limits with it."""
    found: list[float] = list(chart.x_ticks)
    for panel in chart.panels:
        for line in panel.lines:
            found += [*line.x, *([line.x[-1] + line.width] if line.x else [])]
            found += [*line.x_low, *line.x_high]
        found += [x for boxes in panel.boxes for x0, x1, *_ in boxes.boxes for x in (x0, x1)]
        found += [x for x0, x1, _ in panel.bands for x in (x0, x1)]
        found += [x for x, _ in panel.marks]
        found += [limit.until for limit in panel.limits if limit.until is not None]
    return found


def _rows_above(panel: Panel, width_in: float) -> int:
    """Lines of text above a panel: the words of its bands, then its legend."""
    names = len(panel.names)
    legend = -(-names // _columns(panel, width_in)) if names > 1 else 0
    return legend + _has_words(panel)


def _has_words(panel: Panel) -> bool:
    """Whether bands or marks have words above the axes."""
    return any(label for *_, label in (*panel.bands, *panel.marks))


def _columns(panel: Panel, width_in: float) -> int:
    """Names side by side in the legend: as many as fit, filled column by column."""
    sizes = [HANDLE_PT + LETTER_PT * min(len(name), LONGEST) for name in panel.names]
    for num in range(min(MOST_COLUMNS, len(sizes)), 1, -1):
        columns = np.array_split(sizes, num)
        if sum(max(column) for column in columns) <= 72 * ROOM * width_in:
            return num
    return 1


def _panel(axes: Axes, panel: Panel) -> list[tuple[str, Artist]]:
    """Draws its data; what a legend shows, with the names."""
    dress(axes)
    for x0, x1, _ in panel.bands:
        # as an artist: a patch would have its corners counted into limits that are set by hand
        shade = Rectangle((x0, 0), x1 - x0, 1, color=SHADE, alpha=0.6, linewidth=0)
        shade.set_transform(axes.get_xaxis_transform())
        axes.add_artist(shade)
    for at, _ in panel.marks:
        axes.axvline(at, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 2)))
    # guides are drawn first, beneath the data, but named last
    guides = [(line.name, draw_guide(axes, line)) for line in panel.lines if line.is_guide]
    measured = [line for line in panel.lines if not line.is_guide]
    named = [(n.name, draw_line(axes, n, i % len(SERIES))) for i, n in enumerate(measured)]
    named += [(boxes.name, draw_boxes(axes, boxes)) for boxes in panel.boxes]
    values = [limit.value for limit in panel.limits]
    values += [v for line in panel.lines for v in (*line.y, *line.low, *line.high)]
    if panel.boxes:
        fill_y(axes, panel.y_scale, _heights(panel), panel.y_ticks)
    else:
        scale_y(axes, panel.y_scale, values)
        draw_open_ends(axes, measured)
    return [*named, *guides]


def _legend(axes: Axes, panel: Panel, named: list[tuple[str, Artist]], columns: int) -> None:
    assert axes.figure is not None
    words_in = ROW_IN * _has_words(panel)
    above = ScaledTranslation(0, 0.04 + words_in, axes.figure.dpi_scale_trans)
    axes.legend(
        [handle for _, handle in named], [_short(name) for name, _ in named], fontsize=SIZE_PT,
        frameon=False, labelcolor=TEXT, handlelength=2.6, columnspacing=2.6,
        ncols=columns, borderaxespad=0, loc="lower left",
        bbox_to_anchor=(0.0, 1.0), bbox_transform=axes.transAxes + above,
    )  # fmt: skip


def _short(name: str) -> str:
    """Both ends of a long name: what tells two of them apart may be at either."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"


def _finish(axes: Axes, panel: Panel) -> None:
    """Limits, and every word inside the axes or right above it."""
    board = Board(axes)
    top = board.area.y1
    for x0, x1, label in panel.bands:
        ends = [board.at(x, axes.get_ylim()[0])[0] for x in (x0, x1)]
        if label:
            board.put(label, _along(sum(ends) / 2, ends[0], ends[1], top))
    for at, label in panel.marks:
        x = board.at(at, axes.get_ylim()[0])[0]
        spots = [Spot(x, top, "right", dx_pt=4.0), Spot(x, top, "left", dx_pt=-4.0)]
        inside = [Spot(x, top, "right", "top", -3.0, -2.0), Spot(x, top, "left", "top", 3.0, -2.0)]
        board.put(label, [*spots, *inside], LIMIT)
    draw_limits(axes, board, panel.limits)
    for line in panel.lines:
        for place, words in zip(zip(line.x, line.y, strict=True), line.labels, strict=False):
            here = board.at(*place)
            board.put(words, [
                Spot(*here, "left", "bottom", 4, 3), Spot(*here, "right", "bottom", -4, 3),
                Spot(*here, "left", "top", 4, -3), Spot(*here, "right", "top", -4, -3),
            ])  # fmt: skip
    for boxes in panel.boxes:
        for corners in boxes.boxes if boxes.words else ():
            board.put_inside(boxes.words, corners)


def _along(middle: float, left: float, right: float, top: float) -> list[Spot]:
    """Above a band: its middle, else beside whatever stands there, else inside it."""
    return [Spot(middle, top, "center"), Spot(right, top, "left"), Spot(left, top, "right"),
            Spot(middle, top, "center", "top", dy_pt=-2.0)]  # fmt: skip


def _heights(panel: Panel) -> list[float]:
    return [y for boxes in panel.boxes for _, _, y0, y1 in boxes.boxes for y in (y0, y1)]

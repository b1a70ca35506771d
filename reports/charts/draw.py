"""One function draws every chart of a report: stacked panels of lines or boxes over one x axis."""

from __future__ import annotations

from reports.charts._above import Above, above_parts, legend_rows, words_above
from reports.charts._axis import x_axis, y_axis
from reports.charts._frame import Frame, axes, grid, width_of
from reports.charts._limits import limit_parts
from reports.charts._marks import boxes_parts, guide_parts, line_parts
from reports.svg import group, path, polyline, rectangle, root, text
from reports.view import Chart, Panel

# Points. Drawn near the width of a phone's screen: text scales up from there and never below.
WIDTH, WIDE = 374.4, 676.8
RIGHT, FOOT, GAP = 12.0, 34.0, 21.6  # beside, under and between the axes
LEAST_LEFT = 50.0
BOX_ROW = 3.24


def draw(chart: Chart) -> str:
    """The chart as an inline `<svg>`: the same bytes for the same chart."""
    frames, aboves = _laid_out(chart)
    parts: list[str] = []
    for k, (frame, panel) in enumerate(zip(frames, chart.panels, strict=True)):
        is_last = k == len(frames) - 1
        parts += [
            path("shade", _shades(frame, panel)),
            grid(frame),
            *axes(frame, panel.y_label, has_x_words=is_last),
            group("limit", [path("limit-line", _uprights(frame, panel))]),
            *_data(frame, panel),
            *limit_parts(frame, panel.limits, [frame.places(ln.x, ln.y) for ln in panel.lines]),
            *above_parts(frame, panel, aboves[k]),
        ]
    last = frames[-1]
    middle = last.left + last.width / 2
    parts.append(text("name", (middle, last.bottom + 27), chart.x_label, "middle"))
    size = (WIDE if chart.is_wide else WIDTH, last.bottom + FOOT)
    return root(chart.id, chart.title, chart.description, size, parts)


def _laid_out(chart: Chart) -> tuple[list[Frame], list[Above]]:
    """Where each panel lies, and what stands above it."""
    x, ys = x_axis(chart), [y_axis(panel) for panel in chart.panels]
    longest = max(width_of(words) for y in ys for _, words in (*y.ticks, (0, "")))
    left = max(LEAST_LEFT, 20 + longest + 6)
    right = (WIDE if chart.is_wide else WIDTH) - RIGHT
    frames: list[Frame] = []
    aboves: list[Above] = []
    top = 4.0
    for k, (panel, y) in enumerate(zip(chart.panels, ys, strict=True)):
        places = [*(at for at, _ in panel.marks), *((a + b) / 2 for a, b, _ in panel.bands)]
        px = [left + (right - left) * x.place(at) for at in places]
        # boxes of several panels mean the same: one legend tells them
        legend = legend_rows(panel, right - left, is_told=not (k and panel.boxes))
        above = Above(words_above(panel, px, left, right + RIGHT), legend)
        head = above.height + 2
        top += max(GAP, head) if k else head
        height = _height(panel, len(ys))
        frames.append(Frame(left, top, right - left, height, x, y))
        aboves.append(above)
        top += height
    return frames, aboves


def _height(panel: Panel, num: int) -> float:
    """Of its axes, points."""
    if panel.num_rows:
        return 18 + BOX_ROW * panel.num_rows
    return 169.0 if num == 1 else 97.0 if num <= 4 else 72.0


def _data(frame: Frame, panel: Panel) -> list[str]:
    measured = [line for line in panel.lines if not line.is_guide]
    return [
        *(guide_parts(frame, line) for line in panel.lines if line.is_guide),
        *(boxes_parts(frame, boxes) for boxes in panel.boxes),
        *(line_parts(frame, line, i) for i, line in enumerate(measured)),
    ]


def _shades(frame: Frame, panel: Panel) -> str:
    return "".join(
        rectangle(frame.px(x0), frame.top, frame.px(x1), frame.bottom) for x0, x1, _ in panel.bands
    )


def _uprights(frame: Frame, panel: Panel) -> str:
    return "".join(
        polyline([(frame.px(x), frame.top), (frame.px(x), frame.bottom)]) for x, _ in panel.marks
    )

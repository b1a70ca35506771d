"""Where a value lies along an axis, and which values are written beside it. Numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.units import significant
from reports.view import Chart, Panel

# 1 - p, drawn on a reversed log axis: each nine takes the same width
NINES: tuple[tuple[float, str], ...] = (
    (0.5, "p50"), (0.25, "p75"), (0.1, "p90"), (0.05, "p95"), (0.01, "p99"),
    (0.001, "p99.9"), (0.0001, "p99.99"),
)  # fmt: skip
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TIME_STEPS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0)  # hours and seconds count by sixes too
MOST_Y, MOST_X = 5, 7  # intervals between the numbers beside an axis

Ticks = tuple[tuple[float, str], ...]  # value, words


@dataclass(frozen=True, slots=True)
class Axis:
    """first, last: the values at its ends, last below first where nines grow.  Log: both > 0."""

    first: float
    last: float
    is_log: bool
    ticks: Ticks

    def place(self, value: float) -> float:
        """0 at the first end to 1 at the last; what lies beyond is held at the end."""
        if self.is_log:
            if value <= 0:
                return 0.0
            part = math.log(value / self.first) / math.log(self.last / self.first)
        else:
            part = (value - self.first) / (self.last - self.first)
        return min(1.0, max(0.0, part))


def y_axis(panel: Panel) -> Axis:
    """Of boxes from the lowest to the highest; else linear from zero, or log."""
    if panel.boxes:
        return _boxes_axis(panel)
    values = [limit.value for limit in panel.limits]
    values += [v for line in panel.lines for v in (*line.y, *line.low, *line.high)]
    finite = [v for v in values if math.isfinite(v)]
    if panel.y_scale == "log" and finite and min(finite) > 0:
        low, high = _widened(min(finite), max(finite), 0.06)
        return Axis(low, high, True, _plain(log_ticks(low, high)))
    top = max(finite, default=1.0)
    high = top * 1.08 if top > 0 else 1.0
    are_counts = all(v == round(v) for v in finite)
    ticks = linear_ticks(0, high, MOST_Y, STEPS, least=1.0 if top >= 5 or are_counts else 0.0)
    return Axis(0, high, False, _plain(ticks))


def x_axis(chart: Chart) -> Axis:
    """Linear, log or nines, over everything that any panel draws."""
    finite = [v for v in _every_x(chart) if math.isfinite(v)]
    if chart.x_scale == "nines":
        smallest = min(finite, default=0.01)
        shown = tuple((x, name) for x, name in NINES if x >= smallest / 1.3)
        return Axis(max(finite, default=1.0) * 1.2, smallest / 1.25, True, shown)
    is_log = chart.x_scale == "log" and bool(finite) and min(finite) > 0
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if is_log:
        low, high = _widened(low, high, 0.04)
    else:
        margin = 0.02 * (high - low) or 0.5
        # nothing lies left of zero unless time before the window does
        low, high = 0 if low >= 0 and not chart.x_ticks else low - margin, high + margin
    bare = Axis(low, high, is_log, ())
    if chart.x_ticks:
        ticks = _apart(chart.x_ticks, bare)
    else:
        ticks = log_ticks(low, high) if is_log else linear_ticks(low, high, MOST_X, TIME_STEPS)
    return Axis(low, high, is_log, _plain(ticks))


def linear_ticks(
    low: float, high: float, most: int, steps: Sequence[float] = STEPS, least: float = 0.0
) -> list[float]:
    """Multiples of the least round step, of `steps` x 10^k, that makes at most `most` intervals.

    least: of the step, such as 1 for counts.
    """
    wanted = max((high - low) / most, least)
    scale = 10.0 ** math.floor(math.log10(wanted))
    step = next(s * scale for s in steps if s * scale >= wanted * (1 - 1e-9))
    if least and step != round(step):  # 2.5 of a count
        step = float(math.ceil(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Plain numbers between low and high, at least three where any step gives them, at most 10."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for least, subs in ((4, (1,)), (3, (1, 2, 5)), (4, (1, 1.5, 2, 3, 4, 5, 7))):
        ticks = [float(f"{s * 10.0**k:.3g}") for k in range(first, last + 1) for s in subs]
        found = [t for t in ticks if low <= t <= high]
        if len(found) >= least:
            return found[:: -(-len(found) // 8)]
    for most in (MOST_Y, 10):  # so narrow that the axis is as good as linear
        found = linear_ticks(low, high, most)
        if len(found) >= 3:
            break
    return found


def plain(value: float) -> str:
    """A number beside an axis: no exponent, no trailing zeros."""
    text = significant(value, 3)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(ticks: Sequence[float]) -> Ticks:
    return tuple((tick, plain(tick)) for tick in ticks)


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """Room on both sides of what a log axis holds."""
    ratio = high / low
    by = 1.5 if ratio < 1.5 else ratio**share
    return low / by, high * by


def _boxes_axis(panel: Panel) -> Axis:
    """With the panel's own words; a log axis has its numbers too."""
    heights = [y for boxes in panel.boxes for _, _, y0, y1 in boxes.boxes for y in (y0, y1)]
    low, high = min(heights), max(heights)
    words, is_log = dict(panel.y_ticks), panel.y_scale == "log"
    if is_log:
        top = min(words, default=high)  # what has words of its own lies above every number
        words |= {tick: plain(tick) for tick in log_ticks(low, high) if tick < top / 1.2}
    return Axis(low, high, is_log, tuple(sorted(words.items())))


def _every_x(chart: Chart) -> list[float]:
    """Everything that the x axis must hold, the ends of steps, bands and limits with it."""
    found: list[float] = list(chart.x_ticks)
    for panel in chart.panels:
        for line in panel.lines:
            found += [*line.x, *([line.x[-1] + line.width] if line.x else [])]
        found += [x for boxes in panel.boxes for x0, x1, *_ in boxes.boxes for x in (x0, x1)]
        found += [x for x0, x1, _ in panel.bands for x in (x0, x1)]
        found += [x for x, _ in panel.marks]
        found += [limit.until for limit in panel.limits if limit.until is not None]
    return found


def _apart(ticks: tuple[float, ...], axis: Axis) -> list[float]:
    """The ticks whose labels have room, the last one always among them."""
    kept: list[float] = []
    for tick in sorted(set(ticks), reverse=True):
        if not kept or axis.place(kept[-1]) - axis.place(tick) > 0.07:
            kept.append(tick)
    return kept[::-1]

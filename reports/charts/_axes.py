"""The look of every pair of axes: quiet spines, a light grid, ticks people can read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from harness.units import brief
from reports.svg import AXIS
from reports.view import Scale

# 1 - p, drawn on a reversed log axis: each nine takes the same width
NINES: tuple[tuple[float, str], ...] = (
    (0.5, "p50"), (0.25, "p75"), (0.1, "p90"), (0.05, "p95"), (0.01, "p99"),
    (0.001, "p99.9"), (0.0001, "p99.99"),
)  # fmt: skip

ROUND = [1, 2, 2.5, 5, 10]  # steps between ticks


def dress(axes: Axes) -> None:
    """Spines; grid and ticks are drawn once the scales are known."""
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(AXIS)


def scale_y(axes: Axes, scale: Scale, values: list[float]) -> None:
    """Linear from zero, or log with plain-number ticks. values: everything drawn."""
    finite = [v for v in values if math.isfinite(v)]
    if scale == "log" and finite and min(finite) > 0:
        axes.set_yscale("log")
        low, high = min(finite), max(finite)
        ratio = high / low
        margin = max(1.1, ratio) if ratio < 1.5 else max(1.1, ratio**0.06)
        axes.set_ylim(low / margin, high * margin)
        axes.yaxis.set_major_locator(FixedLocator(log_ticks(*axes.get_ylim())))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        top = max(finite, default=1.0)
        axes.set_ylim(0, top * 1.08 if top > 0 else 1.0)
        are_counts = all(v == round(v) for v in finite)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND, integer=top >= 5 or are_counts))
    axes.yaxis.set_major_formatter(FuncFormatter(numbers(axes.get_yticks())))


def fill_y(
    axes: Axes, scale: Scale, heights: list[float], ticks: tuple[tuple[float, str], ...]
) -> None:
    """From the lowest box to the highest. ticks: with words; a log axis has its numbers too."""
    low, high = min(heights), max(heights)
    words = dict(ticks)
    if scale == "log":
        axes.set_yscale("log")
        top = min(words, default=high)  # what has words of its own lies above every number
        plain = [tick for tick in log_ticks(low, high) if tick < top / 1.2]
        told = numbers(plain)
        words |= {tick: told(tick, None) for tick in plain}
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(sorted(words)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: words.get(y, "")))


def scale_x(axes: Axes, scale: Scale, values: list[float], ticks: tuple[float, ...] = ()) -> None:
    """Linear, log, or nines. ticks: the x values that matter, where they are few."""
    finite = [v for v in values if math.isfinite(v)]
    if scale == "nines":
        axes.set_xscale("log")
        smallest = min(finite, default=0.01)
        axes.set_xlim(max(finite, default=1.0) * 1.2, smallest / 1.25)
        shown = {x: name for x, name in NINES if x >= smallest / 1.3}
        axes.xaxis.set_major_locator(FixedLocator(list(shown)))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: next((n for v, n in shown.items() if _close(v, x)), ""))
        )
        axes.xaxis.set_minor_locator(NullLocator())
        return
    is_log = scale == "log" and bool(finite) and min(finite) > 0
    if is_log:
        axes.set_xscale("log")
        low, high = min(finite), max(finite)
        widened = 1.5 if high / low < 1.5 else (high / low) ** 0.04
        axes.set_xlim(low / widened, high * widened)
        axes.xaxis.set_minor_locator(NullLocator())
    elif finite:
        low, high = min(finite), max(finite)
        margin = 0.02 * (high - low) or 0.5
        # nothing lies left of zero unless time before the window does
        axes.set_xlim(0 if low >= 0 and not ticks else low - margin, high + margin)
    low, high = axes.get_xlim()
    if ticks:
        axes.xaxis.set_major_locator(FixedLocator(_apart(ticks, low, high, is_log=is_log)))
    elif is_log:
        axes.xaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 3, 5, 6, 10]))
    # last: a new scale brings its own
    axes.xaxis.set_major_formatter(FuncFormatter(numbers(axes.get_xticks())))


def log_ticks(low: float, high: float) -> list[float]:
    """Plain numbers between low and high, at least three where any step gives them, at most 8."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for least, subs in ((4, (1,)), (3, (1, 2, 5)), (4, (1, 1.5, 2, 3, 4, 5, 7))):
        ticks = [float(f"{s * 10.0**k:.3g}") for k in range(first, last + 1) for s in subs]
        found = [t for t in ticks if low <= t <= high]
        if len(found) >= least:
            return found[:: -(-len(found) // 8)]
    # so narrow that the axis is as good as linear
    ticks = [float(t) for t in MaxNLocator(5).tick_values(low, high)]
    return [t for t in ticks if low <= t <= high]


def _apart(ticks: tuple[float, ...], low: float, high: float, *, is_log: bool) -> list[float]:
    """The ticks whose labels have room, the last one always among them."""
    at = (lambda x: math.log(x / low) / math.log(high / low)) if is_log else (
        lambda x: (x - low) / (high - low)
    )  # fmt: skip
    kept: list[float] = []
    for tick in sorted(set(ticks), reverse=True):
        if not kept or at(kept[-1]) - at(tick) > 0.07:
            kept.append(tick)
    return kept[::-1]


def numbers(ticks: Iterable[float]) -> Callable[[float, object], str]:
    """A tick in plain digits, as many as tell it from its neighbours: 102.5 is not 102."""
    ordered = sorted({float(tick) for tick in ticks})
    gaps = [math.inf, *(b - a for a, b in pairwise(ordered)), math.inf]
    near = [0.02 * min(pair) for pair in pairwise(gaps)]  # of each: the axis may be a log one

    def is_enough(digits: int) -> bool:
        told = (float(f"{tick:.{digits - 1}e}") for tick in ordered)
        return all(abs(a - b) <= most for a, b, most in zip(told, ordered, near, strict=False))

    digits = next(filter(is_enough, range(3, 7)), 7)
    return lambda value, _position: brief(value, digits)


def _close(a: float, b: float) -> bool:
    return abs(a - b) < 1e-9 + 1e-6 * abs(a)

"""The look of every pair of axes: quiet spines, a light grid, ticks people can read."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from harness.units import significant
from reports.svg import AXIS, GRID, TEXT
from reports.view import Scale

# 1 - p, drawn on a reversed log axis: each nine takes the same width
NINES: tuple[tuple[float, str], ...] = (
    (0.5, "p50"), (0.1, "p90"), (0.05, "p95"), (0.01, "p99"), (0.001, "p99.9"), (0.0001, "p99.99"),
)  # fmt: skip


def dress(axes: Axes) -> None:
    """Spines, grid and tick colours."""
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(AXIS)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, which="both", labelsize=8, color=AXIS, length=3)
    axes.tick_params(which="minor", length=0)


def scale_y(axes: Axes, scale: Scale, values: list[float]) -> None:
    """Linear from zero, or log with plain-number ticks. values: everything drawn."""
    finite = [v for v in values if math.isfinite(v)]
    if scale == "log" and finite and min(finite) > 0:
        axes.set_yscale("log")
        low, high = min(finite), max(finite)
        if high / low < 1.5:
            axes.set_ylim(low / 1.5, high * 1.5)
        low, high = axes.get_ylim()
        subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=subs))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        top = max(finite, default=1.0)
        axes.set_ylim(0, top * 1.08 if top > 0 else 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=top >= 5))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def scale_x(axes: Axes, scale: Scale, values: list[float]) -> None:
    """Linear, log, or nines."""
    finite = [v for v in values if math.isfinite(v)]
    if scale == "nines":
        axes.set_xscale("log")
        smallest = min(finite, default=0.01)
        axes.set_xlim(max(finite, default=1.0) * 1.2, smallest / 1.25)
        shown = [(x, name) for x, name in NINES if x >= smallest / 1.3]
        axes.xaxis.set_major_locator(FixedLocator([x for x, _ in shown]))
        names = dict(shown)
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: next((n for v, n in names.items() if _close(v, x)), ""))
        )
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif scale == "log" and finite and min(finite) > 0:
        axes.set_xscale("log")
        low, high = min(finite), max(finite)
        if high / low < 1.5:
            axes.set_xlim(low / 1.5, high * 1.5)
        low, high = axes.get_xlim()
        subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))


def plain(value: float, _position: object = None) -> str:
    """A tick: no exponent, no trailing zeros."""
    text = significant(value, 3)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _close(a: float, b: float) -> bool:
    return abs(a - b) < 1e-9 + 1e-6 * abs(a)

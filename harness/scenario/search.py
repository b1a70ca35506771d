"""The rates that a search may visit: a lattice over its range, with five windows at each.

Every window of every rate is a point with a fixed index, seed and label, of which a search visits
a few. So a window is the same wherever it comes in the search, a load process finds it by its
index alone, and a search that was cut off goes on from the points it left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.scenario import document as doc

MOST_WINDOWS = 5  # of a rate: each look costs a fifth of the error that a verdict may have
LEAST_RESOLUTION = 0.01


def lattice(sweep: doc.SearchSweep) -> tuple[float, ...]:
    """Rates from min to max, evenly spaced on a log scale, neighbours at most `resolution` apart;
    in four digits, as labels print them."""
    num = max(1, math.ceil(math.log(sweep.max / sweep.min) / math.log1p(sweep.resolution) - 1e-9))
    inner = (sweep.min * (sweep.max / sweep.min) ** (k / num) for k in range(1, num))
    return (sweep.min, *(float(f"{rate:.4g}") for rate in inner), sweep.max)


def grid(sweep: doc.SearchSweep) -> tuple[int, ...]:
    """The lattice's rates that are measured anyway: grid_points, from min to max."""
    last = len(lattice(sweep)) - 1
    if sweep.grid_points <= 1:
        return (0,) * sweep.grid_points
    step = last / (sweep.grid_points - 1)
    return tuple(dict.fromkeys(round(k * step) for k in range(sweep.grid_points)))


def windows_of(sweep: doc.SearchSweep) -> int:
    """Windows a rate may have."""
    return max(MOST_WINDOWS, sweep.repeat)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a point stands: target (its position), rate (of the lattice) and window."""

    target: int
    rate: int
    window: int


def place_of(sweep: doc.SearchSweep, index: int) -> Place:
    """The place of a point's index."""
    rest, window = divmod(index, windows_of(sweep))
    return Place(*divmod(rest, len(lattice(sweep))), window)


def index_of(sweep: doc.SearchSweep, target: int, rate: int, window: int) -> int:
    """The index of the point at a place."""
    return (target * len(lattice(sweep)) + rate) * windows_of(sweep) + window


def at_rate(document: doc.Scenario, rate: float) -> doc.Scenario:
    """The document with this rate; its range was validated at both ends."""
    load = document.load.model_copy(update={"rate": rate})
    return document.model_copy(update={"load": load})


def visits(
    document: doc.Scenario, sweep: doc.SearchSweep
) -> Iterator[tuple[str, float, doc.Scenario, int]]:
    """(target, rate, document, window) of every point, in the order of their indices."""
    for name in sweep.targets or tuple(document.targets):
        for rate in lattice(sweep):
            level = at_rate(document, rate)
            for window in range(windows_of(sweep)):
                yield name, rate, level, window

"""The rates that a search may visit: a lattice over its range, with windows enough at each.

Every window of every rate is a point with a fixed index, seed and label, of which a search visits
a few. So a load process finds it by its index alone, and a search that was cut off goes on from the
points it left. Two targets meet the same requests in a window; two rates do not, since the luck of
one schedule would then be that of every rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.scenario import document as doc

FIRST_WINDOWS = 5  # of a rate, whose indices come before those of its other windows
MOST_WINDOWS = 20  # of a rate: most of the windows that a search has, beside the crossing
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


def _targets(document: doc.Scenario, sweep: doc.SearchSweep) -> tuple[str, ...]:
    return sweep.targets or tuple(document.targets)


def place_of(document: doc.Scenario, sweep: doc.SearchSweep, index: int) -> Place:
    """The place of a point's index."""
    num_rates, first = len(lattice(sweep)), max(FIRST_WINDOWS, sweep.repeat)
    num_first = len(_targets(document, sweep)) * num_rates * first
    if index < num_first:
        rest, window = divmod(index, first)
    else:
        rest, window = divmod(index - num_first, windows_of(sweep) - first)
        window += first
    return Place(*divmod(rest, num_rates), window)


def index_of(document: doc.Scenario, sweep: doc.SearchSweep, at: Place) -> int:
    """The index of the point at a place.

    By target, rate and window among the first five of each rate, as runs of the time when there
    were no more have them, and so again among the others.
    """
    num_rates, first = len(lattice(sweep)), max(FIRST_WINDOWS, sweep.repeat)
    rest = at.target * num_rates + at.rate
    if at.window < first:
        return rest * first + at.window
    num_first = len(_targets(document, sweep)) * num_rates * first
    return num_first + rest * (windows_of(sweep) - first) + at.window - first


def at_rate(document: doc.Scenario, rate: float) -> doc.Scenario:
    """The document with this rate; its range was validated at both ends."""
    load = document.load.model_copy(update={"rate": rate})
    return document.model_copy(update={"load": load})


@dataclass(frozen=True, slots=True)
class Visit:
    """One window that a search may measure. document: that of its rate, in req/s."""

    target: str
    rate: float
    document: doc.Scenario
    place: Place


def visits(document: doc.Scenario, sweep: doc.SearchSweep) -> Iterator[Visit]:
    """Every window, in the order of their indices."""
    levels = [(rate, at_rate(document, rate)) for rate in lattice(sweep)]
    first = max(FIRST_WINDOWS, sweep.repeat)
    for windows in (range(first), range(first, windows_of(sweep))):
        for number, name in enumerate(_targets(document, sweep)):
            for k, (rate, level) in enumerate(levels):
                for window in windows:
                    yield Visit(name, rate, level, Place(number, k, window))

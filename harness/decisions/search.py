"""Which rate a search measures next, and what it came to: a pure function of what was measured.

Doubling from the lowest rate until one misses; then window after window where the crossing may lie,
judged by all windows together (over_windows.py): the rate in its middle first, if it is new, which
halves the range, and else the rate with most of the crossing's confidence for the windows it has.
The search closes when the interval over windows is no wider than the resolution, or, where rates
are more than a fifth apart, between neighbours that are decided; it stays open when its windows are
spent. Since the next step depends on nothing but the windows at hand, a search
that was cut off goes on where it stood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.decisions.levels import MOST_LOOKS, Level, Standing, Window
from harness.decisions.over_windows import WIDE, Crossing, crossing_of

Phase = Literal["doubling", "bisection", "narrowing", "grid"]
Kind = Literal["found", "above", "below", "open", "void", "contradiction", "unfinished"]
MOST_VOID = 2  # of a rate: a client that was late twice will be again
MOST_TRIED = 40  # windows of a search, the grid's aside: from here on each tells ever less
LEAST_MASS = 0.1  # of the crossing's confidence on rates that may still be measured
OVERLOAD = 1.3  # rates of the grid this far above the lowest miss would only tell of a backlog


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """rates: [m] the lattice, rising.  share: least share of good requests, 0..1.

    grid: indices of rates that are measured anyway, grid_windows windows of each.  resolution: the
    interval at which the search closes, high / low - 1.  most_windows: of a rate.
    """

    rates: tuple[float, ...]
    share: float
    grid: tuple[int, ...] = ()
    grid_windows: int = 1
    resolution: float = 0.05
    most_windows: int = 20

    @property
    def doubling(self) -> int:
        """Steps of the lattice that make up a factor of two, at least one."""
        if len(self.rates) < 2:
            return 1
        step = math.log(self.rates[-1] / self.rates[0]) / (len(self.rates) - 1)
        return max(1, round(math.log(2) / step))


@dataclass(frozen=True, slots=True)
class Tried:
    """The windows of one rate. num_void: those whose measurement was not valid."""

    windows: tuple[Window, ...] = ()
    num_void: int = 0

    @property
    def num(self) -> int:
        return len(self.windows) + self.num_void

    def standing(self, share: float) -> Standing:
        return Level(1.0, self.windows).standing(share) if self.windows else "open"

    @property
    def is_void(self) -> bool:
        return self.num_void >= MOST_VOID

    def needs_another(self, share: float, *, is_last: bool) -> bool:
        """Of a rate of the doubling: whether it is asked again before the next. An open one is once
        more, being near the capacity; the last, that has none, until it is decided."""
        if self.is_void or self.num >= (MOST_LOOKS if is_last else 2):
            return False
        return not self.windows or self.standing(share) == "open"

    def is_first_alarm(self, share: float) -> bool:
        """A lone window whose backlog grew, or which its errors ended, while enough requests were
        good: near capacity one in ten does so by chance, so a second one is asked."""
        if len(self.windows) != 1 or not self.windows[0].is_alarm:
            return False
        only = self.windows[0]
        alone = Window(only.num_good, only.num_valid, only.n_eff)
        return Level(1.0, (alone,)).standing(share) != "misses"


@dataclass(frozen=True, slots=True)
class Step:
    """The next window: of which rate of the lattice, its number, and why."""

    rate: int
    window: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class Ending:
    """low, high: rates of the lattice, the ends of the bracket; None where there is none.

    kind: `found` the interval over windows is as narrow as was asked; `above` the highest holds;
    `below` the lowest misses; `open` every window that would tell is spent; `void` the client could
    not measure; `contradiction` a rate misses below one that holds; `unfinished` more could be
    measured.  crossing: what all windows say together, None before a rate missed.
    """

    kind: Kind
    low: int | None
    high: int | None
    crossing: Crossing | None = None


def next_step(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    """None when the search is over. tried: index of a rate -> what was measured there."""
    return _search_step(plan, tried) or _grid_step(plan, tried)


def _search_step(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    if not tried:
        return Step(0, 0, "doubling")
    _, high = _ends(plan, tried)
    for k in sorted(tried):  # near capacity a lone window grows its backlog by chance
        is_alarm = tried[k].is_first_alarm(plan.share) and not tried[k].is_void
        if is_alarm and (high is None or k < high):
            return Step(k, tried[k].num, "doubling" if high is None else "narrowing")
    if high is not None:
        return _narrowing(plan, tried) if high else None
    top, last = max(tried), len(plan.rates) - 1
    if tried[top].needs_another(plan.share, is_last=top == last):
        return Step(top, tried[top].num, "doubling")
    if top == last or tried[top].is_void:
        return None
    return Step(min(top + plan.doubling, last), 0, "doubling")


def _narrowing(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    """Where the next window tells most of the crossing; None where it is known or none may."""
    crossing = crossing_between(plan, tried)
    if crossing is None or _is_spent(plan, tried) or _is_between_neighbours(plan, tried):
        return None
    if is_narrow(plan, crossing):
        unknown = [k for k in _beside(plan, crossing) if k not in tried]
        return Step(unknown[0], 0, "bisection") if unknown else None
    masses = crossing.masses(plan.rates)
    middle = int(np.searchsorted(np.cumsum(masses), 0.5))
    if middle not in tried:
        return Step(middle, 0, "bisection")
    num = np.array([tried[k].num if k in tried else 0 for k in range(len(plan.rates))])
    is_free = num < plan.most_windows
    is_free[[k for k, t in tried.items() if t.is_void]] = False
    if masses[is_free].sum() < LEAST_MASS:
        return None
    best = int(np.argmax(np.where(is_free, masses / (num + 1), -1.0)))
    return Step(best, int(num[best]), "narrowing")


def _is_spent(plan: SearchPlan, tried: Mapping[int, Tried]) -> bool:
    of_grid = plan.grid_windows * len(set(plan.grid) & set(tried))
    return sum(t.num for t in tried.values()) - of_grid >= MOST_TRIED


def crossing_between(plan: SearchPlan, tried: Mapping[int, Tried]) -> Crossing | None:
    """What the windows of all rates say together; None where none was measured."""
    rows = [Level(plan.rates[k], tried[k].windows) for k in sorted(tried) if tried[k].windows]
    return crossing_of(rows, plan.share)


def is_narrow(plan: SearchPlan, crossing: Crossing) -> bool:
    return crossing.is_seen and crossing.ratio <= (1 + plan.resolution) * (1 + 1e-9)


def _is_between_neighbours(plan: SearchPlan, tried: Mapping[int, Tried]) -> bool:
    """Whether the bracket is a gap of a coarse lattice: no luck of a window spans it."""
    low, high = _ends(plan, tried)
    if low is None or high is None or high - low > 1:
        return False
    return plan.rates[high] / plan.rates[low] > WIDE


def _beside(plan: SearchPlan, crossing: Crossing) -> tuple[int, int]:
    """The two rates of the lattice about the crossing: no curve is trusted across more."""
    right = int(np.searchsorted(plan.rates, crossing.value))
    return max(right - 1, 0), min(right, len(plan.rates) - 1)


def _grid_step(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    _, high = _ends(plan, tried)
    for k in plan.grid:
        if high is not None and plan.rates[k] > OVERLOAD * plan.rates[high]:
            continue
        known = tried.get(k, Tried())
        has_alarm = any(w.is_alarm for w in known.windows)
        if known.num < plan.grid_windows and not has_alarm and not known.is_void:
            return Step(k, known.num, "grid")
    return None


def _ends(plan: SearchPlan, tried: Mapping[int, Tried]) -> tuple[int | None, int | None]:
    """The lowest rate that misses, and the highest that holds below it."""
    standing = {
        k: "open" if t.is_first_alarm(plan.share) and t.num < MOST_LOOKS else t.standing(plan.share)
        for k, t in tried.items()
    }
    high = min((k for k, s in standing.items() if s == "misses"), default=None)
    holds = [k for k, s in standing.items() if s == "holds" and (high is None or k < high)]
    return max(holds, default=None), high


def conclude(plan: SearchPlan, tried: Mapping[int, Tried]) -> Ending:
    """What the windows at hand come to, also of a search that was cut off."""
    low, high = _ends(plan, tried)
    top = len(plan.rates) - 1
    crossing = crossing_between(plan, tried) if high is not None else None
    if _search_step(plan, tried) is not None:
        return Ending("unfinished", low, high, crossing)
    if high == 0:
        return Ending("below", None, 0, crossing)
    if high is None and low == top:
        return Ending("above", low, None)
    if (
        crossing is not None
        and is_narrow(plan, crossing)
        and all(k in tried for k in _beside(plan, crossing))
    ) or _is_between_neighbours(plan, tried):
        return Ending("found", low, high, crossing)
    holds = [k for k, t in tried.items() if t.standing(plan.share) == "holds"]
    if high is not None and max(holds, default=0) > high:
        return Ending("contradiction", low, high, crossing)
    between = [
        t for k, t in tried.items() if (low is None or k > low) and (high is None or k < high)
    ]
    is_void = any(t.is_void for t in between)
    return Ending("void" if is_void else "open", low, high, crossing)


def most_steps(plan: SearchPlan) -> int:
    """Rates that the doubling and a halving between two of them visit at most."""
    doublings = math.ceil((len(plan.rates) - 1) / plan.doubling) + 1
    return doublings + math.ceil(math.log2(max(plan.doubling, 1)))

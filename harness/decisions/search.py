"""Which rate a search measures next, and what it came to: a pure function of what was measured.

Doubling from the lowest rate until one misses, then bisection on log rate between the highest that
holds and the lowest that misses. A rate gets up to five windows and is looked at after each: the
bounds of its share are at a fifth of the error each, so that all looks together err by at most
5 % a side (union bound). A rate still open after five is neither end: the search goes on beside it
on both sides, and the bracket stays as wide as that. Since the next step depends on nothing but
the windows at hand, a search that was cut off goes on where it stood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.decisions.levels import MOST_LOOKS, Level, Standing, Window

Phase = Literal["doubling", "bisection", "grid"]
Kind = Literal["found", "above", "below", "open", "void", "contradiction", "unfinished"]
MOST_VOID = 2  # of a rate: a client that was late twice will be again
OVERLOAD = 1.3  # rates of the grid this far above the lowest miss would only tell of a backlog


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """rates: [m] the lattice, rising.  share: least share of good requests, 0..1.

    grid: indices of rates that are measured anyway, grid_windows windows of each.
    """

    rates: tuple[float, ...]
    share: float
    grid: tuple[int, ...] = ()
    grid_windows: int = 1

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

    def is_spent(self, share: float) -> bool:
        """Decided, or no further window would count."""
        return self.num >= MOST_LOOKS or self.num_void >= MOST_VOID or (
            self.standing(share) != "open" and not self.is_first_alarm(share)
        )  # fmt: skip

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

    kind: `found` neighbours on the lattice; `above` the highest holds; `below` the lowest misses;
    `open` undecided after five windows; `void` the client could not measure; `contradiction` a
    rate misses below one that holds; `unfinished` more could be measured.
    """

    kind: Kind
    low: int | None
    high: int | None


def next_step(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    """None when the search is over. tried: index of a rate -> what was measured there."""
    return _search_step(plan, tried) or _grid_step(plan, tried)


def _search_step(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    low, high = _ends(plan, tried)
    inside = sorted(k for k in tried if (low is None or k > low) and (high is None or k < high))
    phase: Phase = "doubling" if high is None else "bisection"
    for k in inside:
        if not tried[k].is_spent(plan.share):
            return Step(k, tried[k].num, phase)
    if 0 not in tried:
        return Step(0, 0, "doubling")
    if high is None:
        top = max(tried)
        if top == len(plan.rates) - 1 or tried[top].num_void >= MOST_VOID:
            return None
        return Step(min(top + plan.doubling, len(plan.rates) - 1), 0, "doubling")
    # beside an undecided rate both gaps are closed in, the lower one first: planners rest on it
    gaps = [(low, inside[0] if inside else high), (inside[-1] if inside else low, high)]
    for left, right in gaps:
        if left is not None and right - left > 1:
            return Step((left + right) // 2, 0, "bisection")
    return None


def _grid_step(plan: SearchPlan, tried: Mapping[int, Tried]) -> Step | None:
    _, high = _ends(plan, tried)
    for k in plan.grid:
        if high is not None and plan.rates[k] > OVERLOAD * plan.rates[high]:
            continue
        known = tried.get(k, Tried())
        has_alarm = any(w.is_alarm for w in known.windows)
        if known.num < plan.grid_windows and not has_alarm and known.num_void < MOST_VOID:
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
    if _search_step(plan, tried) is not None:
        return Ending("unfinished", low, high)
    if high is not None and any(
        k > high and t.standing(plan.share) == "holds" for k, t in tried.items()
    ):
        return Ending("contradiction", low, high)
    if high == 0:
        return Ending("below", None, 0)
    if high is None and low == top:
        return Ending("above", low, None)
    if low is not None and high is not None and high - low == 1:
        return Ending("found", low, high)
    between = [
        t for k, t in tried.items() if (low is None or k > low) and (high is None or k < high)
    ]
    is_void = any(t.num_void >= MOST_VOID for t in between)
    return Ending("void" if is_void else "open", low, high)


def most_steps(plan: SearchPlan) -> int:
    """Rates that a search without an undecided one visits at most, the grid aside."""
    doublings = math.ceil((len(plan.rates) - 1) / plan.doubling) + 1
    return doublings + math.ceil(math.log2(max(plan.doubling, 1)))

"""How long a search may take, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.cli._search import search_plan
from harness.decisions.over_windows import WIDE, windows_needed
from harness.decisions.search import MOST_TRIED, most_steps
from harness.scenario import Materials, Point, Scenario, expand
from harness.scenario.budget import point_budget
from harness.scenario.document import SearchSweep
from harness.scenario.search import place_of
from harness.units import format_seconds, write_rate

SCATTERS = (0.05, 0.1, 0.2)  # of one window, as shares of the rate: from calm to shared machines
LEAST_NEAR = windows_needed(1.0, 0.01)  # windows near the capacity without which none closes


@dataclass(frozen=True, slots=True)
class SearchSize:
    """num_rates: of the lattice.  num_visited: rates that the doubling and a halving visit, the
    grid aside.  least_windows, most_windows: of a target, the grid's with them.  least_s, most_s:
    of load; None where the load ends by count.  budget_windows: how many the budget holds."""

    document: Scenario
    sweep: SearchSweep
    num_rates: int
    num_visited: int
    grid: tuple[int, ...]
    doubling: tuple[int, ...]
    least_windows: int
    most_windows: int
    least_s: float | None
    most_s: float | None
    budget_windows: int | None

    def sure(self, points: Sequence[Point]) -> tuple[Point, ...]:
        """The first window of each rate of the doubling and of the grid."""
        shown = {*self.doubling, *self.grid}
        places = [(p, place_of(self.document, self.sweep, p.index)) for p in points]
        return tuple(p for p, at in places if at.rate in shown and at.window == 0 and not at.target)

    @property
    def num_targets(self) -> int:
        return len(self.sweep.targets or self.document.targets)

    @property
    def windows_near(self) -> dict[float, int]:
        """How far one window misses the rate -> windows near it that an interval as narrow as the
        resolution takes."""
        return {scatter: windows_needed(self.sweep.resolution, scatter) for scatter in SCATTERS}

    @property
    def lines(self) -> list[str]:
        low, high = write_rate(self.sweep.min), write_rate(self.sweep.max)
        told = ", ".join(f"{num} (by {s:.0%})" for s, num in self.windows_near.items())
        lines = [
            f"search from {low} to {high} in {self.num_rates} steps: doubling until a rate misses,"
            " then windows where the capacity may lie;"
            f" {self.least_windows} to {self.most_windows} windows",
            f"windows near the capacity that tell it to {self.sweep.resolution * 100:.3g}%, by how"
            f" far one alone misses it: {told}",
            "shown: one window of each rate of the doubling and of the grid",
        ]
        if self.least_s is None or self.most_s is None:
            return [*lines, "time unknown"]
        span = f"{format_seconds(self.least_s)} to {format_seconds(self.most_s)} of load"
        budget = self.sweep.budget
        if not budget:
            return [*lines, span]
        return [
            *lines, f"{span}, cut at {format_seconds(budget)}: {self.budget_windows} windows"
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {
            "num_rates": self.num_rates, "num_visited": self.num_visited,
            "least_windows": self.least_windows, "most_windows": self.most_windows,
            "windows_near": {str(s): num for s, num in self.windows_near.items()},
            "least_s": self.least_s, "most_s": self.most_s, "budget_s": self.sweep.budget,
            "budget_windows": self.budget_windows,
        }  # fmt: skip


def search_size(document: Scenario, sweep: SearchSweep, materials: Materials) -> SearchSize:
    plan = search_plan(document)
    last = len(plan.rates) - 1
    doubling = tuple(sorted({*range(0, last + 1, plan.doubling), last}))
    num = most_steps(plan)
    # a window of a load that ends by time is as long at every rate; else the slowest is taken
    first = point_budget(expand(document)[0], materials).load_s
    num_targets = len(sweep.targets or document.targets)
    on_grid = len(plan.grid) * sweep.repeat
    is_coarse = len(plan.rates) > 1 and plan.rates[1] / plan.rates[0] > WIDE
    fewest, most = num + on_grid + (0 if is_coarse else LEAST_NEAR - 1), MOST_TRIED + on_grid
    least_s = most_s = held = None
    if first is not None:
        each = first + sweep.cooldown
        least_s, most_s = (num_targets * (each * n - sweep.cooldown) for n in (fewest, most))
        if sweep.budget:
            held = max(0, math.floor((sweep.budget + sweep.cooldown) / each + 1e-9))
    return SearchSize(
        document, sweep, len(plan.rates), num, plan.grid, doubling, fewest, most, least_s, most_s,
        held,
    )  # fmt: skip

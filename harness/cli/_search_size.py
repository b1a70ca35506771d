"""How long a search may take, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.cli._search import search_plan
from harness.decisions.levels import MOST_LOOKS
from harness.decisions.search import most_steps
from harness.scenario import Materials, Point, Scenario, expand
from harness.scenario.budget import point_budget
from harness.scenario.document import SearchSweep
from harness.scenario.search import place_of
from harness.units import format_seconds, write_rate


@dataclass(frozen=True, slots=True)
class SearchSize:
    """num_rates: of the lattice.  num_visited: rates a search visits, the grid aside.  least_s: of
    load, every rate decided in one window; most_s: every rate takes five; None where the load ends
    by count."""

    sweep: SearchSweep
    num_rates: int
    num_visited: int
    grid: tuple[int, ...]
    doubling: tuple[int, ...]
    least_s: float | None
    most_s: float | None

    def sure(self, points: Sequence[Point]) -> tuple[Point, ...]:
        """The first window of each rate of the doubling and of the grid."""
        shown = {*self.doubling, *self.grid}
        places = [(p, place_of(self.sweep, p.index)) for p in points]
        return tuple(p for p, at in places if at.rate in shown and at.window == 0 and not at.target)

    @property
    def lines(self) -> list[str]:
        low, high = write_rate(self.sweep.min), write_rate(self.sweep.max)
        lines = [
            f"search from {low} to {high} in {self.num_rates} steps: doubling until a rate misses,"
            f" then between; about {self.num_visited} rates of 1 to {MOST_LOOKS} windows each",
            "shown: one window of each rate of the doubling and of the grid",
        ]
        if self.least_s is None or self.most_s is None:
            return [*lines, "time unknown"]
        span = f"{format_seconds(self.least_s)} to {format_seconds(self.most_s)} of load"
        budget = self.sweep.budget
        return [*lines, span + (f", cut at {format_seconds(budget)}" if budget else "")]

    def to_json(self) -> dict[str, Any]:
        return {
            "num_rates": self.num_rates, "num_visited": self.num_visited,
            "most_windows": MOST_LOOKS, "least_s": self.least_s, "most_s": self.most_s,
            "budget_s": self.sweep.budget,
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
    least = most = None
    if first is not None:
        least = num_targets * (first * (num + on_grid) + sweep.cooldown * (num + on_grid - 1))
        windows = MOST_LOOKS * num + on_grid
        most = num_targets * (first * windows + sweep.cooldown * (windows - 1))
    return SearchSize(sweep, len(plan.rates), num, plan.grid, doubling, least, most)

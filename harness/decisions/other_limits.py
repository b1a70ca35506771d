"""The sustained rate under other limits than the scenario's: every cell of the grid judged.

Each rate's cell stands (holds, misses, open) by the same bounds as the scenario's own limits are
judged by, so that what a reader finds by moving a limit is what a run with that limit would have
said of the same requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis import PointSummary
from harness.analysis.slo_grid import SloGrid
from harness.decisions.levels import Level, Standing, Window

Cell = tuple[int, float, Standing]  # good requests, effective size, standing


@dataclass(frozen=True, slots=True)
class RateGrid:
    """One rate: its distinct cells, and which of them each of the 24 * 24 stops has."""

    rate_req_per_s: float
    num_valid: int
    cells: tuple[Cell, ...]
    index: tuple[int, ...]

    def at(self, ttft: int, tpot: int, num_stops: int = 24) -> Cell:
        return self.cells[self.index[ttft * num_stops + tpot]]


@dataclass(frozen=True, slots=True)
class ScopeGrid:
    """All requests, or one class, at every rate that was measured. Limits as in SloGrid."""

    scope: str
    ttft_s: tuple[float, ...]
    tpot_s: tuple[float, ...]
    default: tuple[int, int]
    rates: tuple[RateGrid, ...]


def other_limits(points: Sequence[PointSummary], share: float) -> tuple[ScopeGrid, ...]:
    """points: of one ladder, one a rate (a second at the same rate is left out).  share: asked."""
    ordered = sorted(
        (p for p in points if p.is_valid and p.meta.offered_req_per_s and p.slo_grids),
        key=lambda p: p.meta.offered_req_per_s or 0.0,
    )
    if not ordered:
        return ()
    found = []
    for first in ordered[0].slo_grids:
        rows: dict[float, RateGrid] = {}
        for point in ordered:
            grid = next((g for g in point.slo_grids if g.scope == first.scope), None)
            rate = point.meta.offered_req_per_s or 0.0
            alike = grid is not None and (grid.ttft_s, grid.tpot_s) == (first.ttft_s, first.tpot_s)
            if grid is not None and alike and rate not in rows:
                rows[rate] = _judged(rate, grid, point.is_stable, share)
        found.append(
            ScopeGrid(first.scope, first.ttft_s, first.tpot_s, first.default, tuple(rows.values()))
        )
    return tuple(found)


def _judged(rate: float, grid: SloGrid, is_stable: bool, share: float) -> RateGrid:
    known: dict[tuple[int, float], int] = {}
    cells: list[Cell] = []
    index = []
    for key in zip(grid.num_good, grid.n_eff, strict=True):
        if key not in known:
            good, n_eff = key
            level = Level(rate, (Window(good, grid.num_valid, n_eff, is_stable),))
            known[key] = len(cells)
            cells.append((good, n_eff, level.standing(share)))
        index.append(known[key])
    return RateGrid(rate, grid.num_valid, tuple(cells), tuple(index))

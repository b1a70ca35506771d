"""Both bills over traffic, for the chart; and the answer at other prices, for the slider."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.decisions.question import Band, Draws, band
from harness.decisions.staircase import Staircase

NUM_POINTS = 60
STOPS = 8  # of a price, each way; a factor of 2^(1/4) apart: a quarter to four times
STEP = 2**0.25


@dataclass(frozen=True, slots=True)
class Curve:
    """Both bills in USD/h over traffic in tokens/h, with bands over the draws."""

    tok_per_h: tuple[float, ...]
    serverless: tuple[Band, ...]  # low, point, high
    on_demand: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer at GPU prices times `ratio` over serverless ones, for a slider.

    crossing, saving: low, point, high; the saving for serverless at its own price (times its
    factor elsewhere), None without a traffic of the user's.
    """

    ratio: float
    crossing: Band
    required: Band
    saving: Band | None


def cost_curve(draws: Draws, steps: Staircase, marks: Iterable[float]) -> Curve:
    """Traffics evenly on a log axis. marks: tokens/h that have to be inside."""
    per_req = draws.question.mix.tok * 3600
    seen = [t for t in marks if 0 < t < math.inf]
    grid = np.geomspace(min(seen) / 3, max(seen) * 3, NUM_POINTS).tolist()
    return Curve(
        tok_per_h=tuple(grid),
        serverless=tuple(band(draws.serverless(t / per_req)) for t in grid),
        on_demand=tuple(band(draws.on_demand(steps, t / per_req)) for t in grid),
    )


def price_cells(draws: Draws, steps: Staircase, req_per_s: float | None) -> tuple[Cell, ...]:
    """The answer depends on prices by their ratio alone: one cell for each ratio of two stops."""
    per_req = draws.question.mix.tok * 3600
    required = draws.required()
    bills = None
    if req_per_s is not None:
        bills = draws.on_demand(steps, req_per_s), draws.serverless(req_per_s)
    found = []
    for k in range(-2 * STOPS, 2 * STOPS + 1):
        ratio = STEP**k
        saving = None
        if bills is not None:
            fleet, used = bills
            saving = band((fleet[0] * ratio - used[0], fleet[1] * ratio - used[1]))
        low, value, high = band(draws.crossing(steps, ratio))
        need = band((required[0] * ratio, required[1] * ratio))
        found.append(Cell(ratio, (low * per_req, value * per_req, high * per_req), need, saving))
    return tuple(found)

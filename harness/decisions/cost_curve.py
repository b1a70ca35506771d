"""Both bills over traffic, for the chart; and the answer at other prices, for the slider."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.decisions.question import Band, Draws, band
from harness.decisions.staircase import Scaling, Staircase

NUM_POINTS = 60
STOPS = 8  # of a price, each way; a factor of 2^(1/4) apart: a quarter to four times
STEP = 2**0.25
NUM_STOPS = 2 * STOPS + 1


@dataclass(frozen=True, slots=True)
class Curve:
    """Both bills in USD/h over traffic in units/h, tokens nearly always, with bands over the draws.

    on_demand: the asked fleet.  fleets: every one of them.  good_ratio: share of good requests of
    the simulated fleet, None outside what was simulated; empty without a twin.
    """

    units_per_h: tuple[float, ...]
    serverless: tuple[Band, ...]  # low, point, high
    on_demand: tuple[Band, ...]
    fleets: dict[str, tuple[Band, ...]] = field(default_factory=dict)
    good_ratio: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer at GPU prices times `ratio` and serverless ones times `tok`, for a slider.

    crossing, required, saving: low, point, high; saving: what serverless saves, USD/h, None without
    a traffic of the user's.
    """

    ratio: float
    crossing: Band
    required: Band
    saving: Band | None
    tok: float = 1.0


def cost_curve(draws: Draws, steps: dict[Scaling, Staircase], marks: Iterable[float]) -> Curve:
    """Traffics evenly on a log axis. marks: units/h that have to be inside."""
    question = draws.question
    per_req = question.units_per_req * 3600
    seen = [t for t in marks if 0 < t < math.inf] or [draws.capacity * per_req]
    grid = np.geomspace(min(seen) / 3, max(seen) * 3, NUM_POINTS).tolist()
    fleets: dict[str, tuple[Band, ...]] = {
        name: tuple(band(draws.on_demand(own, t / per_req)) for t in grid)
        for name, own in steps.items()
    }
    good: tuple[float | None, ...] = ()
    if question.simulated is not None and question.simulated.how == "twin":
        unit = draws.capacity * question.fleet.load_target * per_req
        shares = question.simulated.good_at(np.asarray(grid) / unit).tolist()
        good = tuple(None if math.isnan(share) else share for share in shares)
    return Curve(
        units_per_h=tuple(grid),
        serverless=tuple(band(draws.serverless(t / per_req)) for t in grid),
        on_demand=fleets[question.fleet.scaling],
        fleets=fleets,
        good_ratio=good,
    )


def price_cells(draws: Draws, steps: Staircase, req_per_s: float | None) -> tuple[Cell, ...]:
    """The answer depends on prices by their ratio alone: one cell for each ratio of two stops. With
    egress, which follows neither price, it does not: one cell for each pair, GPU by GPU."""
    stops = [STEP ** (k - STOPS) for k in range(NUM_STOPS)]
    toks = stops if draws.question.fleet.egress_usd_per_req > 0 else [1.0]
    ratios = stops if len(toks) > 1 else [STEP**k for k in range(-2 * STOPS, 2 * STOPS + 1)]
    per_req = draws.question.units_per_req * 3600
    used = None if req_per_s is None else draws.serverless(req_per_s)
    found = []
    for ratio in ratios:
        paid = None if req_per_s is None else draws.on_demand(steps, req_per_s, ratio)
        for tok in toks:
            saving = None
            if paid is not None and used is not None:
                saving = band((paid[0] - tok * used[0], paid[1] - tok * used[1]))
            low, value, high = band(draws.crossing(steps, ratio, tok))
            need = band(draws.required(ratio, tok))
            crossing = (low * per_req, value * per_req, high * per_req)
            found.append(Cell(ratio, crossing, need, saving, tok))
    return tuple(found)


def cell_at(cells: Sequence[Cell], gpu: int, tok: int) -> Cell:
    """The answer at two stops, 0 .. NUM_STOPS - 1 each; STOPS is the price as it is."""
    if len(cells) == NUM_STOPS**2:
        return cells[NUM_STOPS * gpu + tok]
    own, factor = cells[2 * STOPS + gpu - tok], STEP ** (tok - STOPS)
    if own.saving is None:
        return own
    low, value, high = (factor * x for x in own.saving)
    return replace(own, saving=(low, value, high))

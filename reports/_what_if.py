"""The what-ifs of the capacity section: my SLO, my rate. Exact counts, embedded for report.js.

What is printed here for the scenario's own limits is in the same words as what the page computes
for others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis import PointSummary
from harness.analysis.intervals import wilson
from harness.decisions import Capacity, find_capacity, wording
from harness.decisions.levels import Standing, ladders
from harness.decisions.other_limits import RateGrid, ScopeGrid, other_limits
from harness.decisions.planner import SPARE, example_rate, replicas_needed
from harness.units import brief
from reports._text import amount
from reports.view import Input, WhatIf

MOST_DRAWN = 4
MOST_RATES = 60  # of all scopes together
_STANDS = {"holds": "h", "misses": "m", "open": "o"}


@dataclass(frozen=True, slots=True)
class Ladder:
    """Points that differ in the rate alone. name: empty where there is one ladder."""

    name: str
    points: tuple[PointSummary, ...]
    capacity: Capacity
    grids: tuple[ScopeGrid, ...]


def ladders_of(summaries: Sequence[PointSummary]) -> tuple[Ladder, ...]:
    """A ladder for each target, and each other thing that is swept, with two points or more."""
    groups = ladders(summaries)
    found = []
    for key, points in groups.items():
        if len(points) > 1:
            capacity = find_capacity(points)
            grids = other_limits(points, capacity.share) if capacity.share else ()
            found.append(Ladder(", ".join(key) if len(groups) > 1 else "", points, capacity, grids))
    return tuple(found)


def standings_of(rates: Sequence[Ladder]) -> dict[str, Standing]:
    """Whether the rate of each point holds, by the point's name."""
    found: dict[str, Standing] = {}
    for ladder in rates:
        share = ladder.capacity.share
        stands = {lv.rate_req_per_s: lv.standing(share) for lv in ladder.capacity.levels if share}
        for point in ladder.points:
            rate = point.meta.offered_req_per_s
            if rate in stands:
                found[point.meta.name] = stands[rate]
    return found


def drawn_points(summaries: Sequence[PointSummary], rates: Sequence[Ladder]) -> frozenset[str]:
    """Names of the points whose course over time is drawn: all of a few; of many the lowest of each
    ladder and those about its sustained rate; without a ladder some from the first to the last."""
    if len(summaries) <= MOST_DRAWN:
        return frozenset(s.meta.name for s in summaries)
    found = []
    for ladder in rates:
        ordered = sorted(ladder.points, key=lambda p: p.meta.offered_req_per_s or 0.0)
        ends = {ladder.capacity.bracket.low, ladder.capacity.bracket.high} - {None}
        about = [p for p in ordered if (p.meta.offered_req_per_s or 0.0) in ends]
        found += [p.meta.name for p in (ordered[0], *about, ordered[-1])[:3]]
    step = (len(summaries) - 1) / (MOST_DRAWN - 1)
    spread = [summaries[round(i * step)].meta.name for i in range(MOST_DRAWN)]
    return frozenset(found or spread)


def what_if_data(found: Sequence[Ladder]) -> dict[str, Any]:
    """What report.js answers from, by the id of the what-if; empty without one."""
    grids = _named_grids(found)
    if not grids:
        return {}
    low = found[0].capacity.estimate.low
    return {"my-slo": {"low": low, "scopes": [_scope(grid) for _, grid in grids]}, "my-rate": {}}


def _named_grids(found: Sequence[Ladder]) -> list[tuple[str, ScopeGrid]]:
    """Each ladder and class, the first ladder's whole traffic in front; as many as keep the
    embedded data small, about 4 KB a rate."""
    rows: list[tuple[str, ScopeGrid]] = []
    for ladder in found:
        for grid in ladder.grids:
            if rows and sum(len(g.rates) for _, g in rows) + len(grid.rates) > MOST_RATES:
                return rows
            parts = [ladder.name, "" if grid.scope == "all" else grid.scope]
            rows.append((", ".join(p for p in parts if p) or "all requests", grid))
    return rows


def what_ifs(found: Sequence[Ladder]) -> list[WhatIf]:
    """Only where a share of good requests was asked for, and rates to tell it from."""
    grids = _named_grids(found)
    if not grids:
        return []
    first, capacity = grids[0][1], found[0].capacity
    share = wording.amount(capacity.share, "ratio")
    scope = Input("scope", "of", 0, tuple(n for n, _ in grids), is_choice=True)
    limits = (
        Input("ttft", "TTFT at most", first.default[0], _labels(first.ttft_s)),
        Input("tpot", "TPOT at most", first.default[1], _labels(first.tpot_s)),
    )
    slo = WhatIf(
        "my-slo", "My SLO", (*((scope,) if len(grids) > 1 else ()), *limits),
        slo_answer(first, first.default),
        f"Counts of the requests measured, exact at each stop; a rate holds or misses {share} good"
        " by the bounds that verdicts use, the intervals are Wilson's at 95%. Other limits stay as"
        " the scenario has them; rates between or beyond those measured are not guessed.",
    )  # fmt: skip
    return [slo, _rate_what_if(capacity)]


def _rate_what_if(capacity: Capacity) -> WhatIf:
    low = capacity.estimate.low
    rate = example_rate(low) if low else 10.0
    answer = "Not measured: no rate surely holds these limits."
    if low:
        need = replicas_needed(rate, low)
        answer = (
            f"{brief(rate)} req/s needs {wording.counted(need + SPARE, 'replica')}: {need} at the"
            f" lower bound of {amount(low, 'req/s')} each, {SPARE} spare."
        )
    return WhatIf(
        "my-rate", "My rate",
        (Input("rate", "requests/s in all", rate), Input("spare", "spare replicas", SPARE)),
        answer,
        "Replicas = rate / lower end of the sustained rate under the limits above, rounded up, and"
        " the spare ones. It takes the load as spread evenly; harness plan replicas simulates"
        " bursts and routing.",
    )  # fmt: skip


def slo_answer(grid: ScopeGrid, stops: tuple[int, int]) -> str:
    """What report.js answers at these stops of TTFT and TPOT, word for word."""
    rows = [(r.rate_req_per_s, *_cell(r, stops)) for r in grid.rates]
    holds, misses = ([r for r in rows if r[1] == kind] for kind in "hm")
    low = next((r for r in reversed(holds) if not misses or r[0] < misses[0][0]), None)
    high = next((r for r in misses if not holds or r[0] > holds[-1][0]), None)

    def told(row: tuple[float, str, str]) -> str:
        return f"{_rate(row[0])} ({row[2]})"

    if low:
        beyond = f"not {told(high)}" if high else (
            "the highest rate that surely holds; none surely misses"
        )  # fmt: skip
        return f"Sustains {told(low)}, {beyond}."
    if high:
        return f"Not measured: no rate surely holds, {told(high)} surely misses."
    return "Not measured: no rate had requests enough."


def _cell(rate: RateGrid, stops: tuple[int, int]) -> tuple[str, str]:
    good, n_eff, standing = rate.at(*stops)
    return _STANDS[standing], _share(good, rate.num_valid, n_eff)


def _share(good: int, n: int, n_eff: float) -> str:
    """`99.4% good, 98.9% to 99.7%`: Wilson, widened by what the requests are worth."""
    ends = wilson(good, n, deff=max(1.0, n / max(n_eff, 1.0)))
    low, high = (wording.amount(end, "ratio") for end in (ends.low, ends.high))
    return f"{wording.amount(good / n, 'ratio')} good, {wording.between(low, high)}"


def _rate(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g} req/s"


def _labels(stops: Sequence[float]) -> tuple[str, ...]:
    return tuple("no limit" if math.isinf(s) else amount(s, "s") for s in stops)


def _scope(grid: ScopeGrid) -> dict[str, Any]:
    """Cells in runs of equal ones, row by row of TTFT: [cell, how many, ...]."""
    rates = []
    for found in grid.rates:
        runs: list[int] = []
        for cell in found.index:
            if runs and runs[-2] == cell:
                runs[-1] += 1
            else:
                runs += [cell, 1]
        cells = [
            [_STANDS[standing], _share(good, found.num_valid, n_eff)]
            for good, n_eff, standing in found.cells
        ]
        rates.append({"rate": found.rate_req_per_s, "runs": runs, "cells": cells})
    return {"ttft": _labels(grid.ttft_s), "tpot": _labels(grid.tpot_s), "rates": rates}

"""Throughput against speed: which load levels are worth running at.

A level is dominated where another gives at least as many tokens/s in all and to each user, and
more of one of the two. What is left is the frontier: along it every gain has its price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis import PointSummary


@dataclass(frozen=True, slots=True)
class Place:
    """One load level. per_user_tok_per_s: median over requests.  system_tok_per_s: of the whole
    deployment.  load: offered requests/s, or users of a closed loop."""

    load: float
    per_user_tok_per_s: float
    system_tok_per_s: float
    is_dominated: bool = False


def frontier(points: Sequence[PointSummary]) -> tuple[Place, ...]:
    """Every valid, stable level with both figures, slowest for its users first."""
    places = []
    for point in points:
        total = point.find("output_tok_per_s", "rate")
        tpot = point.find("tpot", "p50", population="valid")
        load = point.meta.offered_req_per_s or point.meta.concurrency
        if not (point.is_valid and point.is_stable and load and total and tpot):
            continue
        if total.value and tpot.is_reached and tpot.value:
            # the median of 1 / tpot is 1 / the median of tpot
            places.append(Place(float(load), 1 / tpot.value, total.value))
    return mark_dominated(places)


def mark_dominated(places: Sequence[Place]) -> tuple[Place, ...]:
    """The places by rising speed per user, each marked where another is better."""
    found = []
    for place in places:
        own = (place.per_user_tok_per_s, place.system_tok_per_s)
        others = [(p.per_user_tok_per_s, p.system_tok_per_s) for p in places]
        is_dominated = any(a >= own[0] and b >= own[1] and (a, b) != own for a, b in others)
        found.append(Place(place.load, *own, is_dominated))
    return tuple(sorted(found, key=lambda p: (p.per_user_tok_per_s, -p.system_tok_per_s)))

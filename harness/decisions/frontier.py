"""Throughput against speed: which load levels are worth running at.

A level is dominated where another gives at least as many tokens/s in all and to each user, and
more of one of the two. What is left is the frontier: along it every gain has its price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis import PointSummary
from harness.estimate import Estimate

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Place:
    """One load level. per_user_tok_per_s: median over requests.  system_tok_per_s: of the whole
    deployment.  load: offered requests/s, or users of a closed loop.  _ends: 95 % intervals, None
    where one is not known."""

    load: float
    per_user_tok_per_s: float
    system_tok_per_s: float
    is_dominated: bool = False
    per_user_ends: Ends | None = None
    system_ends: Ends | None = None


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
            # the median of 1 / tpot is 1 / the median of tpot, and so are its ends, swapped
            places.append(
                Place(
                    float(load), 1 / tpot.value, total.value,
                    per_user_ends=(1 / ends[1], 1 / ends[0]) if (ends := _ends(tpot)) else None,
                    system_ends=_ends(total),
                )
            )  # fmt: skip
    return mark_dominated(places)


def _ends(e: Estimate) -> Ends | None:
    """None unless both are known, above zero and finite: then one over them is, too."""
    return (e.low, e.high) if e.low and e.high is not None and math.isfinite(e.high) else None


def mark_dominated(places: Sequence[Place]) -> tuple[Place, ...]:
    """The places by rising speed per user, each marked where another is better."""
    found = []
    for place in places:
        own = (place.per_user_tok_per_s, place.system_tok_per_s)
        others = [(p.per_user_tok_per_s, p.system_tok_per_s) for p in places]
        is_dominated = any(a >= own[0] and b >= own[1] and (a, b) != own for a, b in others)
        found.append(replace(place, is_dominated=is_dominated))
    return tuple(sorted(found, key=lambda p: (p.per_user_tok_per_s, -p.system_tok_per_s)))

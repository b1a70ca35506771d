"""How many replicas a trace needs, hour by hour: played on larger fleets until its share is good.

A quotient of rates knows no bursts. Here each hour's own requests are served, request by request,
first on as many replicas as its rates ask for. Played three times: by the fit of the step law, by
the draw of it that sustains most, and by the one that sustains least (the ends of 95 %).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.decisions.step_fit import StepFit
from harness.decisions.twin import Deployment, Outcome, Requests, simulate_fleet
from harness.decisions.twin_capacity import Objective, Served, TwinCapacity, step_model

_APART_S = 1e5  # between two requests that never meet


class Sizes(NamedTuple):
    """Replicas by the upper end of what one sustains, the point, the lower end."""

    fewest: int
    likely: int
    needed: int


def played_sizes(
    fit: StepFit, deployment: Deployment, capacity: TwinCapacity, objective: Objective,
    hours: Sequence[Requests], by_rates: Sequence[Sizes], most: int,
) -> list[Sizes]:  # fmt: skip
    """by_rates: of each hour, where the search begins.  most: where it ends.

    An hour in which not even requests that never meet keep the share stays as its rates have it:
    no number of replicas helps there.
    """
    fits = fits_of(fit, capacity)
    found = []
    for requests, rates in zip(hours, by_rates, strict=True):
        sizes: list[int] = []
        for own, at_least in zip(fits, rates, strict=True):
            begin = max([at_least, *sizes])  # a slower law never needs fewer
            sizes.append(_size(own, deployment, objective, requests, begin, most))
        found.append(Sizes(*sizes))
    return found


def fits_of(fit: StepFit, capacity: TwinCapacity) -> tuple[StepFit, StepFit, StepFit]:
    """The fit with the draw at the upper end of the sustained rate, as it is, and at the lower."""
    pairs = zip(capacity.draws, fit.likely, strict=False)
    ranked = [draw for _, draw in sorted(pairs, key=lambda pair: pair[0])]
    if not ranked:
        return fit, fit, fit
    last = len(ranked) - 1
    ends = [ranked[round(share * last)] for share in (0.975, 0.025)]
    return replace(fit, hinge=ends[0]), fit, replace(fit, hinge=ends[1])


def least_replicas(is_enough: Callable[[int], bool], at_least: int, most: int) -> int | None:
    """The least number from at_least to most that is enough; None where not even most is.

    is_enough: holds for every number above one that it holds for.
    """
    low = high = at_least
    while not is_enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def good_of(
    fit: StepFit, requests: Requests, outcome: Outcome, objective: Objective
) -> npt.NDArray[np.bool_]:
    """[n] which requests keep every limit, what lies outside the engine included."""
    outside_s = fit.outside_s(fit.hinge, requests.n_in)
    ttft_s = np.where(outcome.is_refused, np.inf, outcome.ttft_s + outside_s)
    e2e_s = np.where(outcome.is_refused, np.inf, outcome.e2e_s + outside_s)
    served = Served(requests, ttft_s, outcome.tpot_s, e2e_s, outcome)
    return np.asarray(~np.any(list(served.misses(objective).values()), axis=0))


def _size(
    fit: StepFit, deployment: Deployment, objective: Objective, requests: Requests, begin: int,
    most: int,
) -> int:  # fmt: skip
    model = step_model(fit.hinge)

    def share(served: Requests, replicas: int) -> float:
        outcome = simulate_fleet(
            model, deployment, served, replicas=replicas, router="least_loaded"
        )
        return float(good_of(fit, served, outcome, objective).mean())

    def is_enough(replicas: int) -> bool:
        return share(requests, replicas) >= objective.attainment

    if begin >= most or not len(requests) or is_enough(begin):
        return begin
    alone = replace(requests, arrival_s=_APART_S * np.arange(len(requests), dtype=np.float64))
    if share(alone, 1) < objective.attainment:
        return begin
    return least_replicas(is_enough, begin + 1, most) or begin

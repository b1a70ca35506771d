"""The highest rate that keeps the SLO, as an interval, from the rates that were measured.

Where enough windows stand near the crossing to show how much windows differ, windows are the sample
(over_windows.py). Else, point: where the isotonic fit of attainment over rate crosses the share
asked for; interval: that crossing bootstrapped over spans of the windows, hulled with the bracket
[highest rate that holds, lowest that misses], so that it never claims more than the bounds of
single rates do, which hold as far as windows are alike. The estimate names its method. From open
load alone: a closed loop slows down with its target and proves no rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis import PointSummary
from harness.decisions.isotonic import crossing, falling_fit
from harness.decisions.levels import NO_BRACKET, Bracket, Level, bracket, ladders, levels_of
from harness.decisions.over_windows import Crossing, crossing_of
from harness.decisions.wording import amount
from harness.estimate import Estimate
from harness.units import brief

NUM_DRAWS = 1000
OVER_WINDOWS = "logistic fit of attainment over log rate; profile F interval, windows the sample"
METHOD = "isotonic fit of attainment; bootstrap over spans, hulled with the bracket"
NO_SHARE = "the scenario asks for no share of good requests; set slo.attainment, such as 99%"
NO_RATES = "no open load was measured whose requests have limits to keep"


@dataclass(frozen=True, slots=True)
class Violation:
    """A higher rate that did surely better than a lower one: no monotone curve holds both.

    Prefix caches can do that (a busier cache is warmer), and so can a target that was disturbed.
    """

    low_req_per_s: float
    high_req_per_s: float
    low_share: float
    high_share: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """estimate: max_goodput in req/s.  share: what was asked for.  levels: by rising rate.

    fit: [m] isotonic attainment at each level.  over_windows: what the estimate rests on, None
    where too few windows stand near the crossing.  A bracket without `high` says that every rate
    measured holds, one without `low` that none surely does.
    """

    estimate: Estimate
    share: float | None = None
    levels: tuple[Level, ...] = ()
    fit: tuple[float, ...] = ()
    bracket: Bracket = NO_BRACKET
    violations: tuple[Violation, ...] = ()
    over_windows: Crossing | None = None


def sustained(points: Sequence[PointSummary], share: float | None = None) -> Estimate:
    """max_goodput of a sweep or search: req/s, with a 95 % interval.

    points: of one target that differ in the rate alone (`levels.ladders` sorts them).  share: the
    least share of good requests; None: the scenario's slo.attainment.
    low is absent where no rate surely holds, high where none surely misses; the value is absent,
    with its reason, where no rate was measured or not even the lowest reaches the share.
    """
    return find_capacity(points, share).estimate


def find_capacity(points: Sequence[PointSummary], share: float | None = None) -> Capacity:
    """As sustained, with everything it was drawn from."""
    asked = share if share is not None else _asked(points)
    if asked is None:
        return Capacity(_absent(NO_SHARE))
    if len(ladders(points)) > 1:
        names = ", ".join(" ".join(key) for key in ladders(points))
        return Capacity(_absent(f"several targets or settings have a capacity each: {names}"))
    levels = levels_of(points)
    if not levels:
        return Capacity(_absent(NO_RATES), asked)
    return capacity_of(levels, asked)


def capacity_of(levels: Sequence[Level], share: float, seed: int = 0) -> Capacity:
    """levels: at least one, by rising rate.  share: 0..1.  seed: of the bootstrap."""
    rates = [level.rate_req_per_s for level in levels]
    # a backlog in which nobody was answered is one observation, and not none
    weights = np.array([max(1.0, level.n_eff) for level in levels])
    fit = falling_fit([level.share for level in levels], weights)
    ends = bracket(levels, share)
    rng = np.random.default_rng([seed, len(levels)])
    drawn = falling_fit(np.stack([_draws(level, rng) for level in levels], axis=-1), weights)
    at = crossing(rates, drawn, share)
    spread = (float(np.quantile(at, 0.025)), float(np.quantile(at, 0.975)))
    value: float | None = float(crossing(rates, fit, share))
    reason = ""
    if fit[0] < share:
        value = None
        reason = (
            f"not even {brief(rates[0], 4)} req/s, the lowest rate measured, keeps"
            f" {amount(share, 'ratio')} of requests good"
        )
    elif ends.high is None:
        reason = (
            "no rate measured surely misses: the capacity may lie above"
            f" {brief(rates[-1], 4)} req/s"
        )
    elif ends.low is None:
        reason = "no rate measured surely holds: each needs more requests"
    estimate = Estimate(
        "max_goodput", "rate", "req/s", value,
        None if ends.low is None else min(ends.low, spread[0]),
        None if ends.high is None else max(ends.high, spread[1]),
        n=sum(level.num_valid for level in levels), n_eff=float(weights.sum()),
        method=METHOD, reason=reason, population="valid",
    )  # fmt: skip
    seen = crossing_of(levels, share)
    if seen is not None and not seen.is_seen:
        seen = None
    if seen is not None and value is not None:
        estimate = _over_windows(estimate, seen, rates)
    return Capacity(
        estimate, share, tuple(levels), tuple(map(float, fit)), ends, violations(levels), seen
    )


def _over_windows(e: Estimate, seen: Crossing, rates: Sequence[float]) -> Estimate:
    reason = ""
    if seen.high is None:
        reason = f"the capacity may lie above {brief(rates[-1], 4)} req/s"
    elif seen.low is None:
        reason = f"the capacity may lie below {brief(rates[0], 4)} req/s"
    return replace(
        e, value=seen.value, low=seen.low, high=seen.high, method=OVER_WINDOWS, reason=reason
    )


def violations(levels: Sequence[Level]) -> tuple[Violation, ...]:
    """Every pair of rates whose bounds contradict a falling curve, the closest pair of each."""
    found = []
    for i, upper in enumerate(levels):
        low = upper.bounds().low
        for lower in reversed(levels[:i]):
            high = lower.bounds().high
            if upper.is_stable and low is not None and (
                not lower.is_stable or (high is not None and high < low)
            ):  # fmt: skip
                found.append(
                    Violation(lower.rate_req_per_s, upper.rate_req_per_s, lower.share, upper.share)
                )
                break
    return tuple(found)


def _draws(level: Level, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """[NUM_DRAWS] shares of the level with its spans drawn again; unstable ones stay at 0."""
    parts = np.array([part for part in level.parts if part[1]], dtype=np.float64)
    if not level.is_stable or not len(parts):
        return np.full(NUM_DRAWS, level.share)
    chosen = rng.integers(0, len(parts), (NUM_DRAWS, len(parts)))
    good, valid = parts[chosen].sum(axis=1).T
    return np.asarray(good / valid)


def _asked(points: Iterable[PointSummary]) -> float | None:
    """The one share that every point asks for."""
    found = {p.meta.slo.attainment for p in points}
    return found.pop() if len(found) == 1 else None


def _absent(reason: str) -> Estimate:
    return Estimate("max_goodput", "rate", "req/s", None, reason=reason, population="valid")

"""Claims that one target beats another: C10, steadier; C12, N times as fast. Blocks in turns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import Frame
from harness.analysis.paired import SubsetMeans
from harness.analysis.quantiles import needed_requests, type7
from harness.analysis.time_blocks import LEAST_IN_BLOCK, block_index
from harness.decisions.claims.counted import Counted, left_share, tpot, ttft, unless_left_out
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, missing
from harness.decisions.claims.paired import Pairs, bounds, paired, times
from harness.scenario.claims import Claim
from harness.units import significant, write_seconds


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What is compared. metric: that must not be withheld.  of_block: its number, from the sorted
    values of a block of at least `least` requests; None where it has none."""

    metric: str
    count: Callable[[Frame], Counted]
    of_block: Callable[[np.ndarray[tuple[int], np.dtype[np.float64]]], float | None]
    least: int


@dataclass(frozen=True, slots=True)
class _Both:
    """share: of the requests, on the side where they are more, that say nothing."""

    means: SubsetMeans
    pairs: Pairs
    figures: Figures
    share: float


def stability(claim: Claim, evidence: Evidence) -> Finding:
    """log(p99/p50) of TTFT by block, the target's less the other's: negative is steadier."""
    spread = _Quantity("ttft", ttft, _spread, needed_requests(0.99))
    both = _two_targets(claim, evidence, spread)
    if isinstance(both, str):
        return missing(claim, both)
    means = both.means
    low, high = bounds(means, claim.alpha)
    ratio = math.exp(means.mean)
    reason = (
        f"p99/p50 on {claim.scope.target} is {significant(ratio)} times that on"
        f" {claim.scope.against} ({times(low)} to {times(high)}, {means.k} pairs of blocks)"
    )
    standing = both.pairs.judge(means, 0.0, claim)
    standing, reason = unless_left_out(claim, standing, reason, both.share, both.figures)
    return paired(claim, standing, reason, both.figures, means, low, high)


def tier_speed(claim: Claim, evidence: Evidence) -> Finding:
    """log(TPOT of the other / TPOT of the target) by block, against log of the factor claimed."""
    median = _Quantity("tpot", tpot, lambda own: type7(own, 0.5), LEAST_IN_BLOCK)
    both = _two_targets(claim, evidence, median)
    if isinstance(both, str):
        return missing(claim, both)
    means = both.means
    # d = log(target) - log(other): N times faster is d = -log N or below
    standing = both.pairs.judge(means, -math.log(claim.number), claim)
    low, high = bounds(means, claim.alpha)
    swapped = (None if high is None else -high, None if low is None else -low)
    reason = (
        f"{claim.scope.target} is {significant(math.exp(-means.mean))} times as fast as"
        f" {claim.scope.against} ({times(swapped[0])} to {times(swapped[1])}, {means.k} pairs),"
        f" claimed {claim.number:g}"
    )
    standing, reason = unless_left_out(claim, standing, reason, both.share, both.figures)
    return paired(claim, standing, reason, both.figures, means, low, high)


def _two_targets(claim: Claim, evidence: Evidence, quantity: _Quantity) -> _Both | str:
    """Blocks of the two targets at the same place of windows paired, or why there is none."""
    own, other = claim.scope.target, claim.scope.against
    if own is None or other is None:
        return "the claim names no two targets (scope.target, scope.against)"
    sides = [
        _placed(evidence, name, runs, quantity.metric)
        for name, runs in zip((own, other), _runs_of(evidence, (own, other)), strict=True)
    ]
    if not all(sides):
        return _absence(evidence, (own, other), quantity.metric)
    counted = [{place: quantity.count(m.frame) for place, m in s.items()} for s in sides]
    values = [
        {(p, b): v for p, m in s.items() for b, v in _blocks(m.frame, c[p], claim, quantity)}
        for s, c in zip(sides, counted, strict=True)
    ]
    both = [(values[0][at], values[1][at]) for at in sorted(values[0].keys() & values[1].keys())]
    pairs, figures = Pairs.of(both), Figures()
    if not pairs.d:
        return f"no block of {write_seconds(claim.scope.block)} holds enough requests on both"
    figures.add("measured on", targets_of([m for s in sides for m in s.values()]))
    known = np.log([pair for pair in both if math.isfinite(max(pair))])
    for name, middle in zip((own, other), np.exp(known.mean(axis=0)).tolist(), strict=True):
        figures.add(f"{name}, geometric mean of {len(known)} blocks", significant(middle), middle)
    pairs.tell(figures)
    share = max(
        left_share([m.frame for m in s.values()], list(c.values()))
        for s, c in zip(sides, counted, strict=True)
    )
    return _Both(SubsetMeans.of(pairs.d), pairs, figures, share)


_Place = tuple[int, str, int, int, int]


def _runs_of(evidence: Evidence, names: tuple[str, str]) -> tuple[list[str], list[str]]:
    """The runs of either side, in order: those that measured both, where there are any."""
    own, other = ({m.run_id for m in evidence.measured if m.target == name} for name in names)
    shared = sorted(own & other)
    return (shared, shared) if shared else (sorted(own), sorted(other))


def _placed(
    evidence: Evidence, target: str, runs: list[str], metric: str
) -> dict[_Place, Measured]:
    """The target's windows by their place: run, what was swept, stage, repeat. One that is not
    valid, or was never measured, leaves its place empty and moves no other."""
    own = [m for m in evidence.measured if m.target == target and m.run_id in runs]
    count: Counter[tuple[int, str, int, int]] = Counter()
    found = {}
    for m in sorted(own, key=lambda m: (m.run_id, m.summary.meta.t0_ns)):
        meta = m.summary.meta
        place = (runs.index(m.run_id), repr(meta.swept), meta.stage_index, meta.repeat)
        count[place] += 1
        if m.is_usable and not m.withheld(metric):
            found[(*place, count[place])] = m
    return found


def _absence(evidence: Evidence, names: tuple[str, str], metric: str) -> str:
    own = [m for m in evidence.measured if m.target in names]
    if {m.target for m in own} != set(names):
        return f"no run measured both {names[0]} and {names[1]}"
    void = [m.summary.invalid_reasons[0] for m in own if not m.is_usable]
    silent = [why for m in own if (why := m.withheld(metric))]
    return f"no window that tells {metric} on both: {(void + silent)[0]}"


def _spread(ordered: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    """p99/p50; failures = infinity."""
    p99, p50 = type7(ordered, 0.99), type7(ordered, 0.5)
    if p50 <= 0:
        return None
    return math.inf if math.isinf(p99) else p99 / p50


def _blocks(
    frame: Frame, counted: Counted, claim: Claim, quantity: _Quantity
) -> list[tuple[int, float]]:
    """The number of each block that has enough requests."""
    index = block_index(frame, claim.scope.block)
    chosen = counted.is_told & frame.is_last
    found = []
    for block in np.unique(index[index >= 0]).tolist():
        ordered = np.sort(counted.values[chosen & (index == block)])
        if len(ordered) < quantity.least:
            continue
        value = quantity.of_block(ordered)
        if value is not None:
            found.append((block, value))
    return found

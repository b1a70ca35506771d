"""Claims that one target beats another: C10, steadier; C12, N times as fast. Blocks in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from harness.analysis.frame import FloatArray, Frame, elapsed_s
from harness.analysis.paired import SubsetMeans
from harness.analysis.quantiles import needed_requests, type7
from harness.analysis.time_blocks import LEAST_IN_BLOCK, block_index
from harness.analysis.tokens import token_times
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, missing
from harness.decisions.claims.paired import Pairs, bounds, paired, times
from harness.scenario.claims import Claim
from harness.units import significant, write_seconds


def stability(claim: Claim, evidence: Evidence) -> Finding:
    """log(p99/p50) of TTFT by block, the target's less the other's: negative is steadier."""
    found = _two_targets(claim, evidence, _spread)
    if isinstance(found, str):
        return missing(claim, found)
    means, pairs, figures = found
    low, high = bounds(means, claim.alpha)
    standing = pairs.judge(means, 0.0, claim)
    ratio = math.exp(means.mean)
    reason = (
        f"p99/p50 on {claim.scope.target} is {significant(ratio)} times that on"
        f" {claim.scope.against} ({times(low)} to {times(high)}, {means.k} pairs of blocks)"
    )
    return paired(claim, standing, reason, figures, means, low, high)


def tier_speed(claim: Claim, evidence: Evidence) -> Finding:
    """log(TPOT of the other / TPOT of the target) by block, against log of the factor claimed."""
    found = _two_targets(claim, evidence, _tpot)
    if isinstance(found, str):
        return missing(claim, found)
    means, pairs, figures = found
    # d = log(target) - log(other): N times faster is d = -log N or below
    standing = pairs.judge(means, -math.log(claim.number), claim)
    low, high = bounds(means, claim.alpha)
    swapped = (None if high is None else -high, None if low is None else -low)
    reason = (
        f"{claim.scope.target} is {significant(math.exp(-means.mean))} times as fast as"
        f" {claim.scope.against} ({times(swapped[0])} to {times(swapped[1])}, {means.k} pairs),"
        f" claimed {claim.number:g}"
    )
    return paired(claim, standing, reason, figures, means, low, high)


def _two_targets(
    claim: Claim, evidence: Evidence, number: Callable[[Frame, Claim], dict[int, float]]
) -> tuple[SubsetMeans, Pairs, Figures] | str:
    """Blocks of the two targets at the same place of windows paired in the order measured, or why
    there is none."""
    own, other = claim.scope.target, claim.scope.against
    if own is None or other is None:
        return "the claim names no two targets (scope.target, scope.against)"
    sides = [evidence.exactly(name) for name in (own, other)]
    if not all(sides):
        return f"no run measured both {own} and {other}"
    values = [
        {(i, b): v for i, m in enumerate(_in_time(side)) for b, v in number(m.frame, claim).items()}
        for side in sides
    ]
    both = [(values[0][at], values[1][at]) for at in sorted(values[0].keys() & values[1].keys())]
    pairs, figures = Pairs.of(both), Figures()
    if not pairs.d:
        return f"no block of {write_seconds(claim.scope.block)} holds enough requests on both"
    figures.add("measured on", targets_of([*sides[0], *sides[1]]))
    known = np.log([pair for pair in both if math.isfinite(max(pair))])
    for name, middle in zip((own, other), np.exp(known.mean(axis=0)).tolist(), strict=True):
        figures.add(f"{name}, geometric mean of {len(known)} blocks", significant(middle), middle)
    pairs.tell(figures)
    return SubsetMeans.of(pairs.d), pairs, figures


def _in_time(measured: Sequence[Measured]) -> list[Measured]:
    return sorted(measured, key=lambda m: (m.run_id, m.summary.meta.t0_ns))


def _spread(frame: Frame, claim: Claim) -> dict[int, float]:
    """p99/p50 of each block that carries a p99; failures = infinity."""
    ttft = np.where(frame.is_failed, np.inf, elapsed_s(frame.first_token_s, frame.intended_s))
    found = {}
    for b, own in _blocks(frame, ttft, claim.scope.block, needed_requests(0.99)).items():
        p99, p50 = type7(own, 0.99), type7(own, 0.5)
        if p50 > 0:
            found[b] = math.inf if math.isinf(p99) else p99 / p50
    return found


def _tpot(frame: Frame, claim: Claim) -> dict[int, float]:
    """Median of each block; failures = infinity."""
    tpot = np.where(frame.is_failed, np.inf, token_times(frame).tpot_s)
    own = _blocks(frame, tpot, claim.scope.block, LEAST_IN_BLOCK)
    return {b: type7(values, 0.5) for b, values in own.items()}


def _blocks(frame: Frame, values: FloatArray, block_s: float, least: int) -> dict[int, FloatArray]:
    index = block_index(frame, block_s)
    chosen = frame.is_valid & frame.is_last & ~np.isnan(values)
    own = {int(b): np.sort(values[chosen & (index == b)]) for b in np.unique(index[index >= 0])}
    return {b: v for b, v in own.items() if len(v) >= least}

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
from harness.decisions.claims.paired import bounds, judge, paired, times
from harness.scenario.claims import Claim
from harness.units import significant, write_seconds


def stability(claim: Claim, evidence: Evidence) -> Finding:
    """log(p99/p50) of TTFT by block, the target's less the other's: negative is steadier."""
    found = _two_targets(claim, evidence, _spread)
    if isinstance(found, str):
        return missing(claim, found)
    means, figures = found
    low, high = bounds(means, claim.alpha)
    standing = judge(means, 0.0, claim.alpha)
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
    means, figures = found
    # d = log(target) - log(other): N times faster is d = -log N or below
    standing = judge(means, -math.log(claim.number), claim.alpha)
    low, high = bounds(means, claim.alpha)
    swapped = (None if high is None else -high, None if low is None else -low)
    reason = (
        f"{claim.scope.target} is {significant(math.exp(-means.mean))} times as fast as"
        f" {claim.scope.against} ({times(swapped[0])} to {times(swapped[1])}, {means.k} pairs),"
        f" claimed {claim.number:g}"
    )
    return paired(claim, standing, reason, figures, means, low, high)


def _two_targets(
    claim: Claim, evidence: Evidence, number: Callable[[Frame, Claim], list[float]]
) -> tuple[SubsetMeans, Figures] | str:
    """Blocks of the two targets paired in the order measured, or why there is none."""
    own, other = claim.scope.target, claim.scope.against
    if own is None or other is None:
        return "the claim names no two targets (scope.target, scope.against)"
    sides = [evidence.exactly(name) for name in (own, other)]
    if not all(sides):
        return f"no run measured both {own} and {other}"
    values = [[v for m in _in_time(side) for v in number(m.frame, claim)] for side in sides]
    num = min(map(len, values))
    if not num:
        return f"no block of {write_seconds(claim.scope.block)} holds enough requests on both"
    d = [math.log(a) - math.log(b) for a, b in zip(values[0][:num], values[1][:num], strict=True)]
    figures = Figures()
    figures.add("measured on", targets_of([*sides[0], *sides[1]]))
    for name, side in zip((own, other), values, strict=True):
        middle = math.exp(float(np.mean(np.log(side[:num]))))
        figures.add(f"{name}, geometric mean of {num} blocks", significant(middle), middle)
    return SubsetMeans.of(d), figures


def _in_time(measured: Sequence[Measured]) -> list[Measured]:
    return sorted(measured, key=lambda m: (m.run_id, m.summary.meta.t0_ns))


def _spread(frame: Frame, claim: Claim) -> list[float]:
    """p99/p50 of each block that carries a p99; failures = infinity, so a block may be lost."""
    ttft = np.where(frame.is_failed, np.inf, elapsed_s(frame.first_token_s, frame.intended_s))
    found = []
    for own in _blocks(frame, ttft, claim.scope.block, needed_requests(0.99)):
        p99, p50 = type7(own, 0.99), type7(own, 0.5)
        if math.isfinite(p99) and p50 > 0:
            found.append(p99 / p50)
    return found


def _tpot(frame: Frame, claim: Claim) -> list[float]:
    tpot = token_times(frame).tpot_s
    return [type7(own, 0.5) for own in _blocks(frame, tpot, claim.scope.block, LEAST_IN_BLOCK)]


def _blocks(frame: Frame, values: FloatArray, block_s: float, least: int) -> list[FloatArray]:
    index = block_index(frame, block_s)
    chosen = frame.is_valid & frame.is_last & ~np.isnan(values)
    own = [np.sort(values[chosen & (index == b)]) for b in np.unique(index[index >= 0])]
    return [v for v in own if len(v) >= least]

"""C13: what a cached prompt saves, in time and in money."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.frame import BoolArray, Frame
from harness.analysis.paired import SubsetMeans
from harness.analysis.quantiles import type7
from harness.analysis.time_blocks import LEAST_IN_BLOCK, block_index
from harness.decisions.claims.counted import left_share, ttft, unless_left_out
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, Standing, missing
from harness.decisions.claims.paired import Pairs, bounds, paired, times
from harness.scenario.claims import Claim
from harness.units import significant, write_share


def prefix_caching(claim: Claim, evidence: Evidence) -> Finding:
    """Cached prompts against uncached ones of equal length, in the same blocks: TTFT, and the bill.

    Both ratios must be at most the value (times 1 + margin) for support; either surely above
    refutes. The bill follows from the cached tokens that the server told, at the sheet's prices.
    """
    hit, miss = claim.scope.hit, claim.scope.miss
    own = evidence.of(claim, "ttft")
    runs = [m for m in own if {hit, miss} <= set(m.summary.meta.classes)]
    if not runs:
        return missing(claim, f"no run has the classes '{hit}' and '{miss}'")
    figures = Figures()
    figures.add("measured on", targets_of(runs))
    lengths = [_mean_in(runs, name) for name in (hit, miss)]
    figures.add("prompt tokens, cached / not", f"{lengths[0]:,.1f} / {lengths[1]:,.1f}")
    if not min(lengths) > 0 or abs(math.log(lengths[0] / lengths[1])) > math.log(
        1 + claim.scope.margin
    ):
        most = write_share(claim.scope.margin)
        reason = f"the two classes differ in prompt length by more than {most}: not comparable"
        return Finding(claim, Standing.INCONCLUSIVE, reason, (), figures.done())
    pairs = sum((_hit_pairs(m.frame, claim) for m in runs), Pairs(()))
    if not pairs.d:
        return missing(claim, "no block holds enough answers of both classes")
    means = SubsetMeans.of(pairs.d)
    pairs.tell(figures)
    limit = math.log(claim.number * (1 + claim.scope.margin))
    standing = pairs.judge(means, limit, claim)
    low, high = bounds(means, claim.alpha)
    told = f"{significant(math.exp(means.mean))} ({times(low)} to {times(high)})"
    figures.add("TTFT, cached over not", told, math.exp(means.mean))
    money = _bill_ratio(runs, evidence, hit)
    reason = f"TTFT with a cached prompt is {told} of that without, {means.k} pairs of blocks"
    frames = [m.frame for m in runs]
    share = left_share(frames, [ttft(frame) for frame in frames])
    standing, reason = unless_left_out(claim, standing, reason, share, figures)
    if money is not None:
        cached, ratio = money
        figures.add("prompt tokens told as cached", write_share(round(cached, 4)), cached)
        figures.add("input bill, cached over not", significant(ratio), ratio)
        reason += f"; its input bill {significant(ratio)} (cached share {100 * cached:.3g}%)"
        if ratio > math.exp(limit) + 1e-9:
            standing = Standing.REFUTED
    else:
        reason += "; the bill is not known (no cached tokens told, or no price)"
        if standing is Standing.SUPPORTED:
            standing = Standing.INCONCLUSIVE
    return paired(claim, standing, reason, figures, means, low, high)


def _of_class(frame: Frame, name: str) -> BoolArray:
    return frame.scope(name) & frame.is_measured & frame.is_last & frame.is_success


def _mean_in(runs: Sequence[Measured], name: str) -> float:
    known = np.concatenate([m.frame.n_in[_of_class(m.frame, name)] for m in runs])
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else 0.0


def _hit_pairs(frame: Frame, claim: Claim) -> Pairs:
    """Median TTFT of hits and of misses in each block that holds five of both; failures =
    infinity."""
    counted = ttft(frame)
    index = block_index(frame, claim.scope.block)
    chosen = counted.is_told & frame.is_last
    found = []
    for block in np.unique(index[index >= 0]):
        sides = [
            np.sort(counted.values[chosen & frame.scope(name) & (index == block)])
            for name in (claim.scope.hit, claim.scope.miss)
        ]
        if min(map(len, sides)) >= LEAST_IN_BLOCK:
            found.append((type7(sides[0], 0.5), type7(sides[1], 0.5)))
    return Pairs.of(found)


def _bill_ratio(
    runs: Sequence[Measured], evidence: Evidence, hit: str
) -> tuple[float, float] | None:
    """(cached share of the hits' input tokens, their input bill over that of fresh ones)."""
    total = cached = 0.0
    for m in runs:
        own = _of_class(m.frame, hit)
        total += float(np.nan_to_num(m.frame.n_in[own]).sum())
        cached += float(np.nan_to_num(m.frame.cached_tok[own]).sum())
    if not total or not cached:
        return None
    sheet = evidence.sheet
    name = sheet.row(runs[0].model)
    row = sheet.serverless[name] if name else None
    off = sheet.cached_input.discount if sheet.cached_input else None
    if row is not None and row.input is not None and row.cached_input is not None:
        off = 1 - row.cached_input.point / row.input.point if row.input.point else None
    if off is None:
        return None
    return cached / total, 1 - off * cached / total

"""What claims of pairs share: the exact test of paired logs against a limit, and its words."""

from __future__ import annotations

import math

from harness.analysis.paired import SubsetMeans
from harness.decisions.claims.finding import Figures, Finding, Standing
from harness.scenario.claims import Claim
from harness.units import significant


def judge(means: SubsetMeans, limit: float, alpha: float) -> Standing:
    """Whether the mean of d is surely at most `limit`, surely above it, or open."""
    if means.p_better(limit) <= alpha + 1e-12:
        return Standing.SUPPORTED
    return Standing.REFUTED if means.p_worse(limit) <= alpha + 1e-12 else Standing.INCONCLUSIVE


def bounds(means: SubsetMeans, alpha: float) -> tuple[float | None, float | None]:
    ends = means.interval(1 - 2 * alpha)
    return ends.low, ends.high


def paired(
    claim: Claim, standing: Standing, reason: str, figures: Figures, means: SubsetMeans,
    low: float | None, high: float | None,
) -> Finding:  # fmt: skip
    if means.k < claim.min_n:
        standing = Standing.INCONCLUSIVE
        reason = f"{means.k} pairs where {claim.min_n} are asked for; {reason}"
    least, most = (None if e is None else math.exp(e) for e in (low, high))
    return Finding(
        claim, standing, reason, (), figures.done(), math.exp(means.mean), least, most, means.k
    )


def times(log: float | None) -> str:
    return "no bound" if log is None else significant(math.exp(log))

"""Intervals of a share that was counted by windows, failures coming in outages.

Windows are what is left of a point once it was summarised: how many requests, how many bad. Counted
as if independent, thousands of requests of one outage would look like thousands of proofs. So
k of n are divided by a design effect with two parts: how much more the windows scatter than a
binomial would (Pearson's dispersion), times how long that scatter lasts (autocorrelation of the
windows). Both 1 where failures are independent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import FloatArray, IntArray
from harness.analysis.intervals import Interval, clopper_pearson
from harness.analysis.summary import UptimeWindow

LEAST_DAYS = 14


def window_effect(num_bad: Sequence[int], num_valid: Sequence[int]) -> float:
    """deff >= 1 of a share over windows in order, at most their requests.

    num_bad, num_valid: [w], windows without a request left out by the caller.
    """
    k, n = np.asarray(num_bad, dtype=np.float64), np.asarray(num_valid, dtype=np.float64)
    total = float(n.sum())
    if len(k) < 2 or total <= 0:
        return 1.0
    share = float(k.sum()) / total
    if not 0 < share < 1:
        return 1.0
    scatter = float(((k - n * share) ** 2 / (n * share * (1 - share))).sum()) / (len(k) - 1)
    return float(np.clip(max(1.0, scatter) * design_effect(k / n - share), 1.0, total))


def clustered_bounds(
    num_bad: Sequence[int], num_valid: Sequence[int], confidence: float = 0.975
) -> Interval:
    """Clopper-Pearson bounds of the bad share, each at `confidence`, k and n over the effect."""
    deff = window_effect(num_bad, num_valid)
    return clopper_pearson(sum(num_bad), sum(num_valid), confidence, deff)


def mean_interval(windows: Sequence[UptimeWindow], seed: int = 0) -> Interval:
    """95 % interval of the mean of the windows' good shares (definition A).

    Fourteen days or more: days are drawn with replacement. Fewer: Clopper-Pearson of the windows'
    bad shares, their number over an effect of its own, which may lie below 1 since a share of many
    requests scatters less than a window that is up or down; never below that of the requests.
    """
    seen = [w for w in windows if w.num_valid]
    if not seen:
        return Interval(None, None)
    shares = np.array([w.num_bad / w.num_valid for w in seen])
    days = np.array([int(w.start_s // 86_400) for w in seen])
    if len(np.unique(days)) >= LEAST_DAYS and shares.any():
        return _days_drawn(1 - shares, days, np.random.default_rng(seed))
    bad = float(shares.mean())
    deff = 1.0
    if len(seen) > 1 and 0 < bad < 1:
        scatter = float(shares.var(ddof=1)) / (bad * (1 - bad))
        least = len(seen) / sum(w.num_valid for w in seen)
        deff = max(scatter * design_effect(shares), least)
    ends = clopper_pearson(float(shares.sum()), len(seen), 0.975, deff)
    return Interval(*(None if end is None else 1 - end for end in (ends.high, ends.low)))


def _days_drawn(shares: FloatArray, days: IntArray, rng: np.random.Generator) -> Interval:
    """Percentiles over 2,000 draws of whole days: what one night did, it may do again."""
    names, index = np.unique(days, return_inverse=True)
    total = np.bincount(index, weights=shares)
    count = np.bincount(index).astype(np.float64)
    drawn = rng.integers(0, len(names), (2000, len(names)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))

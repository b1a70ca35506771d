"""Intervals of a share: Wilson for showing, Clopper-Pearson for judging.

k of n, both divided by the design effect first where the series is correlated. Clopper-Pearson
guarantees its coverage; Wilson is narrower and close to it on average (Brown, Cai, DasGupta 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of an interval; None where the sample cannot carry that end."""

    low: float | None
    high: float | None


def wilson(k: float, n: float, level: float = 0.95, deff: float = 1.0) -> Interval:
    """Two-sided Wilson score interval of k / n; no interval when n is 0."""
    if n <= 0:
        return Interval(None, None)
    share, size = k / n, n / deff
    z = float(special.ndtri((1 + level) / 2))
    centre = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * np.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    # the exact ends at the boundary, free of rounding
    return Interval(
        0.0 if k == 0 else float(max(0.0, centre - half)),
        1.0 if k == n else float(min(1.0, centre + half)),
    )


def clopper_pearson(k: float, n: float, confidence: float = 0.95, deff: float = 1.0) -> Interval:
    """The two one-sided bounds of k / n, each at `confidence` (so two-sided at 2 c - 1).

    upper = Beta(c; k+1, n-k), lower = Beta(1-c; k, n-k+1).
    """
    if n <= 0:
        return Interval(None, None)
    k, n = k / deff, n / deff
    low = 0.0 if k <= 0 else float(special.betaincinv(k, n - k + 1, 1 - confidence))
    high = 1.0 if k >= n else float(special.betaincinv(k + 1, n - k, confidence))
    return Interval(low, high)

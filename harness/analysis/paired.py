"""The exact test of paired blocks: means of all non-empty subsets, one sorted vector.

A block gives one difference of logs, d = log(candidate / baseline), positive = worse. Under "the
median change is x" each d - x is as likely to be positive as negative, and flipping signs changes
nothing; the flips that exceed what was seen are the subsets whose mean lies at or below x. So one
sorted vector of 2^k - 1 subset means holds every p-value and every interval (Hartigan 1969,
"Using subsample values as typical values"). Nothing is assumed of the law but symmetry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import FloatArray
from harness.analysis.intervals import Interval

MOST_EXACT = 16  # blocks up to which every subset is listed: 65,535
NUM_RANDOM = 100_000
TIE = 1e-12  # sums of logs in another order differ by less: such a mean counts on both sides


@dataclass(frozen=True, slots=True)
class SubsetMeans:
    """means: [2^k - 1] ascending, or [100,000] drawn ones.  d: [k] the differences themselves."""

    d: FloatArray
    means: FloatArray

    @classmethod
    def of(cls, d: Sequence[float] | FloatArray, seed: int = 0) -> SubsetMeans:
        """d: finite, at least one.  seed: of the drawn subsets above 16 blocks."""
        values = np.asarray(d, dtype=np.float64)
        if len(values) <= MOST_EXACT:
            return cls(values, np.sort(_all_subsets(values)))
        return cls(values, np.sort(_drawn_subsets(values, np.random.default_rng(seed))))

    @property
    def k(self) -> int:
        return len(self.d)

    @property
    def mean(self) -> float:
        return float(self.d.mean())

    @property
    def sd(self) -> float:
        """Of the differences; NaN with one block."""
        return float(self.d.std(ddof=1)) if self.k > 1 else math.nan

    def p_worse(self, x: float = 0.0) -> float:
        """One-sided p against "the change is at most x": small where it is worse than x."""
        return (1 + int(np.searchsorted(self.means, x + TIE, "right"))) / (len(self.means) + 1)

    def p_better(self, x: float = 0.0) -> float:
        """One-sided p against "the change is at least x": small where it is better than x."""
        above = len(self.means) - int(np.searchsorted(self.means, x - TIE, "left"))
        return (1 + above) / (len(self.means) + 1)

    def p_two_sided(self) -> float:
        """Twice the smaller side at no change."""
        return min(1.0, 2 * min(self.p_worse(), self.p_better()))

    def interval(self, level: float = 0.95) -> Interval:
        """The r-th smallest to the r-th largest, r = floor((1 - level) / 2 x 2^k)."""
        rank = self._rank((1 - level) / 2)
        if rank < 1:
            return Interval(None, None)
        return Interval(float(self.means[rank - 1]), float(self.means[-rank]))

    def upper(self, alpha: float = 0.05) -> float | None:
        """One-sided upper bound at 1 - alpha; None where too few blocks carry one."""
        rank = self._rank(alpha)
        return float(self.means[-rank]) if rank >= 1 else None

    def _rank(self, share: float) -> int:
        return math.floor(share * (len(self.means) + 1) + 1e-9)


def _all_subsets(d: FloatArray) -> FloatArray:
    """[2^k - 1] means; sums and sizes double with each block."""
    sums, sizes = np.zeros(1), np.zeros(1)
    for value in d:
        sums = np.concatenate([sums, sums + value])
        sizes = np.concatenate([sizes, sizes + 1])
    return np.asarray(sums[1:] / sizes[1:])


def _drawn_subsets(d: FloatArray, rng: np.random.Generator) -> FloatArray:
    chosen = rng.random((NUM_RANDOM, len(d))) < 0.5
    chosen[~chosen.any(axis=1)] = True  # the empty one has no mean; one in 2^17 at most
    return np.asarray(chosen @ d / chosen.sum(axis=1))

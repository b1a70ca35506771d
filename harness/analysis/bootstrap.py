"""Intervals of rates and ratios of sums: the stationary bootstrap over time (Politis, Romano 1994).

A window is cut into bins; blocks of neighbouring bins with geometric lengths are drawn with
replacement, so that correlation over time survives. A block is ten times what the series remembers
(the longer of mean residence and integrated autocorrelation time). Where the window holds only a
few such blocks, percentiles alone are too narrow: deviations are widened by Student's t with one
degree of freedom less than there are blocks. A window shorter than four times that memory: no
interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import FloatArray, IntArray
from harness.analysis.intervals import Interval

NUM_DRAWS = 2000
BLOCK_PER_MEMORY = 10.0
LEAST_BLOCKS = 4
LEAST_BLOCK_PER_MEMORY = 1.0


@dataclass(frozen=True, slots=True)
class RatioIntervals:
    """A ratio of sums with both intervals. num_blocks: how many blocks the window holds."""

    value: float
    shown: Interval
    bound: Interval
    num_blocks: float
    reason: str


def ratio_intervals(
    numerator: FloatArray,
    denominator: FloatArray,
    bin_s: float,
    residence_s: float,
    rng: np.random.Generator,
    bound_level: float = 0.90,
) -> RatioIntervals:
    """Interval of sum(numerator) / sum(denominator), both [b] over bins of bin_s in order.

    residence_s: mean time a request stays.  Levels: 95 % two-sided, and bound_level for the
    bounds (90 %: each one-sided at 95 %).
    """
    total = float(denominator.sum())
    value = float(numerator.sum()) / total if total > 0 else 0.0
    none = Interval(None, None)
    if len(numerator) < 2 or total <= 0:
        return RatioIntervals(value, none, none, 0.0, "the window is too short for an interval")
    window_s = len(numerator) * bin_s
    memory_s = max(residence_s, bin_s * design_effect(numerator - value * denominator) / 2, bin_s)
    block_s = min(BLOCK_PER_MEMORY * memory_s, window_s / LEAST_BLOCKS)
    if block_s < LEAST_BLOCK_PER_MEMORY * memory_s:
        needed = LEAST_BLOCKS * LEAST_BLOCK_PER_MEMORY
        reason = (
            f"the window of {window_s:.0f} s is too short for an interval: the series remembers"
            f" {memory_s:.0f} s and needs {needed:.0f} times that"
        )
        return RatioIntervals(value, none, none, window_s / block_s, reason)
    blocks = _draw_blocks(len(numerator), max(1.0, block_s / bin_s), rng)
    sums = blocks.sums(denominator)
    draws = blocks.sums(numerator) / np.where(sums > 0, sums, np.nan)
    num_blocks = window_s / block_s
    shown, bound = (_widened(draws, value, num_blocks, level) for level in (0.95, bound_level))
    return RatioIntervals(value, shown, bound, num_blocks, "")


@dataclass(frozen=True, slots=True)
class _Blocks:
    """[NUM_DRAWS, k] first bin and length of each block; lengths of a draw sum to all bins."""

    start: IntArray
    length: IntArray

    def sums(self, per_bin: FloatArray) -> FloatArray:
        """[NUM_DRAWS] total of the drawn bins; blocks wrap round."""
        running = np.concatenate([[0.0], np.cumsum(np.concatenate([per_bin, per_bin]))])
        return np.asarray((running[self.start + self.length] - running[self.start]).sum(axis=1))


def _draw_blocks(num_bins: int, mean_block: float, rng: np.random.Generator) -> _Blocks:
    """Uniform starts, geometric lengths, the last block cut to fit."""
    expected = num_bins / mean_block
    # six standard deviations more than expected; the last one takes what is left
    most = math.ceil(expected + 6 * math.sqrt(expected) + 6)
    lengths = rng.geometric(1 / mean_block, (NUM_DRAWS, most))
    ends = np.minimum(np.cumsum(lengths, axis=1), num_bins)
    ends[:, -1] = num_bins
    starts = rng.integers(0, num_bins, (NUM_DRAWS, most))
    return _Blocks(starts, np.diff(ends, axis=1, prepend=0))


def _widened(draws: FloatArray, value: float, num_blocks: float, level: float) -> Interval:
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    freedom = max(num_blocks - 1, 1.0)
    widen = (
        float(special.stdtrit(freedom, 1 - tail) / special.ndtri(1 - tail))
        * math.sqrt(num_blocks / freedom)
    )  # fmt: skip
    return Interval(
        max(0.0, value - widen * (value - float(low))), value + widen * (float(high) - value)
    )

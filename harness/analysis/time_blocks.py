"""Requests in independent time blocks: one number a block, and bounds of the median over blocks.

Requests of one minute share its luck; a claim about what is typical is therefore counted in blocks
of time, never in requests. The bounds are order statistics: no distribution is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.intervals import Interval
from harness.analysis.quantiles import interval, type7

LEAST_IN_BLOCK = 5  # a median of fewer says little about its block


@dataclass(frozen=True, slots=True)
class BlockMedian:
    """The median over blocks with one-sided bounds, each at 1 - alpha. k: blocks."""

    value: float | None
    low: float | None
    high: float | None
    k: int


def block_index(frame: Frame, block_s: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """[n] block of each request by its intended send; -1 outside the window's whole blocks.

    A window shorter than a block is one block: parts of a run are measured apart.
    """
    num = math.floor(frame.window_s / block_s + 1e-9)
    if num < 1:
        return np.where(frame.is_measured, 0, -1)
    index = np.floor(frame.intended_s / block_s + 1e-9).astype(np.int64)
    return np.where(frame.is_measured & (index < num), index, -1)


def block_medians(
    frame: Frame, values: FloatArray, chosen: BoolArray, block_s: float, least: int = LEAST_IN_BLOCK
) -> list[float]:
    """The median of the chosen values in each block that has enough. values: inf where failed."""
    index = block_index(frame, block_s)
    found = []
    for block in np.unique(index[index >= 0]):
        own = np.sort(values[chosen & (index == block) & ~np.isnan(values)])
        if len(own) >= least:
            found.append(type7(own, 0.5))
    return found


def median_of_blocks(medians: Sequence[float], alpha: float = 0.05) -> BlockMedian:
    """Order-statistic bounds of the median of the blocks' law (binomial ranks)."""
    ordered = np.sort(np.asarray(medians, dtype=np.float64))
    if not len(ordered):
        return BlockMedian(None, None, None, 0)
    ends: Interval = interval(ordered, 0.5, float(len(ordered)), 1 - 2 * alpha)
    return BlockMedian(type7(ordered, 0.5), ends.low, ends.high, len(ordered))

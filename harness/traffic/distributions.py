"""Draws from the distributions a scenario names: lengths in tokens, times in seconds, groups.

Every function takes its generator. What a document says about a distribution (medians, limits) is
kept exactly: draws above `max` are redrawn, never clipped, so no spike appears at the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.scenario import document as doc

if TYPE_CHECKING:
    from harness.scenario.materials import QuantileTable

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Tables: TypeAlias = "Mapping[tuple[str, str], QuantileTable]"

_Z95 = 1.6448536269514722  # standard normal quantile of 0.95
_LEAST_SIGMA = 1e-9
_LEAST_BELOW_MAX = 0.001

AnyDistribution = (
    doc.Fixed | doc.Uniform | doc.Lognormal | doc.Exponential | doc.Empirical
    | doc.FixedTime | doc.UniformTime | doc.LognormalTime | doc.ExponentialTime
)  # fmt: skip


def draw(what: AnyDistribution, rng: np.random.Generator, count: int, tables: Tables) -> FloatArray:
    """[count] draws in the document's base unit (tokens or seconds), not rounded.

    tables: quantile tables of `empirical`, by (file, column).
    Raises UsageError where a table is missing or nearly every lognormal draw lies above `max`.
    """
    match what:
        case doc.Fixed() | doc.FixedTime():
            return np.full(count, what.value)
        case doc.Uniform() | doc.UniformTime():
            return rng.uniform(what.min, what.max, count)
        case doc.Lognormal() | doc.LognormalTime():
            return _lognormal(what.median, what.p95, what.max, rng, count)
        case doc.Exponential() | doc.ExponentialTime():
            return rng.exponential(what.mean, count)
        case doc.Empirical():
            return _empirical(what, rng, count, tables)


def draw_counts(
    what: doc.Lengths, rng: np.random.Generator, count: int, tables: Tables
) -> IntArray:
    """[count] whole numbers, 1 or more. `uniform` reaches both of its ends equally often."""
    if isinstance(what, doc.Uniform):
        low, high = max(1, math.ceil(what.min)), math.floor(what.max)
        return rng.integers(low, max(low, high), count, endpoint=True)
    return np.maximum(1, np.rint(draw(what, rng, count, tables))).astype(np.int64)


def draw_groups(
    popularity: doc.Uniform | doc.Zipf | None, groups: int, rng: np.random.Generator, count: int
) -> IntArray:
    """[count] group numbers 0..groups-1; zipf: group k is drawn with weight (k + 1)^-s."""
    if isinstance(popularity, doc.Zipf):
        weight = np.arange(1, groups + 1, dtype=np.float64) ** -popularity.s
    else:
        weight = np.ones(groups)
    return choose(weight, rng.random(count))


def choose(weight: FloatArray, uniform: FloatArray) -> IntArray:
    """Index drawn by weight for each uniform number in [0, 1)."""
    edges = np.cumsum(weight) / np.sum(weight)
    return np.minimum(np.searchsorted(edges, uniform, side="right"), len(weight) - 1)


def _lognormal(
    median: float, p95: float, limit: float, rng: np.random.Generator, count: int
) -> FloatArray:
    """Lognormal with the given median and 95th percentile, given that it is at most `limit`.

    The law of drawing again whatever lies above, by inverse CDF: one number a draw, so that more
    draws change none of the first.
    """
    from scipy.special import ndtr, ndtri  # heavy, and `harness --help` must not wait for it

    sigma = max(math.log(p95 / median) / _Z95, _LEAST_SIGMA)
    below = float(ndtr(math.log(limit / median) / sigma))
    if below < _LEAST_BELOW_MAX:
        raise UsageError(
            f"lognormal with median {median:g} cannot be drawn below max {limit:g}",
            why="nearly every draw lies above max",
            do="raise max, or lower the median",
        )
    drawn: FloatArray = median * np.exp(sigma * ndtri((1.0 - rng.random(count)) * below))
    return np.minimum(drawn, limit)


def _empirical(
    what: doc.Empirical, rng: np.random.Generator, count: int, tables: Tables
) -> FloatArray:
    """Inverse CDF: a uniform number looked up in the quantile table, linear between its rows."""
    table = tables.get((what.file, what.column))
    if table is None:
        raise UsageError(f"no table for column '{what.column}' of '{what.file}' was read")
    table = table.below(what.max)
    drawn: FloatArray = np.interp(rng.random(count), table.q, table.value)
    return drawn

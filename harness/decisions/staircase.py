"""Replicas of a fleet against its traffic, and from which on they cost less than serverless.

With a shape of traffic s (windows over their mean) and a load target, a fleet of mean load x (mean
rate over target x capacity) has R_t = max(ceil(m_t x), 1) replicas in window t: autoscaled,
m_t = max(s_t, s_t-1), what this window needs or the last one did; fixed, m = the peak. E[R] rises
in steps, serverless cost in a line, so the two may cross many times. What is asked is the smallest
x from which on-demand stays the cheaper for *all* greater ones.

On-demand wins at x where E[R(x)] + spare <= kappa x: kappa is what serverless costs at full target
load of one replica over what a replica costs. The staircase is made once; each kappa (a draw of
capacity and prices) is then one look-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scaling = Literal["autoscaled", "fixed"]

MOST_STEPS = 1_000_000
MOST_LOAD = 1000.0  # replicas at target load: what lies above is "no crossing below"


class Regime(NamedTuple):
    """From `low` (not included) to `high` mean load one tariff is the cheaper throughout."""

    low: float
    high: float
    is_on_demand: bool


def demand(shape: FloatArray, scaling: Scaling) -> FloatArray:
    """[n] m_t: peak need a window, over the mean of the shape; fixed: [1] the peak of all."""
    if scaling == "fixed":
        return np.array([float(shape.max())])
    before = np.concatenate([shape[:1], shape[:-1]])
    return np.asarray(np.maximum(shape, before), np.float64)


def replicas(need: FloatArray, load: float) -> IntArray:
    """[n] replicas of each window at mean load x: max(ceil(m x), 1)."""
    return np.maximum(np.ceil(need * load), 1).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """E[R] + spare over mean load. edges: [k] loads just above which it rises, edges[0] = 0.

    level: [k] E[R] + spare on (edges[j], edges[j+1]].  slope: mean of m, its growth far out.
    The last level reaches to `end`; beyond it only bounds are known.
    """

    edges: FloatArray
    level: FloatArray
    slope: float
    spare: int
    end: float
    worst: FloatArray  # [k] the highest level over load at or after each edge

    @classmethod
    def of(cls, need: FloatArray, spare: int = 0, end: float = MOST_LOAD) -> Staircase:
        """need: [n] from demand().  spare: replicas kept beside those the load needs."""
        positive = need[need > 0]
        end = min(end, MOST_STEPS / float(positive.sum()))
        counts = np.floor(positive * end).astype(np.int64)
        # at load k/m the window m needs k replicas, just above it k + 1; one is there anyway
        steps = np.repeat(positive, counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        at = np.sort((np.arange(len(steps)) - first + 1) / steps)
        edges, same = np.unique(at, return_counts=True)
        level = 1 + np.concatenate([[0], np.cumsum(same)]) / len(need) + spare
        edges = np.concatenate([[0.0], edges])
        with np.errstate(divide="ignore"):
            ratio = level / edges
        worst = np.maximum.accumulate(ratio[::-1])[::-1]
        return cls(edges, level, float(need.mean()), spare, end, worst)

    def mean_replicas(self, load: float | FloatArray) -> FloatArray:
        """E[R] + spare at mean load(s) x, x <= end."""
        index = np.searchsorted(self.edges, np.asarray(load, np.float64), side="left") - 1
        return self.level[np.maximum(index, 0)]

    def crossing(self, kappa: float | FloatArray) -> FloatArray:
        """Smallest x with E[R(x')] + spare <= kappa x' for all x' >= x; inf where there is none.

        inf also where one could only lie beyond `end`. kappa: [n] or one, > 0.
        """
        kappa = np.atleast_1d(np.asarray(kappa, np.float64))
        # the last step that overshoots the line, by its suffix maximum; edges[0] = 0 always does
        # (a step that meets the line exactly does not, whichever way it was rounded)
        last = np.searchsorted(-self.worst, -kappa * (1 + 1e-12), side="left") - 1
        found = self.level[np.maximum(last, 0)] / kappa
        # E[R] <= slope x + 1: beyond the end nothing overshoots any more where this holds there
        beyond = self.slope + (1 + self.spare) / self.end
        return np.where(kappa >= beyond, found, math.inf)

    def regimes(self, kappa: float, most: int = 1000) -> tuple[Regime, ...]:
        """Which tariff is the cheaper, from no load to `end`; at most `most` of them, the first."""
        low = self.edges
        high = np.append(self.edges[1:], self.end)
        turn = np.clip(self.level / kappa, low, high)  # on each step: serverless, then on-demand
        found: list[Regime] = []
        for a, b, c in zip(low.tolist(), turn.tolist(), high.tolist(), strict=True):
            for left, right, is_on_demand in ((a, b, False), (b, c, True)):
                if right <= left:
                    continue
                if found and found[-1].is_on_demand == is_on_demand:
                    found[-1] = found[-1]._replace(high=right)
                elif len(found) == most:
                    return tuple(found)
                else:
                    found.append(Regime(left, right, is_on_demand))
        return tuple(found)


def win_ratio(
    usd_per_request: float | FloatArray,
    capacity_req_per_s: float | FloatArray,
    group_usd_per_h: float | FloatArray,
    target: float,
) -> FloatArray:
    """kappa: serverless USD/h of one replica's target load over the replica's own USD/h."""
    full = 3600 * np.asarray(capacity_req_per_s) * target * np.asarray(usd_per_request)
    return np.asarray(full / np.asarray(group_usd_per_h), np.float64)

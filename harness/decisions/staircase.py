"""Replicas of a fleet against its traffic, and from which on they cost less than serverless.

With a shape of traffic s (windows over their mean) and a load target, a fleet of mean load x (mean
rate over target x capacity) has R_t = max(ceil(m_t x), 1) replicas in window t: autoscaled,
m_t = max(s_t, s_t-1), what this window needs or the last one did; fixed, m = the peak. E[R] rises
in steps, serverless cost in a line, so the two may cross many times. What is asked is the smallest
x from which on-demand stays the cheaper for *all* greater ones.

On-demand wins at x where E[R(x)] + spare <= kappa x: kappa is what serverless costs at full target
load of one replica over what a replica costs. The staircase is made once; each kappa (a draw of
capacity and prices) is then one look-up. A step need not be level: what a simulation or a formula
adds to it or takes off runs in straight lines between the loads where it is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scaling = Literal["autoscaled", "fixed", "committed", "to_zero"]

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
    # a load that is a whole number of replicas takes no more for its last bit
    return np.maximum(np.ceil(need * load * (1 - 1e-12)), 1).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """Replicas paid for, in full-priced ones, over mean load.

    edges: [k] loads just above which it steps, edges[0] = 0.  level, until: [k] its value just
    above an edge, and at the next one (at `end` for the last); straight between.  kept: the spares'
    part of it.  It never exceeds slope x + over, which is all that is known beyond `end`.
    """

    edges: FloatArray
    level: FloatArray
    until: FloatArray
    slope: float
    over: float
    kept: float
    end: float
    worst: FloatArray  # [k] the highest value over load at or after each edge

    @classmethod
    def of(cls, need: FloatArray, spare: int = 0, end: float = MOST_LOAD) -> Staircase:
        """E[R] + spare.  need: [n] from demand().  spare: replicas beside those the load needs."""
        return cls._of(need, np.ones(len(need)), 1.0, spare, end)

    @classmethod
    def committed(
        cls, need: FloatArray, discount: float, spare: int = 0, end: float = MOST_LOAD
    ) -> Staircase:
        """The same with the cheapest commitment at each load, at `discount` 0..1 off.

        The k-th replica is paid either always at 1 - d or as long as it is used, so that all cost
        sum over k of min(1 - d, P(R >= k)): the newsvendor's rule, replica by replica. Of k only
        the 1 - d busiest windows ever count, the last of them in part.
        """
        share = (1 - discount) * len(need)
        rank = np.empty(len(need))
        rank[np.argsort(-need, kind="stable")] = np.arange(len(need))
        return cls._of(need, np.clip(share - rank, 0.0, 1.0), 1 - discount, spare, end)

    @classmethod
    def _of(
        cls, need: FloatArray, weight: FloatArray, each: float, spare: int, end: float
    ) -> Staircase:
        """weight: [n] how much of a window's further replicas is paid.  each: of the first and of
        spares."""
        counted = need > 0
        positive, weight = need[counted], weight[counted]
        end = min(end, MOST_STEPS / float(positive.sum()))
        counts = np.floor(positive * end).astype(np.int64)
        # at load k/m the window m needs k replicas, just above it k + 1; one is there anyway
        steps = np.repeat(positive, counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        at = (np.arange(len(steps)) - first + 1) / steps
        inside = at < end
        edges, which = np.unique(at[inside], return_inverse=True)
        rises = np.bincount(which, np.repeat(weight, counts)[inside], len(edges))
        level = each * (1 + spare) + np.concatenate([[0.0], np.cumsum(rises)]) / len(need)
        slope = float((positive * weight).sum()) / len(need)
        edges = np.concatenate([[0.0], edges])
        return cls._made(edges, level, level, slope, each * (1 + spare), each * spare, end)

    @classmethod
    def _made(
        cls, edges: FloatArray, level: FloatArray, until: FloatArray, slope: float, over: float,
        kept: float, end: float,
    ) -> Staircase:  # fmt: skip
        after = np.append(edges[1:], end)
        with np.errstate(divide="ignore", invalid="ignore"):
            # a value over load runs one way along a straight piece: its ends are its extremes
            begins = np.where(level > 1e-12, level / edges, 0.0)
            ratio = np.maximum(begins, until / after)
        worst = np.maximum.accumulate(ratio[::-1])[::-1]
        return cls(edges, level, until, slope, over, kept, end, worst)

    def adjusted(
        self, loads: FloatArray, *, factor: FloatArray | None = None,
        offset: FloatArray | None = None,
    ) -> Staircase:  # fmt: skip
        """kept + (R - kept) x factor + offset, both known at `loads` and straight between them.

        loads: [j] rising.  Below the first and above the last both stay as they are there.
        """
        inside = loads[(loads > 0) & (loads < self.end)]
        edges = np.union1d(self.edges, inside)
        after = np.append(edges[1:], self.end)
        old = np.searchsorted(self.edges, edges, side="right") - 1
        rise = (self.until - self.level) / (np.append(self.edges[1:], self.end) - self.edges)
        f = np.ones(len(loads)) if factor is None else factor
        o = np.zeros(len(loads)) if offset is None else offset

        def at(load: FloatArray) -> FloatArray:
            plain = self.level[old] + rise[old] * (load - self.edges[old])
            own = self.kept + (plain - self.kept) * np.interp(load, loads, f)
            return np.asarray(np.maximum(own + np.interp(load, loads, o), 0.0), np.float64)

        over = self.kept + (self.over - self.kept) * float(f[-1]) + max(float(o[-1]), 0.0)
        slope = self.slope * float(f[-1])
        return self._made(edges, at(edges), at(after), slope, over, self.kept, self.end)

    def with_kept(self, kept: float) -> Staircase:
        """The same, another part of it being the spares'."""
        return replace(self, kept=kept)

    def mean_replicas(self, load: float | FloatArray) -> FloatArray:
        """E[R] + spare at mean load(s) x, 0 < x <= end."""
        x = np.asarray(load, np.float64)
        # an edge itself is still on the step below, whatever its last bit
        j = np.maximum(np.searchsorted(self.edges, x * (1 - 1e-12), side="left") - 1, 0)
        width = np.append(self.edges[1:], self.end)[j] - self.edges[j]
        rise = (self.until[j] - self.level[j]) / width
        return np.asarray(self.level[j] + rise * (x - self.edges[j]), np.float64)

    def crossing(self, kappa: float | FloatArray) -> FloatArray:
        """Smallest x with E[R(x')] + spare <= kappa x' for all x' >= x; inf where there is none.

        inf also where one could only lie beyond `end`; 0 where every load will do. kappa: [n] or
        one.
        """
        kappa = np.atleast_1d(np.asarray(kappa, np.float64))
        # the last piece that overshoots the line, by its suffix maximum
        # (one that meets the line exactly does not, whichever way it was rounded)
        slack = kappa * (1 + 1e-12)
        last = np.searchsorted(-self.worst, -slack, side="left") - 1
        j = np.maximum(last, 0)
        low, high = self.edges[j], np.append(self.edges[1:], self.end)[j]
        rise = (self.until[j] - self.level[j]) / (high - low)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (self.level[j] - rise * low) / (kappa - rise)
        found = np.where(self.until[j] > slack * high, high, inside)
        # R <= slope x + over: beyond the end nothing overshoots any more where this holds there
        beyond = self.slope + self.over / self.end
        return np.where(kappa >= beyond, np.where(last < 0, 0.0, found), math.inf)

    def regimes(self, kappa: float, most: int = 1000) -> tuple[Regime, ...]:
        """Which tariff is the cheaper, from no load to `end`; at most `most` of them, the first."""
        low, high = self.edges, np.append(self.edges[1:], self.end)
        rise = (self.until - self.level) / (high - low)
        begins, ends = self.level > kappa * low, self.until > kappa * high  # serverless is cheaper
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.clip((self.level - rise * low) / (kappa - rise), low, high)
        turn = np.where(begins == ends, high, inside)
        left, right = np.column_stack([low, turn]).ravel(), np.column_stack([turn, high]).ravel()
        is_on_demand = np.column_stack([~begins, ~ends]).ravel()
        kept = right > left
        left, right, is_on_demand = left[kept], right[kept], is_on_demand[kept]
        first = np.flatnonzero(np.append(True, is_on_demand[1:] != is_on_demand[:-1]))
        last = np.append(first[1:] - 1, len(right) - 1)
        rows = zip(left[first], right[last], is_on_demand[first], strict=True)
        return tuple(Regime(float(a), float(b), bool(c)) for a, b, c in list(rows)[:most])


def win_ratio(
    usd_per_request: float | FloatArray,
    capacity_req_per_s: float | FloatArray,
    group_usd_per_h: float | FloatArray,
    target: float,
) -> FloatArray:
    """kappa: serverless USD/h of one replica's target load over the replica's own USD/h."""
    full = 3600 * np.asarray(capacity_req_per_s) * target * np.asarray(usd_per_request)
    return np.asarray(full / np.asarray(group_usd_per_h), np.float64)

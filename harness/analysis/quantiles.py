"""Quantiles with order-statistic intervals; no distribution is assumed.

The point value is type 7 (linear between order statistics). Its interval is a pair of ranks, taken
from the binomial of the effective sample size, scaled to the sample and rounded outwards. Failures
enter as infinity, so a quantile can be "not reached". A quantile that the sample cannot carry is
withheld: fewer than ten observations beyond it, no two-sided 95 % interval at n_eff, or a nearer
quantile of the same tail withheld.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.analysis.autocorrelation import design_effect
from harness.analysis.intervals import Interval
from harness.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

STATS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
METHOD = "type 7; order statistics at n_eff"
LEVEL, BOUND_LEVEL = 0.95, 0.90


@dataclass(frozen=True, slots=True)
class Ranks:
    """Order statistics that enclose a quantile, counted from 1; None where a rank leaves 1..n."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """Observations of one metric in order of intended send; inf where the request failed."""

    metric: str
    unit: str
    values: FloatArray
    scope: str = "all"
    population: str = "success"


@dataclass(frozen=True, slots=True)
class Pair:
    """One statistic twice: with its 95 % interval, and with both one-sided 95 % bounds."""

    shown: Estimate
    bound: Estimate


def type7(ordered: FloatArray, p: float) -> float:
    """The quantile of an ascending array; inf where it falls between a value and a failure."""
    position = p * (len(ordered) - 1)
    below = math.floor(position + 1e-9)
    share = max(0.0, position - below)
    if share < 1e-9:
        return float(ordered[below])
    low, high = float(ordered[below]), float(ordered[below + 1])
    return high if math.isinf(high) else low + share * (high - low)


def ranks(n: int, p: float, n_eff: float | None = None, level: float = LEVEL) -> Ranks:
    """Ranks l, u with P(x_l <= quantile <= x_u) >= level, each tail at most (1 - level) / 2."""
    size = math.floor(n if n_eff is None else min(n_eff, n))
    if size < 1:
        return Ranks(None, None)
    tail = (1 - level) / 2
    low = _binomial_ppf(tail, size, p)
    high = _binomial_ppf(1 - tail, size, p) + 1
    return Ranks(
        math.floor(low * n / size) if low >= 1 else None,
        min(n, math.ceil(high * n / size)) if high <= size else None,
    )


def _binomial_ppf(share: float, n: int, p: float) -> int:
    """Smallest k with P(X <= k) >= share; as scipy.stats, without its cost a call."""
    k = math.ceil(float(special.bdtrik(share, n, p)))
    is_lower = k >= 1 and float(special.bdtr(k - 1, n, p)) >= share
    return k - 1 if is_lower else k


def floor_eff(p: float, level: float = LEVEL) -> int:
    """Smallest independent sample with a two-sided interval: 6 at p50, 72 at p95, 368 at p99."""
    tail = (1 - level) / 2
    return max(math.ceil(math.log(tail) / math.log(q)) for q in (p, 1 - p))


def needed_requests(p: float) -> int:
    """Requests below which a quantile is withheld whatever their independence."""
    beyond = 0 if p <= 0.5 else math.ceil(10 / (1 - p) - 1e-6)
    return max(floor_eff(p), beyond)


def interval(ordered: FloatArray, p: float, n_eff: float, level: float = LEVEL) -> Interval:
    """The values at the enclosing ranks."""
    pair = ranks(len(ordered), p, n_eff, level)
    return Interval(
        None if pair.low is None else float(ordered[pair.low - 1]),
        None if pair.high is None else float(ordered[pair.high - 1]),
    )


def withheld_reason(name: str, p: float, n: int, n_eff: float) -> str:
    """Why the sample cannot carry the quantile; empty when it can."""
    if n < needed_requests(p):
        return f"n={n:,}: {name} not reported, it needs {needed_requests(p):,}"
    if math.floor(n_eff) < floor_eff(p):
        return (
            f"n={n:,} but only {math.floor(n_eff)} count after autocorrelation:"
            f" {name} not reported, it needs {floor_eff(p):,}"
        )
    return ""


def estimate_quantiles(sample: Sample) -> list[Pair]:
    """Every quantile of STATS, and the largest observation."""
    ordered = np.sort(sample.values)
    pairs = [_quantile(sample, ordered, name, p) for name, p in STATS.items()]
    return [*withhold_beyond(pairs), largest(sample, ordered)]


def withhold_beyond(pairs: Sequence[Pair]) -> list[Pair]:
    """Quantiles in rising order; in the upper tail none is told that lies beyond one withheld.

    Each has an effective sample of its own, and further out it rests on few exceedances, which
    seem independent: p99.9 would stand beside "p99 not reported".
    """
    told: list[Pair] = []
    nearer = ""
    for pair in pairs:
        name = pair.shown.stat
        if nearer and pair.shown.value is not None:
            reason = f"{nearer} is not reported, so {name}, further out, is not either"
            shown, bound = (
                replace(e, value=None, low=None, high=None, reason=reason)
                for e in (pair.shown, pair.bound)
            )
            pair = Pair(shown, bound)
        elif pair.shown.value is None and STATS[name] > 0.5:
            nearer = nearer or name
        told.append(pair)
    return told


def pair_at(
    sample: Sample, ordered: FloatArray, name: str, p: float, n_eff: float, method: str
) -> Pair:
    """The quantile with both intervals, once its effective sample size is known."""
    n = len(ordered)
    reason = withheld_reason(name, p, n, n_eff)
    value = None if reason else type7(ordered, p)
    ends = [
        Interval(None, None) if reason else interval(ordered, p, n_eff, level)
        for level in (LEVEL, BOUND_LEVEL)
    ]
    if value is not None and math.isinf(value):
        failed = int(np.isinf(ordered).sum())
        reason = f"not reached: {failed:,} of {n:,} requests failed"
    shown, bound = (
        Estimate(
            metric=sample.metric,
            stat=name,
            unit=sample.unit,
            value=value,
            low=end.low,
            high=end.high,
            level=level,
            n=n,
            n_eff=n_eff,
            method=method,
            reason=reason,
            scope=sample.scope,
            population=sample.population,
        )
        for end, level in zip(ends, (LEVEL, BOUND_LEVEL), strict=True)
    )
    return Pair(shown, bound)


def _quantile(sample: Sample, ordered: FloatArray, name: str, p: float) -> Pair:
    n = len(ordered)
    if n < needed_requests(p):
        return pair_at(sample, ordered, name, p, float(n), METHOD)
    deff = design_effect(sample.values <= type7(ordered, p))
    return pair_at(sample, ordered, name, p, n / deff, METHOD)


def largest(sample: Sample, ordered: FloatArray) -> Pair:
    """The largest observation; it has no interval, a longer run would see larger ones."""
    n = len(ordered)
    row = Estimate(
        metric=sample.metric,
        stat="max",
        unit=sample.unit,
        value=float(ordered[-1]) if n else None,
        n=n,
        n_eff=float(n),
        method="largest observation",
        reason="" if n else f"no request has {sample.metric}",
        scope=sample.scope,
        population=sample.population,
    )
    return Pair(row, row)

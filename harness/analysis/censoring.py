"""Kaplan-Meier for end-to-end latency when the end of the run cut some requests off.

Dropping a cut request would bias the tail down, since the slow are cut first; counting it as done
when cut would too. Each cut hands its weight to the observations beyond it. The curve ends at the
last finished request: a quantile past it is "not reached". Failures sit at infinity. The interval
asks the curve at the binomial ranks of n_eff, as quantiles.py does for uncensored data.
"""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray, FloatArray
from harness.analysis.latency import CensoredSample
from harness.analysis.quantiles import (
    BOUND_LEVEL,
    LEVEL,
    STATS,
    Pair,
    estimate_quantiles,
    needed_requests,
    ranks,
    withheld_reason,
    withhold_beyond,
)
from harness.estimate import Estimate

METHOD = "Kaplan-Meier; order statistics at n_eff"
# above this share of cut requests the end of the run, not the target, shapes the tail
MAX_CUT_RATIO = 0.05


def kaplan_meier(values: FloatArray, is_cut: BoolArray) -> tuple[FloatArray, FloatArray]:
    """(times, share finished by then), ascending, one entry a distinct finite finish.

    values: seconds to the end or to the cut, inf for failures.  A cut at the same instant as a
    finish counts as still at risk there.
    """
    order = np.lexsort((is_cut, values))
    ordered, cut = values[order], is_cut[order]
    finished = ~cut & np.isfinite(ordered)
    times, first = np.unique(ordered[finished], return_index=True)
    events = np.diff(np.append(first, finished.sum()))
    at_risk = len(values) - np.searchsorted(ordered, times, side="left")
    return times, np.asarray(1 - np.cumprod(1 - events / at_risk), dtype=np.float64)


def estimate_censored(censored: CensoredSample) -> list[Pair]:
    """As estimate_quantiles; the plain estimator where nothing was cut."""
    sample, is_cut = censored.sample, censored.is_cut
    if not is_cut.any():
        return estimate_quantiles(sample)
    times, share = kaplan_meier(sample.values, is_cut)
    n = len(sample.values)
    pairs = []
    for name, p in STATS.items():
        value = _at(times, share, p)
        finished_by = (sample.values <= value) & ~is_cut
        deff = design_effect(finished_by) if n >= needed_requests(p) else 1.0
        pairs.append(_pair(censored, name, p, value, n / deff, times, share))
    return withhold_beyond(pairs)


def _at(times: FloatArray, share: FloatArray, p: float) -> float:
    index = int(np.searchsorted(share, p - 1e-12))
    return float(times[index]) if index < len(times) else math.inf


def _pair(
    censored: CensoredSample,
    name: str,
    p: float,
    value: float,
    n_eff: float,
    times: FloatArray,
    share: FloatArray,
) -> Pair:
    sample, n = censored.sample, len(censored.sample.values)
    reason = withheld_reason(name, p, n, n_eff)
    rows = []
    for level in (LEVEL, BOUND_LEVEL):
        size = math.floor(n_eff)
        ends = ranks(size, p, level=level)
        low = None if ends.low is None else _at(times, share, ends.low / size)
        high = None if ends.high is None else _at(times, share, ends.high / size)
        rows.append(
            Estimate(
                metric=sample.metric,
                stat=name,
                unit=sample.unit,
                value=None if reason else value,
                low=None if reason else low,
                high=None if reason else high,
                level=level,
                n=n,
                n_eff=n_eff,
                method=METHOD,
                reason=reason or ("not reached before the end" if math.isinf(value) else ""),
                scope=sample.scope,
                population=sample.population,
            )
        )
    return Pair(rows[0], rows[1])

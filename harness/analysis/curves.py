"""Whole distributions as a few points: latency by percentile on a nines axis, and CDFs.

The nines curve is over `valid` with failures = infinity; it stops where the interval ends, that is
where the sample can no longer carry the quantile. Between a few anchors the effective sample size
is interpolated: it changes slowly along the distribution.
"""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import FloatArray
from harness.analysis.quantiles import Sample, interval, type7
from harness.analysis.summary import Curve

NINES = ("ttft", "ttft_service", "tpot", "e2e_latency", "e2e_latency_service")
_ANCHORS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
_NUM_POINTS, _NUM_CDF = 60, 200


def nines_curve(sample: Sample) -> Curve | None:
    """Quantile against 1 - p from 0.9 downwards; None where not even that exists."""
    ordered = np.sort(sample.values)
    n = len(ordered)
    if n < 6:
        return None
    deffs = [design_effect(sample.values <= type7(ordered, p)) for p in _ANCHORS]
    x: list[float] = []
    values: list[float] = []
    lows: list[float] = []
    highs: list[float] = []
    for beyond in np.geomspace(0.9, 1e-4, _NUM_POINTS):
        p = 1 - float(beyond)
        deff = float(np.interp(math.log(beyond), np.log(1 - np.array(_ANCHORS))[::-1], deffs[::-1]))
        ends = interval(ordered, p, n / deff)
        if ends.low is None or ends.high is None:
            if x:
                break
            continue
        x.append(float(f"{beyond:.6g}"))
        values.append(type7(ordered, p))
        lows.append(ends.low)
        highs.append(ends.high)
    if not x:
        return None
    return Curve(
        metric=sample.metric,
        kind="nines",
        unit=sample.unit,
        population=sample.population,
        n=n,
        x=tuple(x),
        value=tuple(values),
        low=tuple(lows),
        high=tuple(highs),
    )


def cdf_curve(metric: str, unit: str, population: str, values: FloatArray) -> Curve | None:
    """At most 200 quantile points; None without an observation."""
    if not len(values):
        return None
    ordered = np.sort(values)
    shares = np.linspace(0, 1, min(_NUM_CDF, len(ordered)))
    return Curve(
        metric=metric,
        kind="cdf",
        unit=unit,
        population=population,
        n=len(ordered),
        x=tuple(float(f"{p:.6g}") for p in shares),
        value=tuple(type7(ordered, float(p)) for p in shares),
    )

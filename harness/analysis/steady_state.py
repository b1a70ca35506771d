"""Was the window stationary, and did the target keep up with what was offered?

20 batch means of the number in flight (closed load: of throughput). `drifting`: Mann-Kendall's z
exceeds 2.33 (one in a hundred by chance, were batches independent). `unstable`: drifting, and the
number in flight grew over the window by more than 3 sqrt(D x arrivals), D the dispersion index of
the arrivals: more than chance backs up at a target that keeps pace. D counts at least 1, since
service times scatter even where arrivals do not. Closed load cannot be unstable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.frame import FloatArray, Frame

NUM_BATCHES = 20
Z_LIMIT = 2.33


@dataclass(frozen=True, slots=True)
class SteadyState:
    """z: Mann-Kendall.  growth_req: fitted growth of requests in flight over the window.

    allowed_req: growth beyond which the target is overloaded.  backlog: in flight at t0 and t1.
    """

    z: float
    growth_req: float
    allowed_req: float
    backlog: tuple[float, float]
    is_drifting: bool
    is_unstable: bool


def mann_kendall_z(series: npt.ArrayLike) -> float:
    """z of the trend statistic S = sum over i < j of sign(x_j - x_i), with ties and continuity."""
    x = np.asarray(series, dtype=np.float64)
    n = len(x)
    s = float(np.sign(x[None, :] - x[:, None])[np.triu_indices(n, 1)].sum())
    _, ties = np.unique(x, return_counts=True)
    pairs = n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())
    if pairs <= 0 or s == 0:
        return 0.0
    return (s - math.copysign(1.0, s)) / math.sqrt(pairs / 18)


def in_flight_means(frame: Frame, edges_s: FloatArray) -> FloatArray:
    """[b] mean number between intended send and end, over each interval of the [b+1] edges.

    From the intended send, so that what the client had to hold back counts as backlog. A request
    without an end stays for ever.
    """
    end_s = np.where(np.isnan(frame.end_s), np.inf, frame.end_s)
    area = _elapsed(frame.begin_s, edges_s) - _elapsed(end_s[np.isfinite(end_s)], edges_s)
    return np.asarray(np.diff(area) / np.diff(edges_s))


def in_flight_at(frame: Frame, at_s: float) -> float:
    """Requests intended by then and not ended."""
    end_s = np.where(np.isnan(frame.end_s), np.inf, frame.end_s)
    return float(((frame.begin_s <= at_s) & (end_s > at_s)).sum())


def steady_state(frame: Frame, kind: str, dispersion: float | None) -> SteadyState:
    """kind: open or closed.  dispersion: index of the realised arrivals, None where unknown."""
    edges = np.linspace(0.0, frame.window_s, NUM_BATCHES + 1)
    backlog = (in_flight_at(frame, 0.0), in_flight_at(frame, frame.window_s))
    if kind == "closed":
        ended = frame.end_s[frame.is_success & np.isfinite(frame.end_s)]
        z = mann_kendall_z(np.histogram(ended, edges)[0])
        return SteadyState(z, 0.0, math.inf, backlog, abs(z) > Z_LIMIT, False)
    means = in_flight_means(frame, edges)
    z = mann_kendall_z(means)
    slope = float(np.polyfit(np.arange(NUM_BATCHES), means, 1)[0])
    growth = slope * NUM_BATCHES
    arrivals = int((frame.is_measured & frame.is_first).sum())
    allowed = 3 * math.sqrt(max(1.0, dispersion or 0.0) * arrivals)
    is_drifting = z > Z_LIMIT
    return SteadyState(z, growth, allowed, backlog, is_drifting, is_drifting and growth > allowed)


def _elapsed(starts_s: FloatArray, at_s: FloatArray) -> FloatArray:
    """[b] sum over starts of max(0, t - start)."""
    ordered = np.sort(starts_s)
    summed = np.concatenate([[0.0], np.cumsum(ordered)])
    count = np.searchsorted(ordered, at_s, side="right")
    return np.asarray(count * at_s - summed[count])

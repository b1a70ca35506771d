"""The Universal Scalability Law: what contention and crosstalk cost as more is asked at once.

X(N) = l N / (1 + s (N - 1) + k N (N - 1)): l requests/s of one alone, s the share that queues
(contention), k what each pair costs (crosstalk); k = 0 is Amdahl, s = k = 0 linear (Gunther 1993).
A summary of the mean throughput of one mix: it says nothing of tails, and nothing of another mix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from harness.analysis import PointSummary
from harness.estimate import Estimate

FloatArray = npt.NDArray[np.float64]
LEAST_POINTS = 4  # three parameters, and one point that could disagree
NUM_DRAWS = 500
METHOD = "weighted non-negative least squares; parametric bootstrap over the points' intervals"


@dataclass(frozen=True, slots=True)
class Scaling:
    """single: l in req/s.  contention, crosstalk: s, k.  peak: the N of highest throughput,
    infinite where k is 0.  worst_ratio: largest |fitted / measured - 1|."""

    single: Estimate
    contention: Estimate
    crosstalk: Estimate
    peak: Estimate
    worst_ratio: float

    def throughput(self, num: float) -> float:
        """X(N) of the point estimates, req/s."""
        values = [e.value or 0.0 for e in (self.single, self.contention, self.crosstalk)]
        return float(_usl(np.array([num]), *values)[0])


def scaling_of(points: Sequence[PointSummary]) -> Scaling | None:
    """Completed requests/s against the mean number in flight, over stable points; None where
    fewer than four carry an interval."""
    rows = []
    for point in points:
        done = point.find("request_per_s", "rate")
        if not (point.is_valid and point.is_stable and point.little and done and done.value):
            continue
        if done.low is not None and done.high is not None:
            rows.append((point.little.mean_in_flight, done.value, (done.high - done.low) / 3.92))
    if len({round(row[0], 6) for row in rows}) < LEAST_POINTS:
        return None
    num, rate, error = map(np.array, zip(*rows, strict=True))
    return fit_usl(num, rate, error)


def fit_usl(
    num: npt.ArrayLike, req_per_s: npt.ArrayLike, error_req_per_s: npt.ArrayLike, seed: int = 0
) -> Scaling:
    """num: [m] requests in flight, or replicas.  req_per_s: [m] throughput, above 0, with its
    standard error (0: exact). Raises ValueError where m < 4."""
    n, x = np.asarray(num, dtype=np.float64), np.asarray(req_per_s, dtype=np.float64)
    error = np.maximum(np.asarray(error_req_per_s, dtype=np.float64), 1e-9 * x)
    if len(n) < LEAST_POINTS:
        raise ValueError(f"a fit of three parameters needs {LEAST_POINTS} points, not {len(n)}")
    best = _fit(n, x, error)
    rng = np.random.default_rng([seed, len(n)])
    noise = rng.standard_normal((NUM_DRAWS, len(n))) * error
    draws = np.array([_fit(n, np.maximum(x + row, 0.05 * x), error) for row in noise])
    fitted = _usl(n, *best)
    ids = (("usl_single", "req/s"), ("usl_contention", "ratio"), ("usl_crosstalk", "ratio"))
    single, contention, crosstalk = (
        _estimate(metric, unit, best[i], draws[:, i], len(n))
        for i, (metric, unit) in enumerate(ids)
    )
    peaks = np.array([_peak(s, k) for _, s, k in draws])
    peak = _estimate("usl_peak", "requests in flight", _peak(best[1], best[2]), peaks, len(n))
    return Scaling(single, contention, crosstalk, peak, float(np.abs(fitted / x - 1).max()))


def _usl(n: FloatArray, single: float, contention: float, crosstalk: float) -> FloatArray:
    return np.asarray(single * n / (1 + contention * (n - 1) + crosstalk * n * (n - 1)))


def _fit(n: FloatArray, x: FloatArray, error: FloatArray) -> tuple[float, float, float]:
    """N / X = (1 + s (N - 1) + k N (N - 1)) / l is linear in (1/l, s/l, k/l), none of them
    negative; a point weighs by the error of its N / X."""
    y = n / x
    weight = x * x / (n * error)
    basis = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1)
    (a, b, c), _ = nnls(basis * weight[:, None], y * weight)
    a = max(float(a), 1e-12)
    # less than the points' own rounding is no crosstalk, and no peak a billion requests away
    is_felt = float(c) * float((n * (n - 1)).max()) > 1e-12 * float(y.max())
    return 1 / a, float(b) / a, float(c) / a if is_felt else 0.0


def _peak(contention: float, crosstalk: float) -> float:
    if crosstalk <= 0:
        return math.inf
    return math.sqrt(max(1 - contention, 0.0) / crosstalk)


def _estimate(metric: str, unit: str, value: float, draws: FloatArray, n: int) -> Estimate:
    # order statistics, since a peak may be infinite
    ordered = np.sort(draws)
    low, high = (float(ordered[round(q * (len(draws) - 1))]) for q in (0.025, 0.975))
    return Estimate(
        metric, "fit", unit, value, min(low, value), max(high, value), n=n, n_eff=float(n),
        method=METHOD, population="points",
    )  # fmt: skip

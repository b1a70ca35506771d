"""How much less a correlated series tells than its length suggests: the design effect.

Requests of one run share queues, batches and neighbours, so the naive interval of a percentile is
far too narrow. deff = 1 + 2 sum rho_k, the sum cut where rho_2m + rho_2m+1 <= 0 (Geyer 1992,
initial positive sequence); n_eff = n / deff. We never let deff fall below 1: a seemingly
anticorrelated series is not taken as a gift.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

FloatArray = npt.NDArray[np.float64]


def autocorrelation(series: npt.ArrayLike) -> FloatArray:
    """rho_0 .. rho_(n-1) of the series, biased form; all zero but rho_0 for a constant one."""
    x = np.asarray(series, dtype=np.float64)
    n = len(x)
    centred = x - x.mean() if n else x
    size = fft.next_fast_len(2 * n) if n else 1
    spectrum = np.abs(fft.rfft(centred, size)) ** 2
    gamma = fft.irfft(spectrum, size)[:n]
    if n == 0 or gamma[0] <= 1e-12 * max(1.0, float(np.abs(x).max()) ** 2):
        return np.concatenate([[1.0], np.zeros(max(n - 1, 0))])
    return np.asarray(gamma / gamma[0])


def design_effect(series: npt.ArrayLike) -> float:
    """deff >= 1 of the series in its own order; at most n."""
    rho = autocorrelation(series)
    n = len(np.asarray(series))
    if n < 4:
        return 1.0
    # pairs Gamma_m = rho_2m + rho_2m+1 are positive for a reversible chain: stop at the first not
    num_pairs = n // 2
    pairs = rho[0 : 2 * num_pairs : 2] + rho[1 : 2 * num_pairs : 2]
    negative = np.flatnonzero(pairs <= 0)
    stop = int(negative[0]) if len(negative) else num_pairs
    return float(min(max(1.0, 2 * pairs[:stop].sum() - 1), n))

"""A share that can only fall as the load rises: its isotonic fit, and where it crosses a limit.

Weighted least squares under the order (pool adjacent violators, here in its min-max form, which
fits many draws at once). Between two rates the fit is read on a straight line over log rate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def falling_fit(shares: npt.ArrayLike, weights: npt.ArrayLike) -> FloatArray:
    """[..., m] the non-increasing fit of shares [..., m] at rising load; weights [m] above 0.

    f_i = min over a <= i of max over b >= i of the weighted mean of a..b (Robertson, Wright,
    Dykstra 1988, theorem 1.4.4 with the order reversed).
    """
    y, w = np.asarray(shares, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    m = y.shape[-1]
    zero = np.zeros((*y.shape[:-1], 1))
    sums = np.concatenate([zero, np.cumsum(y * w, axis=-1)], axis=-1)
    mass = np.concatenate([[0.0], np.cumsum(w)])
    fit = np.full(y.shape, np.inf)
    for a in range(m):
        means = (sums[..., a + 1 :] - sums[..., a : a + 1]) / (mass[a + 1 :] - mass[a])
        # of all blocks that begin at a and reach i, the largest mean
        largest = np.maximum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
        fit[..., a:] = np.minimum(fit[..., a:], largest)
    return fit


def crossing(rates: npt.ArrayLike, fit: npt.ArrayLike, share: float) -> FloatArray:
    """[...] the rate where the fit [..., m] falls below `share`; rates [m] rising, above 0.

    The first rate where even that lies below, the last where it never does: what lies beyond was
    not measured.
    """
    x, f = np.log(np.asarray(rates, dtype=np.float64)), np.asarray(fit, dtype=np.float64)
    m = f.shape[-1]
    num_above = (f >= share).sum(axis=-1)
    left = np.clip(num_above - 1, 0, max(m - 2, 0))
    right = np.minimum(left + 1, m - 1)
    high = np.take_along_axis(f, left[..., None], -1)[..., 0]
    low = np.take_along_axis(f, right[..., None], -1)[..., 0]
    drop = np.where(high > low, high - low, 1.0)
    between = np.clip((high - share) / drop, 0.0, 1.0)
    inside = x[left] + between * (x[right] - x[left])
    at = np.where(num_above == 0, x[0], np.where(num_above == m, x[-1], inside))
    return np.asarray(np.exp(at))

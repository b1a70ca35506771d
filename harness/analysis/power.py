"""What a design can see, before and after: by the noncentral t.

sigma: standard deviation of a block's d (difference of logs). A change is given as a ratio - 1, so
0.05 is 5 % worse. Tables of these in whole per cent: tests/analysis/test_paired.py.
"""

from __future__ import annotations

import math

from scipy import special


def noncentrality(df: float, alpha: float, power: float) -> float:
    """At which a t test with df degrees of freedom rejects at alpha (one tail) with that power."""
    critical = float(special.stdtrit(df, 1 - alpha))
    low, high = 0.0, 100.0
    for _ in range(60):  # nctdtr falls in the noncentrality; bisection is plain and exact enough
        middle = (low + high) / 2
        if 1 - float(special.nctdtr(df, middle, critical)) < power:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def smallest_visible(sigma: float, k: int, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The least change (ratio - 1) that k paired blocks find at two-sided alpha; None for k < 2."""
    if k < 2 or not math.isfinite(sigma):
        return None
    return math.expm1(noncentrality(k - 1, alpha / 2, power) * sigma / math.sqrt(k))


def smallest_failing(
    sigma: float, k: int, limit: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """The least change that *fails* a limit with that power: seen, and its mean beyond the limit.

    limit: as a ratio - 1.  max(smallest visible, (1 + limit) exp(z_power sigma / sqrt k) - 1).
    """
    seen = smallest_visible(sigma, k, alpha, power)
    if seen is None:
        return None
    z = float(special.ndtri(power))
    return max(seen, (1 + limit) * math.exp(z * sigma / math.sqrt(k)) - 1)


def largest_sigma(k: int, power: float = 0.9, alpha: float = 0.05) -> float:
    """In units of the limit (as a difference of logs): up to it a true 0 passes with that power."""
    return math.sqrt(k) / noncentrality(k - 1, alpha, power)


def smallest_visible_unpaired(
    sigma: float, runs: int, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """As smallest_visible for `runs` independent runs an arm; sigma: of one run's log."""
    if runs < 2 or not math.isfinite(sigma):
        return None
    shift = noncentrality(2 * runs - 2, alpha / 2, power) * sigma * math.sqrt(2 / runs)
    return math.expm1(shift)


def noise_floor(sigma: float, k: int) -> float:
    """95 % of |mean of k blocks| of the same thing lies below it, as a ratio - 1."""
    return math.expm1(float(special.ndtri(0.975)) * sigma / math.sqrt(k))


def blocks_for_floor(sigma: float, limit: float) -> int:
    """The least number of blocks whose noise floor lies below a limit (ratio - 1)."""
    return max(2, math.floor((float(special.ndtri(0.975)) * sigma / math.log1p(limit)) ** 2) + 1)

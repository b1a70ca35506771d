"""A new session against stored ones, and two lone estimates set side by side.

Runs of one session share its machine, its hour and its luck; so against a stored baseline the
session is the unit. The candidate is one session more: under "nothing changed" its mean log lies
around the stored ones with their own variance, and t with S - 1 degrees tells how far it may lie.
Two lone runs have no such variance: their ratio gets an interval from within the runs, which
speaks for those two runs and for nothing beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.analysis.intervals import Interval
from harness.estimate import Estimate

LEAST_SESSIONS = 5


@dataclass(frozen=True, slots=True)
class SessionShift:
    """mean: of log(candidate) - log(baseline), positive = worse.  se: of it.  df: S - 1."""

    mean: float
    se: float
    df: int

    @classmethod
    def of(cls, stored: Sequence[float], candidate: float) -> SessionShift | None:
        """stored: mean logs, one a session; None for fewer than LEAST_SESSIONS."""
        num = len(stored)
        if num < LEAST_SESSIONS:
            return None
        sd = float(np.std(stored, ddof=1))
        se = max(sd * math.sqrt(1 + 1 / num), 1e-12)
        return cls(candidate - float(np.mean(stored)), se, num - 1)

    def p_worse(self, x: float = 0.0) -> float:
        return float(special.stdtr(self.df, -(self.mean - x) / self.se))

    def p_better(self, x: float = 0.0) -> float:
        return float(special.stdtr(self.df, (self.mean - x) / self.se))

    def p_two_sided(self) -> float:
        return min(1.0, 2 * min(self.p_worse(), self.p_better()))

    def interval(self, level: float = 0.95) -> Interval:
        half = float(special.stdtrit(self.df, (1 + level) / 2)) * self.se
        return Interval(self.mean - half, self.mean + half)

    def upper(self, alpha: float = 0.05) -> float | None:
        return self.mean + float(special.stdtrit(self.df, 1 - alpha)) * self.se


def log_ratio(base: Estimate, other: Estimate) -> tuple[float | None, Interval]:
    """log(other / base) with an interval from the two of its own (MOVER: Zou, Donner 2008).

    Each side's distance to its own bound is squared and added, so lopsided intervals stay
    lopsided. None where a value is absent, zero or not reached.
    """
    if not (_is_positive(base.value) and _is_positive(other.value)):
        return None, Interval(None, None)
    assert base.value is not None
    assert other.value is not None
    a, b = math.log(base.value), math.log(other.value)
    if not all(_is_positive(end) for end in (base.low, base.high, other.low, other.high)):
        return b - a, Interval(None, None)
    a_low, a_high, b_low, b_high = (
        math.log(end) for end in (base.low, base.high, other.low, other.high) if end is not None
    )
    return b - a, Interval(
        b - a - math.hypot(b - b_low, a_high - a), b - a + math.hypot(b_high - b, a - a_low)
    )


def _is_positive(value: float | None) -> bool:
    return value is not None and 0 < value < math.inf

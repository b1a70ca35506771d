"""Poisson arrivals: exponential gaps, as many independent users make them. CV is 1."""

from __future__ import annotations

import numpy as np

from .base import FloatArray


class PoissonProcess:
    """Memoryless: the residual gap has the law of a gap."""

    cv = 1.0

    def first(self, rng: np.random.Generator) -> float:
        return float(rng.standard_exponential())

    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        return rng.standard_exponential(count)

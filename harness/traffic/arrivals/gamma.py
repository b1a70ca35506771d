"""Gamma arrivals: independent gaps with an asked coefficient of variation.

cv above 1 is burstier than Poisson, below 1 more regular. Shape 1/cv^2, scale cv^2: mean 1.
"""

from __future__ import annotations

import numpy as np

from .base import FloatArray


class GammaProcess:
    """Renewal process in equilibrium: rate 1 from the first instant on."""

    def __init__(self, cv: float) -> None:
        self.cv = cv
        self.shape = 1.0 / cv**2
        self.scale = cv**2

    def first(self, rng: np.random.Generator) -> float:
        """A uniform share of a length-biased gap (density (1 - F)/mean; Cox, Renewal Theory)."""
        return float(rng.gamma(self.shape + 1.0, self.scale) * rng.random())

    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        return rng.gamma(self.shape, self.scale, count)

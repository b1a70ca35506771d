"""Constant arrivals: one every 1/rate, the first at 0. The coefficient of variation is 0."""

from __future__ import annotations

import numpy as np

from .base import FloatArray


class ConstantProcess:
    """Equal gaps. Starts at 0, so that a window of whole gaps holds its exact count."""

    cv = 0.0

    def first(self, rng: np.random.Generator) -> float:
        return 0.0

    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        return np.ones(count)

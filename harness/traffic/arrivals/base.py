"""What an arrival process is, and how any process becomes send times at any rate.

A process yields gaps of mean 1. Its cumulative sum is a unit-rate process; the inverse of the
cumulative rate maps it to real time, so the same seed gives the same pattern at every rate, and a
ramp needs no process of its own. The number of arrivals is never rescaled: it varies as the
process says.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_BLOCK = 1024


class Process(Protocol):
    """A stationary point process with one arrival per unit of time on average."""

    cv: float  # coefficient of variation of the gaps

    def first(self, rng: np.random.Generator) -> float:
        """Time of the first arrival: the residual gap of a process that has always run."""

    def gaps(self, rng: np.random.Generator, count: int) -> FloatArray:
        """[count] gaps of mean 1; drawing m then n gives the same gaps as drawing m + n."""


def unit_times(
    process: Process, rng: np.random.Generator, horizon: float, at_least: int = 0
) -> FloatArray:
    """Arrival times of the unit-rate process, ascending: every one before `horizon`, and more.

    The last lies at or beyond the horizon and at least `at_least` are given. A later horizon only
    adds arrivals.
    """
    parts = [np.array([process.first(rng)])]
    last, count = float(parts[0][0]), 1
    while last < horizon or count < at_least:
        # blocks of one size: sums are rounded alike whatever the horizon
        parts.append(last + np.cumsum(process.gaps(rng, _BLOCK)))
        last, count = float(parts[-1][-1]), count + _BLOCK
    return np.concatenate(parts)

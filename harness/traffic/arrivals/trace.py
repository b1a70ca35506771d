"""Arrivals of a real trace: its own times, thinned or jittered, each tied to its row.

A lighter load keeps each row with probability `thin` (bursts stay bursts) instead of stretching
time. `jitter` spreads times that the trace had rounded down, uniformly over [t, t + jitter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .base import FloatArray

if TYPE_CHECKING:
    from harness.scenario.materials import Trace


@dataclass(frozen=True, slots=True, eq=False)
class TraceArrivals:
    """t_s: [n] seconds from the trace's start, ascending.  row: [n] the trace's rows."""

    t_s: FloatArray
    row: npt.NDArray[np.int64]


def trace_arrivals(
    trace: Trace, thin: float, jitter_s: float, rng: np.random.Generator
) -> TraceArrivals:
    """Every kept row with its time. thin: 0..1, the share kept.  jitter_s: 0 or more.

    Both draws are made for every row, so a smaller `thin` keeps a subset of what a larger keeps.
    """
    count = len(trace.arrival_s)
    keep, spread = rng.random(count) < thin, rng.random(count) * jitter_s
    times = (trace.arrival_s + spread)[keep]
    order = np.argsort(times, kind="stable")
    return TraceArrivals(times[order], np.flatnonzero(keep)[order].astype(np.int64))

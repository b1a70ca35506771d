"""Idle bursts: silence, then a few requests a gap apart, over and over.

The warm-up holds one burst, so that the first silence begins at a target that was awake. Every
silence runs from one intended send to the next: how long the target really rested is less by the
time of its last answer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.scenario import document as doc
from harness.units import NS_PER_S

IntArray = npt.NDArray[np.int64]


def burst_times(stage: doc.IdleBurstStage, warmup_ns: int) -> IntArray:
    """[n] ns from the stage's start, ascending; those at or after warmup_ns are measured.

    cycles x silences x requests of them are; a silence that would end in the warm-up lasts to its
    end.
    """
    gap_ns = round(stage.gap * NS_PER_S)
    burst = np.arange(stage.requests, dtype=np.int64) * gap_ns
    parts = [burst[burst < warmup_ns]]
    last_ns = int(parts[0][-1]) if len(parts[0]) else 0
    for _ in range(stage.cycles):
        for idle in stage.idle:
            first_ns = max(last_ns + round(idle * NS_PER_S), warmup_ns)
            parts.append(first_ns + burst)
            last_ns = int(parts[-1][-1])
    return np.concatenate(parts)

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

    cycles x silences x requests of them are. The warm-up's burst comes late enough for the first
    silence to last what was asked, like every other.
    """
    gap_ns = round(stage.gap * NS_PER_S)
    burst = np.arange(stage.requests, dtype=np.int64) * gap_ns
    idle_ns = [round(idle * NS_PER_S) for idle in stage.idle]
    early = burst[burst < warmup_ns]
    last_ns = 0
    if len(early):
        early += max(0, warmup_ns - idle_ns[0] - int(early[-1]))
        last_ns = int(early[-1])
    parts = [early]
    for _ in range(stage.cycles):
        for silence_ns in idle_ns:
            parts.append(last_ns + silence_ns + burst)
            last_ns = int(parts[-1][-1])
    return np.concatenate(parts)

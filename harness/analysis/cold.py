"""First requests after a silence, apart from those that follow: what a cold target costs.

    ttft, e2e_latency    from the intended send, over successes; populations `cold after 5min`, one
                         a silence, and `warm` for every later request of a burst

A request is cold when the schedule left it a whole silence after the one before it, by intended
send; which silence is the longest asked that fits. The quantiles need six bursts for a median and
more for a tail; `max` is what was seen. Failures are out here and in error_rate as ever; one-token
answers count like any.
"""

from __future__ import annotations

import numpy as np

from harness.analysis.frame import BoolArray, Frame, elapsed_s
from harness.analysis.quantiles import Pair, Sample, estimate_quantiles
from harness.units import write_seconds

WARM = "warm"
_ROUNDING_S = 1e-6


def cold_population(idle_s: float) -> str:
    """`cold after 5min`."""
    return f"cold after {write_seconds(idle_s)}"


def cold_pairs(frame: Frame, idle_s: tuple[float, ...]) -> list[Pair]:
    """Nothing for a load that does not idle. idle_s: the silences asked for."""
    if not idle_s:
        return []
    has_tokens = frame.has_tokens("all")
    ttft = elapsed_s(frame.first_token_s, frame.intended_s)
    e2e = elapsed_s(frame.end_s, frame.intended_s)
    pairs = []
    for name, chosen in _populations(frame, idle_s):
        for metric, values in (("ttft", ttft), ("e2e_latency", e2e)):
            if metric == "ttft" and not has_tokens:
                continue
            seen = values[chosen & frame.is_measured & frame.is_success]
            pairs += estimate_quantiles(Sample(metric, "s", seen[np.isfinite(seen)], "all", name))
    return pairs


def _populations(frame: Frame, idle_s: tuple[float, ...]) -> list[tuple[str, BoolArray]]:
    """[n] masks; every request is in exactly one."""
    silences = np.unique(idle_s)
    first = np.flatnonzero(frame.is_first)
    before = np.zeros(len(frame))
    # without a warm-up the first silence runs from the start of the window
    before[first] = np.diff(frame.intended_s[first], prepend=0.0)
    index = np.searchsorted(silences, before + _ROUNDING_S, side="right") - 1
    named = [(cold_population(s), index == k) for k, s in enumerate(silences.tolist())]
    return [*named, (WARM, index < 0)]

"""The rate over time, and its integral both ways: expected arrivals so far, and when.

Rates are linear between breakpoints, which covers a constant rate and a ramp with level warm-up
and cool-down. Applying the inverse to a unit-rate process gives that process at this rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.scenario import document as doc

from .base import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class RateProfile:
    """Rate at breakpoints. t_s: [k] from 0, ascending.  req_per_s: [k], above 0; level after."""

    t_s: FloatArray
    req_per_s: FloatArray

    def at(self, t_s: FloatArray) -> FloatArray:
        """Requests/s at each time."""
        return np.interp(t_s, self.t_s, self.req_per_s)

    def expected(self, t_s: FloatArray) -> FloatArray:
        """Expected number of arrivals in [0, t)."""
        piece = np.clip(np.searchsorted(self.t_s, t_s, side="right") - 1, 0, len(self.t_s) - 1)
        into = np.maximum(t_s - self.t_s[piece], 0.0)
        return self._before()[piece] + into * (
            self.req_per_s[piece] + self._slopes()[piece] * into / 2
        )

    def inverse(self, expected: FloatArray) -> FloatArray:
        """Time at which this many arrivals are expected; undoes `expected`."""
        before = self._before()
        piece = np.clip(np.searchsorted(before, expected, side="right") - 1, 0, len(before) - 1)
        rest = np.maximum(expected - before[piece], 0.0)
        rate, slope = self.req_per_s[piece], self._slopes()[piece]
        # the root of rate*x + slope*x^2/2 = rest in the form that stays exact as slope nears 0
        into = 2 * rest / (rate + np.sqrt(np.maximum(rate**2 + 2 * slope * rest, 0.0)))
        return self.t_s[piece] + into

    def _before(self) -> FloatArray:
        """Expected arrivals before each breakpoint."""
        mean = (self.req_per_s[1:] + self.req_per_s[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(mean * np.diff(self.t_s))])

    def _slopes(self) -> FloatArray:
        """Change of the rate a second in the piece after each breakpoint; 0 after the last."""
        return np.append(np.diff(self.req_per_s) / np.diff(self.t_s), 0.0)


def rate_profile(rate: float | doc.Ramp, warmup_s: float, window_s: float) -> RateProfile:
    """A level rate, or a ramp over the window with `from` before it and `to` after it."""
    if isinstance(rate, doc.Ramp):
        start, end = [warmup_s], [warmup_s + window_s]
        lead = [0.0] if warmup_s > 0 else []
        times = np.array(lead + start + end)
        return RateProfile(times, np.array([rate.from_] * (len(lead) + 1) + [rate.to]))
    return RateProfile(np.array([0.0]), np.array([float(rate)]))

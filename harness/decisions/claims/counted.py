"""How requests count in a claim on latency.

What the target failed is the worst there is. A refusal of what we asked (4xx) or of how much (429)
says nothing of latency, and neither works for a claim nor against it: too many of them leave it
open. Who left before the first token had waited at least so long: left out, the slow would be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.availability import is_bad
from harness.analysis.frame import BoolArray, FloatArray, Frame, elapsed_s
from harness.analysis.tokens import tpot_s
from harness.decisions.claims.finding import Figures, Standing
from harness.scenario.claims import Claim
from harness.units import significant, write_share

OURS = ("http_4xx", "throttled")


@dataclass(frozen=True, slots=True)
class Counted:
    """values: [n] seconds, inf where the target failed, NaN where the request says nothing.

    is_left_out: [n] of the last attempts in the window those that say nothing though they were
    sent.
    """

    values: FloatArray
    is_left_out: BoolArray

    @property
    def is_told(self) -> BoolArray:
        return np.asarray(~np.isnan(self.values), dtype=np.bool_)


def ttft(frame: Frame, limit_s: float = np.inf) -> Counted:
    """TTFT from the intended send. limit_s: a request that was given up counts with the time it
    had waited where that is beyond it, else it says nothing."""
    values = elapsed_s(frame.first_token_s, frame.intended_s)
    waited = elapsed_s(frame.end_s, frame.intended_s)
    left = frame.is_class("cancelled", "cut") & np.isnan(values)
    return _counted(frame, np.where(left, np.where(waited > limit_s, waited, np.nan), values))


def tpot(frame: Frame) -> Counted:
    """Seconds a token; of an answer that was left or cut nothing is known."""
    return _counted(frame, np.where(frame.is_class("cancelled", "cut"), np.nan, tpot_s(frame)))


def _counted(frame: Frame, seconds: FloatArray) -> Counted:
    values = np.where(is_bad(frame), np.inf, seconds)
    values = np.where(frame.is_class(*OURS, "stale", "client_fault"), np.nan, values)
    asked = frame.is_measured & frame.is_last
    silent = frame.is_class(*OURS, "cancelled", "cut") & np.isnan(values)
    return Counted(np.asarray(values), np.asarray(asked & silent, dtype=np.bool_))


def left_share(frames: Sequence[Frame], counted: Sequence[Counted]) -> float:
    """Of the last attempts in the windows, those that say nothing."""
    left = sum(int(c.is_left_out.sum()) for c in counted)
    told = sum(
        int((c.is_told & f.is_measured & f.is_last).sum())
        for f, c in zip(frames, counted, strict=True)
    )
    return left / (left + told) if left else 0.0


def unless_left_out(
    claim: Claim, standing: Standing, reason: str, share: float, figures: Figures
) -> tuple[Standing, str]:
    """The same, but open where more than the claim's margin of the requests say nothing."""
    if not share:
        return standing, reason
    told = f"{significant(100 * share)}%"
    figures.add("requests that say nothing: 429, 4xx, given up early", told, share)
    if share <= claim.scope.margin or standing not in (Standing.SUPPORTED, Standing.REFUTED):
        return standing, reason
    return Standing.INCONCLUSIVE, (
        f"{reason}; but {told} of the requests were refused as too many or wrong (429, 4xx), or"
        f" given up early: more than can be left out ({write_share(claim.scope.margin)})"
    )

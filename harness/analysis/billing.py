"""What a window's requests used, as a bill counts it, and what of it was worth having.

    billed           attempts intended in the window that brought tokens, good or not: also those
                     that broke off or were left by their user; of whole answers the successes
    good_tok_per_s   tokens, in and out, of good requests / window
    good_tok_share   the same tokens / tokens of all billed attempts

Each attempt is billed; a good request counts once, by the attempt that decided it. Where the target
did not tell a count, the tokens that arrived stand for it and num_unknown counts the attempts whose
prompt nobody counted: the bill is then a lower bound. Intervals: stationary bootstrap of time
blocks, as for every ratio of sums.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.analysis.bootstrap import ratio_intervals
from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.goodput import NO_LIMIT, Goodness
from harness.analysis.throughput import METHOD, Bins, residence_s
from harness.analysis.usage import Usage
from harness.estimate import Estimate


def usage_of(frame: Frame, goodness: Goodness, seed: list[int]) -> Usage:
    """The window's usage. seed: of the bootstrap."""
    arrived = np.bincount(frame.chunk_owner, frame.chunk_tok, minlength=len(frame))
    n_out = np.where(np.isfinite(frame.n_out), frame.n_out, arrived)
    n_in = np.nan_to_num(frame.n_in)
    brought = (n_in + n_out > 0) | ~frame.is_streamed
    billed = frame.is_measured & ((frame.num_chunks > 0) | (frame.is_success & brought))
    good = frame.is_measured & frame.is_last & frame.is_valid & goodness.is_good
    tok = n_in + n_out
    cached = frame.cached_tok[billed]
    rate, share = _estimates(frame, billed, good, tok, np.random.default_rng(seed))
    if not goodness.has_limit[billed].any():
        rate = replace(rate, value=None, low=None, high=None, reason=NO_LIMIT)
        share = replace(share, value=None, low=None, high=None, reason=NO_LIMIT)
    return Usage(
        num_billed=int(billed.sum()),
        num_good=int(good.sum()),
        num_unknown=int((billed & ~np.isfinite(frame.n_in) & np.isnan(frame.audio_s)).sum()),
        input_tok=float(n_in[billed].sum()),
        output_tok=float(n_out[billed].sum()),
        cached_tok=float(np.nansum(cached)) if np.isfinite(cached).any() else None,
        good_tok_per_s=rate,
        good_tok_share=share,
        audio_min=float(np.nansum(frame.audio_s[billed])) / 60,
    )


def _estimates(
    frame: Frame, billed: BoolArray, good: BoolArray, tok: FloatArray, rng: np.random.Generator
) -> tuple[Estimate, Estimate]:
    bins = Bins.over(frame.window_s)
    stay_s = residence_s(frame)
    good_tok = bins.count(frame.intended_s[good], tok[good])
    all_tok = bins.count(frame.intended_s[billed], tok[billed])
    seconds = np.full(bins.num, bins.width_s)
    found = []
    for name, stat, unit, below in (
        ("good_tok_per_s", "rate", "tok/s", seconds),
        ("good_tok_share", "ratio", "ratio", all_tok),
    ):
        ends = ratio_intervals(good_tok, below, bins.width_s, stay_s, rng)
        high = ends.shown.high
        found.append(
            Estimate(
                name, stat, unit, ends.value, ends.shown.low,
                min(high, 1.0) if high is not None and unit == "ratio" else high,
                n=int(good.sum()), n_eff=ends.num_blocks, method=METHOD, reason=ends.reason,
                population="valid",
            )
        )  # fmt: skip
    return found[0], found[1]

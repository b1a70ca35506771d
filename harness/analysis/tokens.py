"""Speed of tokens within an answer: tpot, icl, itl, max_stall, output_tok_per_s_per_user.

    tpot       (last_token - first_token) / (n_out - n_first), over requests with n_out > n_first
    icl        chunk_k - chunk_(k-1), over the gaps of successes
    itl        icl, only where a chunk is one token in at least 95 % of successes
    max_stall  largest gap of a request, for failures up to the cut
    output_tok_per_s_per_user   1 / tpot, per request

A one-token answer has no tpot, no gap and no per-user speed: it is left out and counted. Over
`valid` a failure is infinity for tpot and max_stall. A gap has no failed twin, so gaps are judged
over successes. Gaps of one request are alike: the request, never the gap, is the unit of sampling.
Token counts come from the server or a tokenizer; requested lengths never stand in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray, FloatArray, Frame, IntArray, elapsed_s
from harness.analysis.quantiles import STATS, Pair, Sample, largest, pair_at, type7, withhold_beyond

GAP_METHOD = "type 7 over pooled gaps; order statistics at n_eff, clustered by request"
ONE_TOKEN_SHARE = 0.95
ODD_TOK = 0.01  # counts by chunk are stored as float32


@dataclass(frozen=True, slots=True)
class Gaps:
    """Gaps between chunks. gap_s: [g] seconds; owner: [g] index of its request, ascending."""

    gap_s: FloatArray
    owner: IntArray


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """What token metrics share, worked out once. tpot_s, max_stall_s: [n], NaN where absent."""

    gaps: Gaps
    tpot_s: FloatArray
    max_stall_s: FloatArray


def token_times(frame: Frame) -> TokenTimes:
    """Gaps, time per token and longest stall of every request."""
    gaps = chunk_gaps(frame)
    return TokenTimes(gaps, tpot_s(frame), max_stall_s(frame, gaps))


def tpot_s(frame: Frame) -> FloatArray:
    """[n] seconds a token after the first chunk; NaN where the request has none."""
    n_first = np.where(np.isnan(frame.n_first), 1.0, frame.n_first)
    after_first = frame.n_out - n_first
    with np.errstate(invalid="ignore", divide="ignore"):
        per_token = elapsed_s(frame.last_token_s, frame.first_token_s) / after_first
    return np.where(after_first > 0, per_token, np.nan)


def chunk_gaps(frame: Frame) -> Gaps:
    """Every gap between neighbouring chunks of one request."""
    if len(frame.chunk_s) < 2:
        return Gaps(np.zeros(0), np.zeros(0, dtype=np.int64))
    gap_s = elapsed_s(frame.chunk_s[1:], frame.chunk_s[:-1])
    is_inside = np.ones(len(gap_s), dtype=np.bool_)
    first_chunks = frame.offsets[1:-1]
    borders = first_chunks[(first_chunks > 0) & (first_chunks < len(frame.chunk_s))] - 1
    is_inside[borders] = False
    return Gaps(gap_s[is_inside], frame.chunk_owner[1:][is_inside])


def max_stall_s(frame: Frame, gaps: Gaps) -> FloatArray:
    """[n] largest gap; a failure's last silence, up to its end, counts. NaN without a gap."""
    stall = np.full(len(frame), -np.inf)
    if len(gaps.owner):
        starts = _first_gaps(gaps.owner)
        stall[gaps.owner[starts]] = np.maximum.reduceat(gaps.gap_s, starts)
    last_silence = np.where(frame.is_failed, elapsed_s(frame.end_s, frame.last_token_s), -np.inf)
    stall = np.fmax(stall, last_silence)
    return np.where(np.isneginf(stall), np.nan, stall)


def token_samples(frame: Frame, times: TokenTimes, scope: str) -> list[Sample]:
    """tpot and max_stall over both populations, per-user speed over successes; none of a scope
    whose answers all come whole."""
    if not frame.has_tokens(scope):
        return []
    chosen = frame.is_measured & frame.is_last & frame.is_streamed & frame.scope(scope)
    success, valid = chosen & frame.is_success, chosen & frame.is_valid
    per_token, stall = times.tpot_s, times.max_stall_s
    answered = (chosen & (frame.is_success | frame.is_failed)) & ~np.isnan(stall)
    with np.errstate(divide="ignore"):
        per_user = 1 / per_token
    return [
        Sample("tpot", "s/tok", per_token[success & ~np.isnan(per_token)], scope, "success"),
        _failures_infinite("tpot", "s/tok", per_token, frame, valid, scope),
        Sample("max_stall", "s", stall[answered], scope, "success"),
        _failures_infinite("max_stall", "s", stall, frame, valid, scope),
        Sample(
            "output_tok_per_s_per_user",
            "tok/s",
            per_user[success & np.isfinite(per_user)],
            scope,
            "success",
        ),
    ]


def is_one_token_a_chunk(frame: Frame, scope: str) -> bool:
    """Whether chunks can be read as tokens, in >= 95 % of the requests with a gap.

    Told chunk by chunk: each carries one token (the last may carry the end token with it). Told as
    a sum: n_out = chunks, or one more for an end token without text.
    """
    chosen = frame.is_measured & frame.scope(scope) & frame.is_success & (frame.num_chunks > 1)
    if not chosen.any():
        return False
    surplus = frame.n_out - frame.num_chunks
    is_single = (surplus == 0) | (surplus == 1)
    is_told = frame.tok_source == "usage_continuous"
    is_odd = np.abs(frame.chunk_tok - 1) > ODD_TOK
    last = frame.offsets[1:][frame.num_chunks > 0] - 1
    is_odd[last] &= np.abs(frame.chunk_tok[last] - 2) > ODD_TOK
    has_odd = np.bincount(frame.chunk_owner[is_odd], minlength=len(frame)) > 0
    is_single &= ~(is_told & has_odd)
    return bool(np.mean(is_single[chosen]) >= ONE_TOKEN_SHARE)


def gap_pairs(frame: Frame, gaps: Gaps, scope: str) -> list[Pair]:
    """icl quantiles over the pooled gaps of measured successes, and itl where it exists; none of a
    scope whose answers all come whole."""
    if not frame.has_tokens(scope):
        return []
    chosen = (frame.is_measured & frame.scope(scope) & frame.is_success)[gaps.owner]
    kept = Gaps(gaps.gap_s[chosen], gaps.owner[chosen])
    ordered = np.sort(kept.gap_s)
    starts = _first_gaps(kept.owner) if len(ordered) else kept.owner
    metrics = ["icl", "itl"] if is_one_token_a_chunk(frame, scope) else ["icl"]
    n_eff = {
        name: _clustered_n_eff(kept, starts, type7(ordered, p)) if len(ordered) else 0.0
        for name, p in STATS.items()
    }
    pairs: list[Pair] = []
    for metric in metrics:
        sample = Sample(metric, "s", kept.gap_s, scope, "gaps")
        pairs += withhold_beyond(
            [
                pair_at(sample, ordered, name, p, n_eff[name], GAP_METHOD)
                for name, p in STATS.items()
            ]
        )
    tops = [largest(Sample(m, "s", kept.gap_s, scope, "gaps"), ordered) for m in metrics]
    return [*pairs, *tops]


def _first_gaps(owner: IntArray) -> IntArray:
    """Index of the first gap of each request that has one; owner is ascending, not empty."""
    return np.concatenate([[0], np.flatnonzero(owner[1:] != owner[:-1]) + 1])


def _clustered_n_eff(gaps: Gaps, starts: IntArray, quantile: float) -> float:
    """Gaps that independent draws would need to fix P(gap <= quantile) as well.

    P is a ratio of sums over requests, sum a_i / sum b_i; its variance is that of the residuals
    a_i - P b_i (Woodruff 1952; the limit of resampling whole requests), times their own design
    effect in order of intended send, since neighbouring requests share the load.
    """
    num_gaps = np.diff(np.append(starts, len(gaps.owner))).astype(np.float64)
    num_below = np.add.reduceat((gaps.gap_s <= quantile).astype(np.float64), starts)
    total, clusters = float(num_gaps.sum()), len(starts)
    share = float(num_below.sum()) / total
    residuals = num_below - share * num_gaps
    spread = float((residuals**2).sum())
    if clusters < 2:
        return 1.0
    if spread <= 0 or share in (0.0, 1.0):
        return float(clusters)
    variance = design_effect(residuals) * spread / total**2 * clusters / (clusters - 1)
    n_eff = share * (1 - share) / variance
    return n_eff if math.isfinite(n_eff) and n_eff < total else total


def _failures_infinite(
    metric: str, unit: str, values: FloatArray, frame: Frame, valid: BoolArray, scope: str
) -> Sample:
    filled = np.where(frame.is_failed, np.inf, values)
    return Sample(metric, unit, filled[valid & ~np.isnan(filled)], scope, "valid")

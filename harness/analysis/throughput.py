"""What the system delivered per second of the window; ratios of sums, never means of requests.

    output_tok_per_s    tokens whose chunk was stamped in the window / window
    wasted_tok_per_s    the same tokens of requests that failed, or whose client left
    request_per_s       successes that ended in the window / window
    input_tok_per_s     prompt tokens of those successes / window
    vector_per_s        embeddings of those successes / window, where any were asked
    audio_min_per_s     minutes of audio of those successes / window, where any was sent

A request across an edge earns credit for the tokens inside, whenever it was intended; so a long
tail after the window changes nothing. Failures are out of the first and make up the second; tokens
of cut requests were delivered and count. One-token answers count like any. `peak` is
the best sliding second. Counts that were only told at the end are spread over chunks by bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.analysis.bootstrap import ratio_intervals
from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.quantiles import Pair
from harness.estimate import Estimate

METHOD = "ratio of sums; stationary bootstrap of time blocks, 2,000 draws"
_MOST_BINS, _LEAST_BIN_S = 150, 0.1
_PEAK_STEP_S, _PEAK_S = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal bins over the window. num: how many; width_s: of each."""

    num: int
    width_s: float

    @classmethod
    def over(cls, window_s: float) -> Bins:
        num = max(1, min(_MOST_BINS, math.floor(window_s / _LEAST_BIN_S)))
        return cls(num, window_s / num)

    def count(self, at_s: FloatArray, weight: FloatArray | None = None) -> FloatArray:
        """[num] sums of weight (1 each without) of the instants inside the window."""
        # a float division may land the last instant before t1 on the edge itself
        inside = (at_s >= 0) & (at_s < self.num * self.width_s)
        index = np.minimum((at_s[inside] / self.width_s).astype(np.int64), self.num - 1)
        chosen = None if weight is None else weight[inside]
        return np.bincount(index, weights=chosen, minlength=self.num).astype(np.float64)


def residence_s(frame: Frame) -> float:
    """Mean time from send to end over requests that ended; 0 without any."""
    stay = (frame.end_s - frame.sent_s)[frame.is_measured]
    stay = stay[np.isfinite(stay)]
    return float(stay.mean()) if len(stay) else 0.0


def throughput_pairs(frame: Frame, scope: str, rng: np.random.Generator) -> list[Pair]:
    """The rates and the peak second of one scope; those of tokens where it has answers with any."""
    bins = Bins.over(frame.window_s)
    chosen = frame.scope(scope)
    delivered = chosen & (frame.is_success | frame.is_cut)
    wasted = chosen & (frame.is_failed | frame.is_class("cancelled"))
    ended = chosen & frame.is_success & np.isfinite(frame.end_s)
    prompt_tok = np.nan_to_num(frame.n_in[ended])
    has_tokens = frame.has_tokens(scope)
    rates = [
        ("output_tok_per_s", "tok/s", token_counts(frame, bins, delivered)),
        ("wasted_tok_per_s", "tok/s", token_counts(frame, bins, wasted)),
    ] if has_tokens else []  # fmt: skip
    rates += [
        ("request_per_s", "req/s", bins.count(frame.end_s[ended])),
        ("input_tok_per_s", "tok/s", bins.count(frame.end_s[ended], prompt_tok)),
    ]
    vectors = frame.num_vectors[ended]
    if np.isfinite(frame.num_vectors[chosen]).any():
        rates.append(
            ("vector_per_s", "vec/s", bins.count(frame.end_s[ended], np.nan_to_num(vectors)))
        )
    if np.isfinite(frame.audio_s[chosen]).any():
        minutes = np.nan_to_num(frame.audio_s[ended]) / 60
        rates.append(("audio_min_per_s", "min/s", bins.count(frame.end_s[ended], minutes)))
    if np.isfinite(frame.audio_s[chosen]).all() and chosen.any():  # nothing but recordings
        rates = [rate for rate in rates if rate[0] != "input_tok_per_s"]
    pairs = [rate_pair(name, unit, rows, bins, frame, scope, rng) for name, unit, rows in rates]
    return [*pairs, *([_peak(frame, delivered, scope)] if has_tokens else [])]


def rate_pair(
    metric: str,
    unit: str,
    per_bin: FloatArray,
    bins: Bins,
    frame: Frame,
    scope: str,
    rng: np.random.Generator,
    population: str = "system",
) -> Pair:
    """sum(per_bin) / window with both intervals."""
    seconds = np.full(bins.num, bins.width_s)
    found = ratio_intervals(per_bin, seconds, bins.width_s, residence_s(frame), rng)
    shown, bound = (
        Estimate(
            metric=metric,
            stat="rate",
            unit=unit,
            value=found.value,
            low=end.low,
            high=end.high,
            level=level,
            n=round(float(per_bin.sum())),
            n_eff=found.num_blocks,
            method=METHOD,
            reason=found.reason,
            scope=scope,
            population=population,
        )
        for end, level in ((found.shown, 0.95), (found.bound, 0.90))
    )
    return Pair(shown, bound)


def token_counts(frame: Frame, bins: Bins, requests: BoolArray) -> FloatArray:
    """[bins.num] tokens of these requests by the bin of their chunk's stamp."""
    chosen = np.repeat(requests, frame.num_chunks)
    return bins.count(frame.chunk_s[chosen], frame.chunk_tok[chosen])


def _peak(frame: Frame, delivered: BoolArray, scope: str) -> Pair:
    """Most tokens stamped within any second, to a hundredth; no interval: it is a maximum."""
    steps, width = math.floor(frame.window_s / _PEAK_STEP_S), round(_PEAK_S / _PEAK_STEP_S)
    value: float | None = None
    if steps >= width:
        tokens = token_counts(frame, Bins(steps, _PEAK_STEP_S), delivered)
        summed = np.concatenate([[0.0], np.cumsum(tokens)])
        value = float((summed[width:] - summed[:-width]).max() / _PEAK_S)
    row = Estimate(
        metric="output_tok_per_s",
        stat="peak",
        unit="tok/s",
        value=value,
        n=1,
        method="best sliding second",
        reason="" if value is not None else "the window is shorter than a second",
        scope=scope,
        population="system",
    )
    return Pair(row, row)

"""When it was slow: requests counted by the time of their intended send and by their latency.

A quantile of the whole window does not tell a tail that is always there from one bad minute; these
counts do. Log bins, so that every ratio is as high as any other. Failures have no latency and are
counted apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.analysis.bins import bin_width_s
from harness.analysis.frame import FloatArray, Frame, IntArray, elapsed_s

MOST_COLUMNS, MOST_ROWS = 60, 24
LEAST_REQUESTS = 20  # of fewer every cell would hold one
_PER_DECADE = (40, 20, 10, 5, 2, 1)
_LEAST_S = 1e-6  # a log axis has no place for zero


@dataclass(frozen=True, slots=True)
class Heatmap:
    """metric: what is counted, seconds.  bin_s: of a column, the first begins with the window.

    edges_s: [r + 1] rising, log spaced.  counts: [columns][r] of answered requests.  failed:
    [columns] of requests that failed.  thirds_s: [3] median of the answered requests in each third
    of the window, None where it has none.
    """

    metric: str
    bin_s: float
    window_s: float
    edges_s: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    failed: tuple[int, ...]
    thirds_s: tuple[float | None, ...]


def latency_heatmap(frame: Frame) -> Heatmap | None:
    """TTFT from the intended send, over valid requests of the window (of a retried one the attempt
    that decided it); to the end where no answer is a stream, else of streams only. None where fewer
    than LEAST_REQUESTS were answered."""
    members = frame.is_measured & frame.is_valid & frame.is_last
    has_tokens = frame.has_tokens("all")
    waited = elapsed_s(frame.first_token_s if has_tokens else frame.end_s, frame.intended_s)
    if has_tokens:
        members &= frame.is_streamed
    answered = members & frame.is_success & np.isfinite(waited)
    if answered.sum() < LEAST_REQUESTS:
        return None
    bin_s = bin_width_s(frame.window_s, MOST_COLUMNS)
    at_s, value_s = frame.intended_s[answered], np.maximum(waited[answered], _LEAST_S)
    edges = _edges(float(value_s.min()), float(value_s.max()))
    columns = max(1, math.ceil(round(frame.window_s / bin_s, 6)))
    counts = np.zeros((columns, len(edges) - 1), np.int64)
    row = np.clip(np.searchsorted(edges, value_s, side="right") - 1, 0, len(edges) - 2)
    np.add.at(counts, (_column(at_s, bin_s, columns), row), 1)
    lost = frame.intended_s[members & ~answered]
    return Heatmap(
        "ttft" if has_tokens else "e2e_latency", bin_s, frame.window_s, tuple(map(float, edges)),
        tuple(tuple(map(int, column)) for column in counts),
        tuple(map(int, np.bincount(_column(lost, bin_s, columns), minlength=columns))),
        tuple(_median(value_s[_column(at_s, frame.window_s / 3, 3) == k]) for k in range(3)),
    )  # fmt: skip


def _column(at_s: FloatArray, bin_s: float, columns: int) -> IntArray:
    return np.minimum((at_s / bin_s).astype(np.int64), columns - 1)


def _edges(low_s: float, high_s: float) -> FloatArray:
    """The finest steps of a decade that keep to MOST_ROWS; both ends lie inside."""
    for parts in _PER_DECADE:
        first = math.floor(math.log10(low_s) * parts)
        last = math.floor(math.log10(high_s) * parts) + 1
        if last - first <= MOST_ROWS:
            break
    return np.array([float(f"{10 ** (k / parts):.6g}") for k in range(first, last + 1)])


def _median(values: FloatArray) -> float | None:
    return float(np.median(values)) if len(values) else None

"""The point over time: what was offered, what came back, what piled up. For the timeline strips.

Bins cover the stage from its first intended send to its last end, so that warm-up and cool-down
show; their width is a round number and their count stays below about 200.
"""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.bins import bin_width_s
from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.steady_state import in_flight_means
from harness.analysis.summary import Series
from harness.records.schema import ERROR_CLASSES

_MOST_BINS = 200


def time_series(frame: Frame, stage_index: int) -> Series:
    """Strips over the rows of one stage; empty strips where it has none."""
    own = frame.stage == stage_index
    if not own.any():
        return Series(1.0, frame.window_s)
    ends = frame.end_s[own & np.isfinite(frame.end_s)]
    first = min(0.0, float(frame.intended_s[own].min()))
    last = max(frame.window_s, float(ends.max()) if len(ends) else 0.0)
    width = bin_width_s(last - first, _MOST_BINS)
    edges: FloatArray = (
        np.arange(math.floor(first / width), math.ceil(last / width) + 1, dtype=np.float64) * width
    )
    ended = np.isfinite(frame.end_s)
    chunk_owner_counts = frame.is_success | frame.is_cut
    classes = [
        name for name in ERROR_CLASSES if (own & frame.is_failed & frame.is_class(name)).any()
    ]
    delivered = np.repeat(chunk_owner_counts & own, frame.num_chunks)
    return Series(
        bin_s=width,
        window_s=frame.window_s,
        t_s=_round(edges[:-1]),
        offered_req_per_s=_rate(frame.intended_s, own & frame.is_first, edges, width),
        achieved_req_per_s=_rate(frame.end_s, own & frame.is_success & ended, edges, width),
        errors_req_per_s=_rate(frame.end_s, own & frame.is_failed & ended, edges, width),
        in_flight=_round(in_flight_means(frame, edges)),
        output_tok_per_s=_round(
            np.histogram(frame.chunk_s[delivered], edges, weights=frame.chunk_tok[delivered])[0]
            / width
        ),
        vector_per_s=_vectors(frame, own & frame.is_success & ended, edges, width),
        error_classes=tuple(classes),
        errors_by_class=tuple(
            _rate(frame.end_s, own & frame.is_class(name) & ended, edges, width) for name in classes
        ),
    )


def _vectors(frame: Frame, chosen: BoolArray, edges: FloatArray, width: float) -> tuple[float, ...]:
    """When they came; nothing where none was asked."""
    if not np.isfinite(frame.num_vectors).any():
        return ()
    weights = np.nan_to_num(frame.num_vectors[chosen])
    return _round(np.histogram(frame.end_s[chosen], edges, weights=weights)[0] / width)


def _rate(
    at_s: FloatArray, chosen: BoolArray, edges: FloatArray, width: float
) -> tuple[float, ...]:
    return _round(np.histogram(at_s[chosen], edges)[0] / width)


def _round(values: FloatArray) -> tuple[float, ...]:
    """Six digits are plenty for a strip and keep the file small."""
    return tuple(float(f"{v:.6g}") for v in values)

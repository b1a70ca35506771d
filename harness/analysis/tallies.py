"""Counts of a window: by fate, by error class, by traffic class. Computes no rate.

Everything is over requests intended in the window; what was cancelled, cut or our own fault is
listed here although it enters no rate.
"""

from __future__ import annotations

import numpy as np

from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.summary import ClassRow, ErrorRow
from harness.analysis.tokens import tpot_s
from harness.records.schema import ERROR_CLASSES


def count_requests(frame: Frame) -> dict[str, int]:
    """Requests of the window, and their attempts by fate; `retried` are those sent once more."""
    measured = frame.is_measured
    success = measured & frame.is_success

    def count(chosen: BoolArray) -> int:
        return int((measured & chosen).sum())

    return {
        "requests": count(frame.is_first),
        "valid": count(frame.is_valid),
        "success": int(success.sum()),
        "failed": count(frame.is_failed & ~frame.is_class("throttled")),
        "throttled": count(frame.is_class("throttled")),
        "cancelled": count(frame.is_class("cancelled")),
        "retried": count(~frame.is_last),
        "cut": count(frame.is_cut),
        "client_fault": count(frame.is_class("client_fault", "stale")),
        "one_token": int((success & (frame.n_out == 1)).sum()),
        "no_tpot": int((success & frame.is_streamed & np.isnan(tpot_s(frame))).sum()),
        "no_visible": int((success & frame.is_streamed & np.isnan(frame.first_visible_s)).sum()),
    }


def error_rows(frame: Frame) -> tuple[ErrorRow, ...]:
    """One row a class that occurred, in the schema's order; the sample is the first detail."""
    rows = []
    for name in ERROR_CLASSES:
        chosen = np.flatnonzero(frame.is_measured & frame.is_class(name))
        if not len(chosen):
            continue
        details = [d for d in (frame.error_detail[i] for i in chosen) if d]
        rows.append(
            ErrorRow(
                error_class=name,
                count=len(chosen),
                first_s=float(frame.intended_s[chosen[0]]),
                last_s=float(frame.intended_s[chosen[-1]]),
                sample=details[0] if details else "",
            )
        )
    return tuple(rows)


def class_rows(frame: Frame, classes: tuple[str, ...]) -> tuple[ClassRow, ...]:
    """One row a traffic class, in the scenario's order."""
    return tuple(_class_row(frame, name) for name in classes)


def _class_row(frame: Frame, name: str) -> ClassRow:
    chosen = frame.is_measured & frame.scope(name)
    success = chosen & frame.is_success
    asked_in, realised_in = _means(frame.asked_in, frame.n_in, success)
    asked_out, realised_out = _means(frame.asked_out, frame.n_out, success)
    return ClassRow(
        name=name,
        num_requests=int(chosen.sum()),
        num_valid=int((chosen & frame.is_valid).sum()),
        num_success=int(success.sum()),
        num_throttled=int((chosen & frame.is_class("throttled")).sum()),
        asked_in_tok=asked_in,
        realised_in_tok=realised_in,
        asked_out_tok=asked_out,
        realised_out_tok=realised_out,
    )


def _means(
    asked: FloatArray, seen: FloatArray, chosen: BoolArray
) -> tuple[float | None, float | None]:
    """(asked, realised) over the requests that have both; realised alone where none was asked."""
    both = chosen & (asked > 0) & np.isfinite(seen)
    if both.any():
        return float(asked[both].mean()), float(seen[both].mean())
    told = chosen & np.isfinite(seen)
    return None, float(seen[told].mean()) if told.any() else None

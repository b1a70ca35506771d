"""Widths of bins of time: round numbers that a reader counts in."""

from __future__ import annotations

_WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200)


def bin_width_s(span_s: float, most: int) -> float:
    """The narrowest of them that keeps span_s within `most` bins; else the widest."""
    return float(next((w for w in _WIDTHS_S if span_s / w <= most), _WIDTHS_S[-1]))

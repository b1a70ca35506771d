"""The column `timings` as numbers: what servers told of single requests.

Reads the canonical names that load gave them, and those of records written before there were any
(the reference engine's own, at the top level). Nothing is derived but the server's own time to
first token, where only its parts were told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.frame import BoolArray, FloatArray
from harness.analysis.server_summary import RateLimit

_PARTS = ("frontend_ms", "queue_ms", "prefill_ms")
_REMAINING = "ratelimit_remaining_"
_LIMIT = "ratelimit_limit_"


def read_timings(texts: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """One mapping a request; empty where nothing was told."""
    return tuple(_read(text) for text in texts)


def server_ttft_s(told: Sequence[Mapping[str, Any]]) -> FloatArray:
    """[n] frontend + queue + prefill by the server's clock, seconds; NaN where it did not tell."""
    values = np.full(len(told), np.nan)
    for k, row in enumerate(told):
        whole = row.get("server_ttft_ms")
        if whole is None and all(name in row for name in _PARTS):
            whole = sum(row[name] for name in _PARTS)
        if isinstance(whole, int | float):
            values[k] = whole / 1e3
    return values


def rate_limits(told: Sequence[Mapping[str, Any]], chosen: BoolArray) -> tuple[RateLimit, ...]:
    """The least that was left of each limit, over the chosen requests, in order of name."""
    left: dict[str, float] = {}
    limits: dict[str, float] = {}
    for k in map(int, np.flatnonzero(chosen)):
        for name, value in told[k].items():
            if name.startswith(_REMAINING):
                what = name.removeprefix(_REMAINING)
                left[what] = min(left.get(what, value), value)
            elif name.startswith(_LIMIT):
                limits[name.removeprefix(_LIMIT)] = value
    return tuple(
        RateLimit(what.replace("_", " "), remaining, limits.get(what))
        for what, remaining in sorted(left.items())
    )


def _read(text: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        row = json.loads(text)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}

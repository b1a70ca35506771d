"""Hand-made record rows for the analysis tests: seconds in, the schema's columns out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from harness.analysis import PointMeta
from harness.records.schema import CLIENT_SCHEMA, REQUEST_SCHEMA

T0_NS = 5_000_000_000_000  # an uptime of 83 minutes: far from zero, as on a real machine


def ns(seconds: float | None) -> int | None:
    return None if seconds is None else T0_NS + round(seconds * 1e9)


def row(
    intended: float,
    chunks: Sequence[float] = (),
    end: float | None = None,
    *,
    sent: float | None = None,
    tokens: Sequence[float] | None = None,
    error: str = "",
    class_name: str = "chat",
    **columns: Any,
) -> dict[str, Any]:
    """A request; times in seconds from t0, one token a chunk unless told otherwise.

    Without `end` a request with chunks ends with its last one.
    """
    counts = list(tokens if tokens is not None else [1.0] * len(chunks))
    last = chunks[-1] if chunks else None
    base = dict.fromkeys(REQUEST_SCHEMA.names)
    return base | {
        "stage": 0,
        "class": class_name,
        "error_class": error,
        "intended_ns": ns(intended),
        "released_ns": ns(intended),
        "sent_ns": ns(intended if sent is None else sent),
        "first_token_ns": ns(chunks[0] if chunks else None),
        "first_visible_ns": ns(chunks[0] if chunks else None),
        "last_token_ns": ns(last),
        "end_ns": ns(last if end is None else end),
        "n_in": 10,
        "n_out": round(sum(counts)) if not error else None,
        "n_first": round(counts[0]) if counts else None,
        "tok_source": "usage_continuous",
        "chunk_ns": [ns(c) for c in chunks],
        "chunk_tok": counts,
        "chunk_uncertain": [False] * len(chunks),
        "first_uncertain": False,
    } | columns  # fmt: skip


def requests(rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=REQUEST_SCHEMA)


def clients(num_s: int = 10, **columns: Any) -> pa.Table:
    """A healthy worker's row for each second of the window."""
    healthy = {
        "worker": 0, "stage": 0, "cpu_ratio": 0.2, "steal_ratio": 0.0, "num_blocked": 0,
        "recv_lag_p50_ns": 20_000, "recv_lag_p99_ns": 100_000, "recv_lag_max_ns": 300_000,
        "hub_lag_p99_ns": 100_000, "num_receives": 1000, "gc_pause_max_ns": 0, "clock_step_ns": 0,
        "slew_ppm": 0.0, "tcp_retransmits": 0, "conn_dropped": 0,
    } | columns  # fmt: skip
    each = healthy.pop("num_receives")
    rows = [
        {"t_ns": ns(second + 1), "num_receives": each * (second + 1), **healthy}
        for second in range(num_s)
    ]
    return pa.Table.from_pylist(rows, schema=CLIENT_SCHEMA)


def meta(window_s: float = 10.0, **fields: Any) -> PointMeta:
    given = {
        "index": 0, "label": "main", "target": "t", "kind": "open", "t0_ns": T0_NS,
        "t1_ns": T0_NS + round(window_s * 1e9), "classes": ("chat",),
    } | fields  # fmt: skip
    return PointMeta(**given)

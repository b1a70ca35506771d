"""The load generator's own health over the window, from its workers' one-second rows.

A worker's last row of a point ends with the point and tells of less than a second: means weigh a
row by its own interval, medians leave such a stub out.

A worker that was late, busy or interrupted would be blamed on the target; these are the numbers
that acquit it. None where no row tells. Judges nothing: validity.py holds the limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from harness.analysis.frame import FloatArray

PULSE_S = 1.0  # between two rows of a worker
MIN_MEDIAN_S = 0.5  # a row of less is no second to take the median over


@dataclass(frozen=True, slots=True)
class ClientHealth:
    """Worst worker where workers differ; ratios 0-1. num_rows: rows inside the window.

    cpu_ratio, steal_ratio: mean over the window.  receive_lag_p99_s: over all receives.
    clock_drift_ppm, clock_uncertainty_s: of the workers' clocks against the master's.
    stamp_kinds: 2 where some workers' hosts give kernel stamps and others do not.
    num_blocked: arrivals held by max_in_flight up to the window's end.  num_dropped: kept
    connections that the server closed; None where older records do not tell.
    """

    num_rows: int
    cpu_ratio: float | None = None
    steal_ratio: float | None = None
    receive_lag_p99_s: float | None = None
    hub_lag_p99_s: float | None = None
    gc_pause_max_s: float | None = None
    clock_step_s: float | None = None
    slew_ppm: float | None = None
    suspend_s: float | None = None
    retransmit_ratio: float | None = None
    num_dropped: int | None = None
    clock_drift_ppm: float | None = None
    clock_uncertainty_s: float | None = None
    stamp_kinds: int | None = None
    num_blocked: int = 0


def read_health(clients: pa.Table, t0_ns: int, t1_ns: int) -> ClientHealth:
    """Rows stamped inside the window; for the blocked count, those before it too."""
    rows = {name: _column(clients, name) for name in clients.column_names}
    if not clients.num_rows:
        return ClientHealth(0)
    inside = (rows["t_ns"] >= t0_ns) & (rows["t_ns"] <= t1_ns + 1e9)
    worker = rows["worker"][inside]

    def column(name: str) -> FloatArray:
        return rows[name][inside] if name in rows else np.full(int(inside.sum()), np.nan)

    receives = _since_last_row(rows, "num_receives")[inside]
    own_s = _since_last_row(rows, "t_ns", of_first=PULSE_S * 1e9)[inside] / 1e9
    dropped = column("conn_dropped")
    return ClientHealth(
        num_rows=int(inside.sum()),
        cpu_ratio=_worst_mean(column("cpu_ratio"), own_s, worker),
        steal_ratio=_worst_mean(column("steal_ratio"), own_s, worker),
        receive_lag_p99_s=pooled_p99_s(
            column("recv_lag_p50_ns") / 1e9,
            column("recv_lag_p99_ns") / 1e9,
            column("recv_lag_max_ns") / 1e9,
            receives,
        ),
        hub_lag_p99_s=_middle(column("hub_lag_p99_ns"), own_s, 1e9),
        gc_pause_max_s=_most(column("gc_pause_max_ns"), 1e9),
        clock_step_s=_most(np.abs(column("clock_step_ns")), 1e9),
        slew_ppm=_most(np.abs(column("slew_ppm")), 1.0),
        suspend_s=_most(column("suspend_ns"), 1e9),
        retransmit_ratio=_ratio(column("tcp_retransmits"), float(receives.sum())),
        num_dropped=None if np.isnan(dropped).all() else int(np.nansum(dropped)),
        clock_drift_ppm=_most(np.abs(column("clock_drift_ppm")), 1.0),
        clock_uncertainty_s=_most(column("clock_uncertainty_ns"), 1e9),
        stamp_kinds=_kinds(column("has_kernel_stamps")),
        num_blocked=_blocked(rows, t1_ns),
    )


def pooled_p99_s(
    p50_s: FloatArray, p99_s: FloatArray, max_s: FloatArray, counts: FloatArray
) -> float | None:
    """p99 of all receives together, from each second's p50, p99, max and count.

    A percentile of percentiles would be none. Each second's tail is taken as straight on a log
    scale of probability between its three known points; the pooled tail is solved for 1 %.
    """
    known = np.isfinite(p50_s) & np.isfinite(p99_s) & np.isfinite(max_s) & (counts > 0)
    if not known.any():
        return None
    p50, p99, top, n = p50_s[known], p99_s[known], max_s[known], counts[known]
    low, high = 0.0, float(top.max())
    for _ in range(40):
        middle = (low + high) / 2
        if float((n * _tail(middle, p50, p99, top, n)).sum()) > 0.01 * float(n.sum()):
            low = middle
        else:
            high = middle
    return high


def _tail(x: float, p50: FloatArray, p99: FloatArray, top: FloatArray, n: FloatArray) -> FloatArray:
    """Share of each row's receives that lag more than x."""
    last = np.minimum(1 / np.maximum(n, 1.0), 0.01)
    body = np.clip((x - p50) / np.maximum(p99 - p50, 1e-12), 0, 1)
    end = np.clip((x - p99) / np.maximum(top - p99, 1e-12), 0, 1)
    near = np.exp(np.log(0.5) + body * (np.log(0.01) - np.log(0.5)))
    far = np.exp(np.log(0.01) + end * (np.log(last) - np.log(0.01)))
    return np.asarray(
        np.where(x >= top, 0.0, np.where(x >= p99, far, np.where(x < p50, 1.0, near)))
    )


def _column(clients: pa.Table, name: str) -> FloatArray:
    column = clients[name].combine_chunks()
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _since_last_row(
    rows: dict[str, FloatArray], name: str, of_first: float | None = None
) -> FloatArray:
    """[r] how much a column that counts up from the start of the point grew in each row's own
    interval. of_first: for a worker's first row; None: all that it has."""
    if name not in rows:
        return np.zeros(len(rows["t_ns"]))
    total = np.nan_to_num(rows[name])
    order = np.lexsort((rows["t_ns"], rows["worker"]))
    is_first = np.diff(rows["worker"][order], prepend=np.nan) != 0
    first = total[order] if of_first is None else of_first
    steps = np.where(is_first, first, np.diff(total[order], prepend=0.0))
    own = np.empty_like(total)
    own[order] = np.maximum(steps, 0.0)
    return own


def _ratio(counts: FloatArray, total: float) -> float | None:
    """None where nobody told, or nothing came."""
    told = counts[np.isfinite(counts)]
    return float(told.sum()) / total if len(told) and total else None


def _worst_mean(values: FloatArray, own_s: FloatArray, worker: FloatArray) -> float | None:
    is_told = np.isfinite(values) & (own_s > 0)
    mine = [is_told & (worker == w) for w in np.unique(worker)]
    means = [np.average(values[m], weights=own_s[m]) for m in mine if m.any()]
    return float(max(means)) if means else None


def _middle(values: FloatArray, own_s: FloatArray, scale: float) -> float | None:
    """The median second: one pause shows in `send_lag`, a busy hub shows here."""
    is_told = np.isfinite(values)
    whole = is_told & (own_s >= MIN_MEDIAN_S)
    found = values[whole if whole.any() else is_told]
    return float(np.median(found)) / scale if len(found) else None


def _most(values: FloatArray, scale: float) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.max()) / scale if len(finite) else None


def _kinds(values: FloatArray) -> int | None:
    """How many different ones; None where no row tells."""
    return len(np.unique(values[np.isfinite(values)])) or None


def _blocked(rows: dict[str, FloatArray], t1_ns: int) -> int:
    """Cumulative counters: each worker's last value up to the window's end."""
    if "num_blocked" not in rows:
        return 0
    before = (rows["t_ns"] <= t1_ns + 1e9) & np.isfinite(rows["num_blocked"])
    workers = np.unique(rows["worker"][before])
    return int(sum(rows["num_blocked"][before & (rows["worker"] == w)].max() for w in workers))

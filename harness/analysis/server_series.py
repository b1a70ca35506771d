"""Rows of server.parquet to one series a quantity, whatever server they came from.

Series that differ in labels only are added up, or the largest is taken, as the table of names
says. A counter that falls was restarted: what it shows then is counted from zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.frame import FloatArray, IntArray
from harness.analysis.server_summary import ServerSeries
from harness.records.server_metrics import METRICS, NOT_SUCCESS, names_of, recognise

SHOWN = ("running", "waiting", "kv_usage", "gpu_usage")
_MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Readings:
    """Each series as (t_ns, value), [k] ascending, by its id in METRICS. server: empty: unknown."""

    server: str
    num_readings: int
    series: dict[str, tuple[IntArray, FloatArray]]

    def increase(self, metric: str) -> float | None:
        """How far a counter rose from the first reading to the last; None without two."""
        if metric not in self.series:
            return None
        _, value = self.series[metric]
        if len(value) < 2:
            return None
        steps = np.diff(value)
        return float(np.where(steps < 0, value[1:], steps).sum())

    def mean(self, metric: str, begin_ns: int, end_ns: int) -> float | None:
        """Mean of a gauge's readings in [begin, end); None without one."""
        if metric not in self.series:
            return None
        t_ns, value = self.series[metric]
        inside = value[(t_ns >= begin_ns) & (t_ns < end_ns)]
        return float(inside.mean()) if len(inside) else None

    def shown(self, t0_ns: int) -> tuple[ServerSeries, ...]:
        """The gauges a report draws, thinned to about 200 points each."""
        found = []
        for metric in SHOWN:
            if metric not in self.series or len(self.series[metric][0]) < 2:
                continue
            t_ns, value = self.series[metric]
            every = slice(None, None, -(-len(t_ns) // _MOST_POINTS))
            about = METRICS[metric]
            found.append(
                ServerSeries(
                    metric, about.title, about.unit,
                    tuple(round(float(t), 3) for t in (t_ns[every] - t0_ns) / 1e9),
                    tuple(float(f"{v:.6g}") for v in value[every]),
                )
            )  # fmt: skip
        return tuple(found)


def read_server(table: pa.Table | None) -> Readings:
    """Every quantity of METRICS that the rows hold; rows in SERVER_SCHEMA, in any order."""
    if table is None or not table.num_rows:
        return Readings("", 0, {})
    names = set(pc.unique(table["name"]).to_pylist())
    server = recognise(names)
    series = {}
    for metric, spellings in names_of(server).items():
        name = next((n for n in spellings if n in names), None)
        if name is not None:
            series[metric] = _one(table.filter(pc.equal(table["name"], name)), metric)
    of_server = table.filter(pc.invert(pc.starts_with(table["name"], "gpu_")))
    num = len(pc.unique(of_server["t_ns"])) if of_server.num_rows else 0
    return Readings(server, num, {k: v for k, v in series.items() if len(v[0])})


def _one(rows: pa.Table, metric: str) -> tuple[IntArray, FloatArray]:
    """One value a reading."""
    if metric == "requests_success":
        for reason in NOT_SUCCESS:
            rows = rows.filter(pc.invert(pc.match_substring(rows["labels"], reason)))
    t_ns: IntArray = rows["t_ns"].to_numpy().astype(np.int64)
    value: FloatArray = rows["value"].to_numpy().astype(np.float64)
    times, owner = np.unique(t_ns, return_inverse=True)
    if METRICS[metric].pick == "max":
        merged = np.full(len(times), -np.inf)
        np.maximum.at(merged, owner, value)
    else:
        merged = np.bincount(owner, weights=value, minlength=len(times))
    return times, merged

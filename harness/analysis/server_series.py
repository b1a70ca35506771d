"""Rows of server.parquet to one series a quantity, whatever server they came from.

Series that differ in labels only are added up, or the largest is taken, as the table of names
says. A counter that falls was restarted: what it shows then is counted from zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.frame import FloatArray, IntArray
from harness.analysis.server_summary import NetGain, ServerSeries, Speculation
from harness.records.server_metrics import (
    ACCEPTED_PER_POS,
    METRICS,
    NOT_SUCCESS,
    names_of,
    recognise,
)

SHOWN = ("running", "waiting", "kv_usage", "gpu_usage")
_MOST_POINTS = 200
_MOST_PLACES = 64


@dataclass(frozen=True, slots=True)
class Readings:
    """Each series as (t_ns, value), [k] ascending, by its id in METRICS. server: empty: unknown.

    accepted_per_pos: how far the counter of each place of accepted drafts rose.
    """

    server: str
    num_readings: int
    series: dict[str, tuple[IntArray, FloatArray]]
    accepted_per_pos: tuple[float, ...] = ()

    def increase(self, metric: str) -> float | None:
        """How far a counter rose from the first reading to the last; None without two."""
        if metric not in self.series or len(self.series[metric][1]) < 2:
            return None
        return _increase(self.series[metric][1])

    def speculation(self) -> Speculation | None:
        """None where the server put no draft on trial, or does not tell."""
        drafts, drafted, accepted = map(
            self.increase, ("spec_drafts", "spec_draft_tok", "spec_accepted_tok")
        )
        if not drafts or drafted is None or accepted is None:
            return None
        coin = self.series.get("spec_is_synthetic")
        is_synthetic = coin is not None and bool(coin[1].max() > 0)
        return Speculation(
            drafts, drafted, accepted, self.accepted_per_pos, is_synthetic, self._net_gain()
        )

    def _net_gain(self) -> NetGain | None:
        """The server's last word on what its drafts gain; None where it says nothing."""
        told = [
            float(self.series[name][1][-1]) if name in self.series else 0.0
            for name in (
                "spec_speedup", "spec_speedup_low", "spec_speedup_high",
                "spec_compared_s", "spec_compared_tok", "spec_controls",
            )
        ]  # fmt: skip
        return NetGain(*told) if all(told) else None

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
    places = _per_position(table.filter(pc.equal(table["name"], ACCEPTED_PER_POS)))
    return Readings(server, num, {k: v for k, v in series.items() if len(v[0])}, places)


def _increase(value: FloatArray) -> float:
    """How far a counter rose; where it fell it had been restarted from zero."""
    steps = np.diff(value)
    return float(np.where(steps < 0, value[1:], steps).sum())


def _per_position(rows: pa.Table) -> tuple[float, ...]:
    """The increase of each place, replicas added up; empty without a reading."""
    labels = rows["labels"].to_pylist()
    found = [re.search(r'position="(\d+)"', text) for text in labels]
    places = [int(match[1]) if match else -1 for match in found]
    if not places or min(places) < 0 or max(places) >= _MOST_PLACES:
        return ()
    of_place = np.array(places)
    return tuple(
        _increase(_one(rows.filter(pa.array(of_place == place)), "spec_accepted_tok")[1])
        for place in range(max(places) + 1)
    )


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

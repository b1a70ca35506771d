"""Rows of other hosts come back on the master's axis: requests move whole, durations stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.records import (
    CLIENT_SCHEMA,
    REQUEST_SCHEMA,
    PointDirectory,
    SpoolWriter,
    on_master_axis,
    read_spool,
    read_workers,
    write_workers,
)
from harness.records.schema import ABSOLUTE_NS

S = 1_000_000_000


def worker(shard: int, offset_ns: int, **more: Any) -> dict[str, Any]:
    row = {
        "shard": shard, "offset_ns": offset_ns, "at_ns": 100 * S, "end_offset_ns": None,
        "end_at_ns": None, "uncertainty_ns": 40_000, "sure_drift_ppm": 3.0,
    }  # fmt: skip
    return row | more


def request(shard: int, intended_ns: int, **more: Any) -> dict[str, Any]:
    row = {
        "request_id": "r", "worker": shard, "intended_ns": intended_ns,
        "sent_ns": intended_ns + 10, "tcp_ns": 77, "end_ns": intended_ns + 50,
        "chunk_ns": [intended_ns + 20, intended_ns + 30],
    }  # fmt: skip
    return row | more


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=REQUEST_SCHEMA)


def test_each_row_moves_by_the_offset_of_its_own_worker() -> None:
    found = on_master_axis(
        table(request(0, 100 * S), request(1, 105 * S)), [worker(0, 0), worker(1, 5 * S)]
    ).to_pylist()
    assert [row["intended_ns"] for row in found] == [100 * S, 100 * S]
    assert found[1]["end_ns"] == 100 * S + 50
    assert found[1]["chunk_ns"] == [100 * S + 20, 100 * S + 30]
    assert found[1]["tcp_ns"] == 77


def test_absent_stamps_and_lists_stay_absent() -> None:
    rows = table(
        request(1, 105 * S, end_ns=None, chunk_ns=None),
        request(1, 106 * S, chunk_ns=[]),
        request(1, 107 * S),
    )
    found = on_master_axis(rows, [worker(1, 5 * S)]).to_pylist()
    assert [row["chunk_ns"] for row in found] == [None, [], [102 * S + 20, 102 * S + 30]]
    assert [row["end_ns"] for row in found] == [None, 101 * S + 50, 102 * S + 50]
    assert found[0]["first_token_ns"] is None


def test_the_offset_is_linear_between_start_and_end_and_one_for_a_whole_request() -> None:
    """10 us more over 10 s (1 ppm): half of it is there half way, to the nanosecond."""
    drifting = worker(1, 5 * S, end_offset_ns=5 * S + 10_000, end_at_ns=110 * S)
    rows = [request(1, at) for at in (105 * S, 110 * S + 5_000, 115 * S + 10_000)]
    found = on_master_axis(table(*rows), [drifting]).to_pylist()
    assert [row["intended_ns"] for row in found] == [100 * S, 105 * S, 110 * S]
    assert all(row["end_ns"] - row["intended_ns"] == 50 for row in found)
    assert all(row["chunk_ns"][1] - row["chunk_ns"][0] == 10 for row in found)


def test_every_column_of_times_moves_and_no_duration_does() -> None:
    """All `_ns` columns hold the same number; after the shift the times alone have changed."""
    names = [f.name for f in REQUEST_SCHEMA if f.name.endswith("_ns")]
    is_list = {f.name: pa.types.is_list(f.type) for f in REQUEST_SCHEMA}
    row = {name: [7 * S] if is_list[name] else 7 * S for name in names}
    (found,) = on_master_axis(table(row | {"worker": 3}), [worker(3, S)]).to_pylist()
    moved = {name for name in names if found[name] != row[name]}
    assert moved == set(ABSOLUTE_NS) - {"t_ns"}
    durations = {"dns_ns", "tcp_ns", "tls_ns", "recv_lag_max_ns", "recv_lag_p50_ns"}
    assert set(names) - moved == durations


@pytest.mark.parametrize("workers", [[], [worker(0, 0), worker(1, 0)]])
def test_one_axis_needs_no_shift(workers: list[dict[str, Any]]) -> None:
    rows = table(request(0, 1), request(1, 2))
    assert on_master_axis(rows, workers) is rows


def test_a_spool_is_read_on_the_masters_axis_and_merged_so(
    tmp_path: Path, requests_batch: Callable[[int, int], pa.RecordBatch]
) -> None:
    write_workers(tmp_path, [worker(0, 0), worker(1, 5 * S)])
    with SpoolWriter(tmp_path) as spool:
        spool.append_requests(table(request(1, 105 * S)).to_batches()[0])
        rows = [{"worker": 1, "t_ns": 106 * S, "hub_lag_max_ns": 9}]
        spool.append_clients(pa.RecordBatch.from_pylist(rows, schema=CLIENT_SCHEMA))
    assert read_workers(tmp_path)[1]["offset_ns"] == 5 * S

    for _ in range(2):  # reading twice moves nothing twice
        found = read_spool(tmp_path)
        assert found.requests["intended_ns"].to_pylist() == [100 * S]
    (client,) = found.clients.to_pylist()
    assert (client["t_ns"], client["hub_lag_max_ns"]) == (101 * S, 9)
    assert client["clock_offset_ns"] == 5 * S
    assert client["clock_uncertainty_ns"] == 40_000
    assert client["clock_drift_ppm"] == 3.0

    PointDirectory(tmp_path, 0, "p").merge()
    import pyarrow.parquet as pq

    merged = pq.read_table(tmp_path / "requests.parquet")
    assert merged["intended_ns"].to_pylist() == [100 * S]
    assert json.loads((tmp_path / "workers.json").read_text())[1]["offset_ns"] == 5 * S


def test_large_times_lose_no_nanosecond() -> None:
    """Monotonic clocks of machines up for years: 2^62 ns lies beyond what a float holds."""
    at = 2**61 + 12_345
    drifting = worker(1, at, at_ns=S, end_offset_ns=at + 1000, end_at_ns=11 * S)
    (row,) = on_master_axis(table(request(1, at + 6 * S + 500)), [drifting]).to_pylist()
    assert row["intended_ns"] == 6 * S
    assert np.int64(row["end_ns"]) - row["intended_ns"] == 50

"""The client's own rows: counters that count from the start of the point, and what nobody told."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from harness.analysis.client_health import ClientHealth, read_health
from harness.records.schema import CLIENT_SCHEMA

MS = 1_000_000


def health(rows: Any, *made: dict[str, Any]) -> ClientHealth:
    """A row a second, in a window of as many seconds."""
    quiet = {"worker": 0, "recv_lag_p50_ns": 20_000, "recv_lag_p99_ns": 50_000,
             "recv_lag_max_ns": 90_000}  # fmt: skip
    table = pa.Table.from_pylist(
        [quiet | {"t_ns": rows.ns(k + 0.5)} | row for k, row in enumerate(made)], CLIENT_SCHEMA
    )
    return read_health(table, rows.ns(0), rows.ns(len(made)))


BAD = {"recv_lag_p50_ns": 900 * MS, "recv_lag_p99_ns": 990 * MS, "recv_lag_max_ns": 1000 * MS}


def test_a_second_weighs_what_it_received_not_what_the_point_had_by_then(rows: Any) -> None:
    """10 late receives after 10,000 prompt ones are one in a thousand, not half of all."""
    found = health(rows, {"num_receives": 10_000}, BAD | {"num_receives": 10_010})
    assert found.receive_lag_p99_s is not None
    assert found.receive_lag_p99_s < 0.001
    late = health(rows, {"num_receives": 100}, BAD | {"num_receives": 200})
    assert late.receive_lag_p99_s is not None
    assert late.receive_lag_p99_s > 0.9


def test_retransmits_are_held_against_the_receives_of_the_window(rows: Any) -> None:
    found = health(
        rows,
        {"num_receives": 600, "tcp_retransmits": 1},
        {"num_receives": 1000, "tcp_retransmits": 1},
        {"num_receives": 400, "tcp_retransmits": 0, "worker": 1},
        {"num_receives": 1000, "tcp_retransmits": 2, "worker": 1},
    )
    assert found.retransmit_ratio == pytest.approx(4 / 2000)


def test_what_nobody_told_is_none(rows: Any) -> None:
    found = health(rows, {"num_receives": 100}, {"num_receives": 200})
    assert found.retransmit_ratio is None
    assert found.num_dropped is None
    told = health(rows, {"conn_dropped": 2, "tcp_retransmits": 0, "num_receives": 5})
    assert (told.num_dropped, told.retransmit_ratio) == (2, 0.0)

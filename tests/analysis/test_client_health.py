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


def test_a_last_row_of_less_than_a_second_weighs_as_much_less(rows: Any) -> None:
    """Two idle seconds and a busy tenth: (2 x 0.1 + 0.1 x 1.0) / 2.1, of a median that is quiet."""
    quiet = {"cpu_ratio": 0.1, "steal_ratio": 0.0, "hub_lag_p99_ns": MS, "tcp_retransmits": 0}
    made = [
        {"t_ns": rows.ns(1)} | quiet | {"num_receives": 100},
        {"t_ns": rows.ns(2)} | quiet | {"num_receives": 200},
        {"t_ns": rows.ns(2.1), "cpu_ratio": 1.0, "steal_ratio": 0.42, "hub_lag_p99_ns": 900 * MS,
         "tcp_retransmits": 2, "num_receives": 250},
    ]  # fmt: skip
    found = health(rows, *made)
    assert found.cpu_ratio == pytest.approx(0.3 / 2.1)
    assert found.steal_ratio == pytest.approx(0.02)
    assert found.hub_lag_p99_s == pytest.approx(0.001)
    # but what happened in it happened
    assert found.retransmit_ratio == pytest.approx(2 / 250)
    alone = health(rows, made[0], made[2] | {"t_ns": rows.ns(1.1), "worker": 1})
    assert alone.cpu_ratio == 1.0  # a worker's only row: a second, as far as anybody knows
    stub = read_health(pa.Table.from_pylist(made, CLIENT_SCHEMA), rows.ns(2.05), rows.ns(2.2))
    assert stub.hub_lag_p99_s == pytest.approx(0.9)  # better than nothing

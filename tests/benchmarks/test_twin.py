"""The twin's benchmark runs, and real traces go through it whole."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.twin import Row, made_up, real, table

TRACES = os.environ.get("HARNESS_TRACES")


def check(row: Row) -> None:
    assert row.steps > 0
    assert 0 < row.ttft_p50_s < row.ttft_p99_s


def test_every_kind_of_simulation_runs() -> None:
    rows = list(made_up(300))
    for row in rows:
        check(row)
    assert [row.replicas for row in rows] == [1, 1, 1, 1, 10, 10, 10]
    assert len(list(table(rows))) == len(rows) + 2


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES names no folder of public traces")
def test_real_traces_go_through() -> None:
    day, by_load, by_prefix = islice(real(Path(TRACES or "")), 3)
    for row in (day, by_load, by_prefix):
        check(row)
    assert day.requests > 470_000
    assert by_prefix.ttft_p99_s < by_load.ttft_p99_s

"""Rows and schedules small enough to check by eye."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from harness.records import CLIENT_SCHEMA, REQUEST_SCHEMA
from harness.traffic import Schedule, StageSchedule
from harness.traffic.schedule import ArrivalLaw


def _requests(first: int, count: int) -> pa.RecordBatch:
    rows: list[dict[str, Any]] = [
        {
            "request_id": f"r{k}",
            "row": k,
            "phase": "measured",
            "error_class": "",
            "intended_ns": k * 1000,
            "chunk_ns": [k, k + 1],
            "chunk_tok": [1.0, 2.0],
        }
        for k in range(first, first + count)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=REQUEST_SCHEMA)


def _clients(t_ns: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"worker": 0, "t_ns": t_ns}], schema=CLIENT_SCHEMA)


@pytest.fixture
def requests_batch() -> Callable[[int, int], pa.RecordBatch]:
    """requests_batch(first, count): rows first .. first + count - 1."""
    return _requests


@pytest.fixture
def clients_batch() -> Callable[[int], pa.RecordBatch]:
    return _clients


@pytest.fixture
def schedule() -> Schedule:
    def arrays(n: int, kind: type) -> Any:
        return np.arange(n, dtype=kind)

    common = {"warmup_ns": 5, "window_ns": 70, "cooldown_ns": 9}
    rows = {
        n: {
            "class_id": arrays(n, np.int32),
            "asked_in": arrays(n, np.int32) + 1,
            "asked_out": arrays(n, np.int32) - 1,
            "content_id": arrays(n, np.int64) * 10**12,
            "prefix_group": arrays(n, np.int32) - 1,
            "think_ns": arrays(n, np.int64),
        }
        for n in (3, 4)
    }
    first = StageSchedule(
        0, "open", "open", np.array([7, 8, 2**60], np.int64), **rows[3],
        slot_start_ns=np.zeros(0, np.int64), **common, law=ArrivalLaw("gamma", 2.0, (0.0,), (8.0,)),
    )  # fmt: skip
    second = StageSchedule(
        1, "closed", "closed", np.zeros(4, np.int64), **rows[4],
        slot_start_ns=np.array([0, 11], np.int64), **common, num_measured=4,
    )  # fmt: skip
    return Schedule((first, second), drain_ns=30)

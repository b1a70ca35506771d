"""Rows to Arrow: dictionaries of one second become one record batch in the records' schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute  # loaded here: its 150 ms would otherwise fall into the first second of load

from harness.records import CLIENT_SCHEMA, REQUEST_SCHEMA


def request_batch(
    rows: Sequence[dict[str, Any]], breathe: Callable[[], None] = lambda: None
) -> pa.RecordBatch:
    """rows: by column name; list columns hold numpy arrays or None; missing columns are null.

    breathe: called between columns, and may switch greenlets: most of the cost is by column, not
    by row, so that large batches are the cheap ones.
    """
    columns = []
    for field in REQUEST_SCHEMA:
        breathe()
        values = [row.get(field.name) for row in rows]
        columns.append(
            _lists(values, field.type) if pa.types.is_list(field.type)
            else pa.array(values, field.type)
        )  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=REQUEST_SCHEMA)


def client_batch(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=CLIENT_SCHEMA)


def to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def from_bytes(raw: bytes) -> pa.RecordBatch:
    return pa.ipc.open_stream(raw).read_next_batch()


def _lists(values: list[Any], kind: Any) -> pa.Array:
    """A list column from arrays, without a Python object for each element."""
    sizes = [0 if v is None else len(v) for v in values]
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    arrays = [v for v in values if v is not None and len(v)]
    empty = np.zeros(0, dtype=kind.value_type.to_pandas_dtype())
    flat = pa.array(np.concatenate(arrays) if arrays else empty, kind.value_type)
    is_null = np.array([v is None for v in values], dtype=bool)
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), flat, type=kind, mask=pa.array(is_null)
    )

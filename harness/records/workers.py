"""workers.json of a point: which hosts took part, and how their clocks stood to the master's.

Rows are spooled with the stamps of the host that took them; reading the spool puts them on the
master's axis. A request's stamps move together, by the offset at its intended time, so that every
duration stays what that host measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ._atomic import unreadable, write_json
from .schema import ABSOLUTE_NS

NAME = "workers.json"
Int64Array = npt.NDArray[np.int64]


def write_workers(point_dir: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One row a shard, plain JSON values: see docs/structures.md."""
    write_json(point_dir / NAME, list(rows))


def read_workers(point_dir: Path) -> list[dict[str, Any]]:
    """Empty where the point was measured by a version that kept none. Raises UsageError."""
    path = point_dir / NAME
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(path, error) from error


def on_master_axis(table: pa.Table, workers: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The table, its absolute stamps shifted by their worker's offset at that time.

    table: rows of requests or of client health, with a column `worker`. Between the readings at
    start and end of the point the offset is linear; without the second it is constant.
    """
    if not len(table) or not any(w["offset_ns"] or w.get("end_offset_ns") for w in workers):
        return table
    begin = "intended_ns" if "intended_ns" in table.column_names else "t_ns"
    shard = table["worker"].combine_chunks().to_numpy(zero_copy_only=False)
    begin_ns = table[begin].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
    shift_ns = np.zeros(len(table), dtype=np.int64)
    for worker in workers:
        chosen = shard == worker["shard"]
        shift_ns[chosen] = _offset_ns(begin_ns[chosen], worker)
    for name in ABSOLUTE_NS:
        if name in table.column_names:
            at = table.column_names.index(name)
            moved = _moved(table[name].combine_chunks(), shift_ns)
            table = table.set_column(at, table.schema.field(at), moved)
    return table


def with_clocks(clients: pa.Table, workers: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Client rows with what their worker's clock was worth; left alone without workers."""
    if not workers or not len(clients):
        return clients
    known = {w["shard"]: w for w in workers}
    shards = clients["worker"].to_pylist()
    columns = {
        "clock_offset_ns": "offset_ns", "clock_uncertainty_ns": "uncertainty_ns",
        "clock_drift_ppm": "sure_drift_ppm", "has_kernel_stamps": "has_kernel_stamps",
    }  # fmt: skip
    for name, key in columns.items():
        at = clients.column_names.index(name)
        field = clients.schema.field(at)
        values = [known.get(shard, {}).get(key) for shard in shards]
        clients = clients.set_column(at, field, pa.array(values, field.type))
    return clients


def _offset_ns(there_ns: Int64Array, worker: Mapping[str, Any]) -> Int64Array:
    """Worker minus master at these times of the worker, [n] ns."""
    offset_ns, at_ns = int(worker["offset_ns"]), int(worker["at_ns"])
    end_offset_ns, end_at_ns = worker.get("end_offset_ns"), worker.get("end_at_ns")
    if end_offset_ns is None or end_at_ns is None or end_at_ns <= at_ns:
        return np.full(len(there_ns), offset_ns, dtype=np.int64)
    # per elapsed time there, which is longer or shorter than here by the drift itself
    elapsed_there_ns = (end_at_ns + end_offset_ns) - (at_ns + offset_ns)
    rate = (end_offset_ns - offset_ns) / elapsed_there_ns
    since_ns = (there_ns - (at_ns + offset_ns)).astype(np.float64)
    return np.asarray(offset_ns + np.rint(rate * since_ns).astype(np.int64))


def _moved(column: pa.Array, shift_ns: Int64Array) -> pa.Array:
    """A column of times, or of lists of times, less each row's shift; nulls stay."""
    if not pa.types.is_list(column.type):
        return pc.subtract(column, pa.array(shift_ns))
    sizes = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    flat = column.flatten().to_numpy(zero_copy_only=False) - np.repeat(shift_ns, sizes)
    offsets = np.zeros(len(column) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(flat, pa.int64()), type=column.type, mask=column.is_null()
    )

"""schedule.parquet: what a point was to send. One row a request; the phases in the metadata.

Read back it is the same Schedule, with the same sha256, so offered load can be proven later.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.traffic import ArrivalLaw, Schedule, StageSchedule

from ._atomic import write_parquet

_ROWS = (
    ("intended_ns", pa.int64()), ("class_id", pa.int32()), ("asked_in", pa.int32()),
    ("asked_out", pa.int32()), ("content_id", pa.int64()), ("prefix_group", pa.int32()),
    ("think_ns", pa.int64()),
)  # fmt: skip
_LEAVING = (("cancel_ns", pa.int64()), ("cancel_tok", pa.int32()))  # only where a class cancels
_BATCHES = (("batch", pa.int32()),)  # only where a class embeds
_CLIPS = (("audio_ms", pa.int32()),)  # only where a class sends audio
_PHASES = ("index", "name", "kind", "warmup_ns", "window_ns", "cooldown_ns", "num_measured")
_KEY = b"harness.schedule"


def write_schedule(path: Path, schedule: Schedule) -> None:
    """Replace the file at `path`. Raises UsageError where the disk is full."""
    has_leaving = all(len(stage.cancel_ns) == len(stage) for stage in schedule.stages)
    has_clips = all(len(stage.audio_ms) == len(stage) for stage in schedule.stages)
    has_batches = all(len(stage.batch) == len(stage) for stage in schedule.stages)
    written = (
        *_ROWS, *(_LEAVING if has_leaving else ()), *(_BATCHES if has_batches else ()),
        *(_CLIPS if has_clips else ()),
    )  # fmt: skip
    tables = [
        pa.table(
            {
                "stage": pa.array(np.full(len(stage), stage.index, np.int32)),
                **{name: pa.array(getattr(stage, name), kind) for name, kind in written},
            }
        )
        for stage in schedule.stages
    ]
    phases = [
        {name: getattr(stage, name) for name in _PHASES}
        | {"slot_start_ns": stage.slot_start_ns.tolist()}
        | {"law": asdict(stage.law) if stage.law else None}
        for stage in schedule.stages
    ]
    meta = {"drain_ns": schedule.drain_ns, "sha256": schedule.sha256(), "stages": phases}
    table = pa.concat_tables(tables).replace_schema_metadata({_KEY: json.dumps(meta).encode()})
    write_parquet(path, table)


def read_schedule(path: Path) -> Schedule:
    """The schedule as it was written."""
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[_KEY])
    stage_of = table.column("stage").to_numpy()
    written = [
        name for name, _ in (*_ROWS, *_LEAVING, *_BATCHES, *_CLIPS) if name in table.column_names
    ]
    stages = []
    for phases in meta["stages"]:
        rows = np.flatnonzero(stage_of == phases["index"])
        columns = {name: table.column(name).to_numpy()[rows] for name in written}
        starts = np.array(phases.pop("slot_start_ns"), np.int64)
        law = phases.pop("law", None)
        stages.append(
            StageSchedule(
                **phases,
                **columns,
                slot_start_ns=starts,
                law=ArrivalLaw(**{k: _frozen(v) for k, v in law.items()}) if law else None,
            )
        )
    return Schedule(tuple(stages), meta["drain_ns"])


def _frozen(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value

"""Former attempts at a point of an uptime run, from the folders that `--resume` kept them in."""

from __future__ import annotations

import numpy as np

from harness.analysis.cut_short import cut_part
from harness.analysis.frame import FloatArray
from harness.analysis.point_meta import PointMeta
from harness.analysis.summary import CutPart
from harness.cli._judge import stage_metas
from harness.records import PointRecords
from harness.scenario import Point


def cut_parts(point: Point, records: PointRecords) -> dict[int, tuple[CutPart, ...]]:
    """Stage -> what each attempt before the last one saw of it, in order.

    Raises UsageError where kept records cannot be read.
    """
    found: dict[int, tuple[CutPart, ...]] = {}
    for own in records.before:
        for meta in stage_metas(point, own):
            part = cut_part(own.requests(), own.clients(), meta, due_s(own, meta))
            found[meta.stage_index] = (*found.get(meta.stage_index, ()), part)
    return found


def due_s(records: PointRecords, meta: PointMeta) -> FloatArray | None:
    """[n] scheduled arrivals from the window's start; None where users decide when to ask."""
    schedule = records.schedule()
    if schedule is None or meta.kind == "closed":
        return None
    stage = next(s for s in schedule.stages if s.index == meta.stage_index)
    return np.asarray((stage.intended_ns - stage.warmup_ns) / 1e9, dtype=np.float64)

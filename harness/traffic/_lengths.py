"""The columns of a stage that say what each request is: class, lengths, content, prefix group.

Lengths belong to the class: the k-th request of a class has the same lengths whatever other
classes there are and however arrivals fall to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.scenario import document as doc
from harness.units import NS_PER_S

from ._batches import draw_batches
from .distributions import choose, draw, draw_counts, draw_groups
from .seeds import generator

if TYPE_CHECKING:
    from harness.scenario import Materials, Point

LEAST_CLIP_MS = 100  # endpoints refuse less

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """[n] each. keep: False where a row of a trace is longer than its class allows.

    cancel_ns, cancel_tok: -1 where the client waits for the end.
    batch: texts of an embeddings request, 0 for others; [0] where no class embeds.  audio_ms: of
    the clip, 0 for others; [0] where no class sends audio.
    """

    class_id: IntArray
    asked_in: IntArray
    asked_out: IntArray
    content_id: IntArray
    prefix_group: IntArray
    keep: BoolArray
    cancel_ns: IntArray
    cancel_tok: IntArray
    batch: IntArray
    audio_ms: IntArray


def draw_bodies(
    point: Point, materials: Materials, stage: int, count: int, joined: IntArray | None, file: str
) -> Bodies:
    """What the `count` requests of a stage are, in their order.

    joined: [count] rows of trace `file` that the arrivals came from, None for other arrivals.
    """
    weight = np.array([c.weight for c in point.traffic])
    class_id = choose(weight, generator(point.seed, "assignment", stage=stage).random(count))
    unset = np.full((4, count), -1, np.int64)
    keep = np.ones(count, np.bool_)
    # without any class that cancels the columns stay empty, and the schedule's hash as it was
    leave = np.full((2, count if any(c.cancel for c in point.traffic) else 0), -1, np.int64)
    embeds = any(isinstance(c.workload, doc.EmbeddingsWorkload) for c in point.traffic)
    speaks = any(isinstance(c.workload, doc.AudioWorkload) for c in point.traffic)
    batch = np.zeros(count if embeds else 0, np.int64)
    columns = Bodies(
        class_id,
        unset[0],
        unset[1],
        unset[2],
        unset[3],
        keep,
        leave[0],
        leave[1],
        batch,
        np.zeros(count if speaks else 0, np.int64),
    )
    for index, traffic in enumerate(point.traffic):
        mine = np.flatnonzero(class_id == index)
        rows = joined[mine] if joined is not None else None
        _fill(columns, mine, traffic, point.seed, materials, stage, rows, file)
    return columns


def _fill(
    columns: Bodies,
    mine: IntArray,
    traffic: doc.TrafficClass,
    seed: int,
    materials: Materials,
    stage: int,
    joined: IntArray | None,
    file: str,
) -> None:
    """Write one class's rows."""
    count, workload = len(mine), traffic.workload

    def lengths(what: doc.Lengths | None, field: str) -> IntArray:
        if what is None:
            return np.full(count, -1, np.int64)
        rng = generator(seed, "lengths", traffic.name, stage, field)
        return draw_counts(what, rng, count, materials.tables)

    match workload:
        case doc.ChatWorkload():
            columns.content_id[mine] = np.arange(count)
            columns.asked_in[mine] = lengths(workload.input_tokens, "input")
            columns.asked_out[mine] = lengths(workload.output_tokens, "output")
        case doc.ToolsWorkload() | doc.JsonSchemaWorkload():
            columns.content_id[mine] = np.arange(count)
            columns.asked_in[mine] = lengths(workload.input_tokens, "input")
        case doc.EmbeddingsWorkload():
            drawn = draw_batches(workload, seed, traffic.name, stage, count, materials.tables)
            columns.content_id[mine] = np.arange(count)
            columns.asked_in[mine], columns.batch[mine] = drawn.sums(), drawn.num
        case doc.AudioWorkload(clip=None):
            columns.content_id[mine] = np.arange(count) % len(workload.files)
            each_s = np.array([materials.audio[file].duration_s for file in workload.files])
            durations_s = each_s[columns.content_id[mine]]
            columns.audio_ms[mine] = np.maximum(1, np.rint(durations_s * 1e3))
        case doc.AudioWorkload(clip=made):
            assert made is not None
            rng = generator(seed, "lengths", traffic.name, stage, "clip")
            columns.content_id[mine] = np.arange(count)
            drawn_s = draw(made.duration, rng, count, materials.tables)
            columns.audio_ms[mine] = np.maximum(LEAST_CLIP_MS, np.rint(drawn_s * 1e3))
        case doc.DatasetWorkload():
            rows = materials.datasets[workload.file]
            order = _dataset_order(len(rows), workload, seed, traffic.name, count)
            columns.content_id[mine] = order
            otherwise = lengths(workload.output_tokens, "output")
            given = np.array([-1 if r.output_tok is None else r.output_tok for r in rows], np.int64)
            columns.asked_out[mine] = np.where(given[order] > 0, given[order], otherwise)
        case doc.TraceWorkload():
            trace = materials.traces[workload.file]
            limit = workload.max_input_tokens or np.iinfo(np.int32).max
            if joined is not None and file == workload.file:
                rows_of = joined
                columns.keep[mine] = trace.input_tok[joined] <= limit
            else:
                fitting = np.flatnonzero(trace.input_tok <= limit)
                if not len(fitting):
                    raise UsageError(
                        f"no row of '{workload.file}' has at most {limit} input tokens",
                        where=f"traffic class {traffic.name}",
                        do="raise max_input_tokens",
                    )
                rows_of = fitting[np.arange(count) % len(fitting)]
            columns.content_id[mine] = rows_of
            columns.asked_in[mine] = np.maximum(1, trace.input_tok[rows_of])
            columns.asked_out[mine] = np.maximum(1, trace.output_tok[rows_of])
    if traffic.cancel is not None:
        _fill_cancel(columns, mine, traffic.cancel, traffic.name, seed, materials, stage)
    if traffic.prefix is not None:
        rng = generator(seed, "lengths", traffic.name, stage, "prefix")
        group = draw_groups(traffic.prefix.popularity, traffic.prefix.groups, rng, count)
        columns.prefix_group[mine] = group
        has_input = isinstance(workload, doc.ChatWorkload) or (
            isinstance(workload, doc.TaskWorkload) and workload.input_tokens is not None
        )
        if has_input:
            # the shared opening comes on top of the class's own input
            columns.asked_in[mine] += traffic.prefix.tokens


def _fill_cancel(
    columns: Bodies,
    mine: IntArray,
    cancel: doc.Cancel,
    name: str,
    seed: int,
    materials: Materials,
    stage: int,
) -> None:
    """Who leaves, and when. Both are drawn for every request, so that a larger share keeps all
    that a smaller one chose, at the same times."""
    count = len(mine)
    chosen = generator(seed, "lengths", name, stage, "cancel").random(count) < cancel.share
    rng = generator(seed, "lengths", name, stage, "cancel-after")
    if cancel.after is not None:
        after_s = draw(cancel.after, rng, count, materials.tables)
        after_ns = np.rint(after_s * NS_PER_S).astype(np.int64)
        columns.cancel_ns[mine] = np.where(chosen, after_ns, -1)
    elif cancel.after_tokens is not None:
        tokens = draw_counts(cancel.after_tokens, rng, count, materials.tables)
        columns.cancel_tok[mine] = np.where(chosen, tokens, -1)


def _dataset_order(
    num_rows: int, workload: doc.DatasetWorkload, seed: int, name: str, count: int
) -> IntArray:
    """[count] rows: in the file's order, or every row once a pass in a seeded order of its own."""
    if not num_rows:
        raise UsageError(f"the data set '{workload.file}' has no rows")
    passes = -(-count // num_rows)
    if workload.order == "sequential":
        return np.tile(np.arange(num_rows), passes)[:count]
    rng = generator(seed, "content", name, field="order")
    return np.concatenate([rng.permutation(num_rows) for _ in range(max(1, passes))])[:count]

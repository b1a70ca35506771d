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

LEAST_CLIP_MS, MOST_CLIP_MS = 100, 600_000  # endpoints refuse less, and files above 25 MB

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
        _fill(_Share(columns, mine, traffic, point.seed, stage, materials), rows, file)
    return columns


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """One class's share of a stage. mine: [count] its rows of the columns."""

    columns: Bodies
    mine: IntArray
    traffic: doc.TrafficClass
    seed: int
    stage: int
    materials: Materials

    @property
    def count(self) -> int:
        return len(self.mine)

    def rng(self, field: str) -> np.random.Generator:
        return generator(self.seed, "lengths", self.traffic.name, self.stage, field)

    def lengths(self, what: doc.Lengths | None, field: str) -> IntArray:
        """[count] tokens; -1 where nothing is asked."""
        if what is None:
            return np.full(self.count, -1, np.int64)
        return draw_counts(what, self.rng(field), self.count, self.materials.tables)


def _fill(share: _Share, joined: IntArray | None, file: str) -> None:
    """Write one class's rows. joined: those of trace `file` that its arrivals came from."""
    columns, mine, traffic = share.columns, share.mine, share.traffic
    work = traffic.workload
    match work:
        case doc.ChatWorkload():
            columns.content_id[mine] = np.arange(share.count)
            columns.asked_in[mine] = share.lengths(work.input_tokens, "input")
            columns.asked_out[mine] = share.lengths(work.output_tokens, "output")
        case doc.ToolsWorkload() | doc.JsonSchemaWorkload():
            columns.content_id[mine] = np.arange(share.count)
            columns.asked_in[mine] = share.lengths(work.input_tokens, "input")
        case doc.EmbeddingsWorkload():
            tables = share.materials.tables
            drawn = draw_batches(work, share.seed, traffic.name, share.stage, share.count, tables)
            columns.content_id[mine] = np.arange(share.count)
            columns.asked_in[mine], columns.batch[mine] = drawn.sums(), drawn.num
        case doc.AudioWorkload():
            _fill_audio(share, work)
        case doc.DatasetWorkload():
            _fill_dataset(share, work)
        case doc.TraceWorkload():
            _fill_trace(share, work, joined if file == work.file else None)
    if traffic.cancel is not None:
        _fill_cancel(share, traffic.cancel)
    if traffic.prefix is not None:
        _fill_prefix(share, traffic.prefix)


def _fill_audio(share: _Share, work: doc.AudioWorkload) -> None:
    columns, mine = share.columns, share.mine
    if work.clip is None:
        columns.content_id[mine] = np.arange(share.count) % len(work.files)
        each_s = np.array([share.materials.audio[file].duration_s for file in work.files])
        durations_s = each_s[columns.content_id[mine]]
        columns.audio_ms[mine] = np.maximum(1, np.rint(durations_s * 1e3))
    else:
        columns.content_id[mine] = np.arange(share.count)
        tables = share.materials.tables
        drawn_s = draw(work.clip.duration, share.rng("clip"), share.count, tables)
        columns.audio_ms[mine] = np.clip(np.rint(drawn_s * 1e3), LEAST_CLIP_MS, MOST_CLIP_MS)


def _fill_dataset(share: _Share, work: doc.DatasetWorkload) -> None:
    rows = share.materials.datasets[work.file]
    order = _dataset_order(len(rows), work, share.seed, share.traffic.name, share.count)
    share.columns.content_id[share.mine] = order
    otherwise = share.lengths(work.output_tokens, "output")
    given = np.array([-1 if r.output_tok is None else r.output_tok for r in rows], np.int64)
    share.columns.asked_out[share.mine] = np.where(given[order] > 0, given[order], otherwise)


def _fill_trace(share: _Share, work: doc.TraceWorkload, joined: IntArray | None) -> None:
    """joined: the rows of this very trace that the arrivals came from, else None."""
    columns, mine, trace = share.columns, share.mine, share.materials.traces[work.file]
    limit = work.max_input_tokens or np.iinfo(np.int32).max
    if joined is not None:
        rows = joined
        columns.keep[mine] = trace.input_tok[joined] <= limit
    else:
        fitting = np.flatnonzero(trace.input_tok <= limit)
        if not len(fitting):
            raise UsageError(
                f"no row of '{work.file}' has at most {limit} input tokens",
                where=f"traffic class {share.traffic.name}",
                do="raise max_input_tokens",
            )
        rows = fitting[np.arange(share.count) % len(fitting)]
    columns.content_id[mine] = rows
    columns.asked_in[mine] = np.maximum(1, trace.input_tok[rows])
    columns.asked_out[mine] = np.maximum(1, trace.output_tok[rows])


def _fill_prefix(share: _Share, prefix: doc.Prefix) -> None:
    """The shared opening comes on top of the class's own input."""
    group = draw_groups(prefix.popularity, prefix.groups, share.rng("prefix"), share.count)
    share.columns.prefix_group[share.mine] = group
    work = share.traffic.workload
    has_input = isinstance(work, doc.ChatWorkload) or (
        isinstance(work, doc.TaskWorkload) and work.input_tokens is not None
    )
    if has_input:
        share.columns.asked_in[share.mine] += prefix.tokens


def _fill_cancel(share: _Share, cancel: doc.Cancel) -> None:
    """Who leaves, and when. Both are drawn for every request, so that a larger share keeps all
    that a smaller one chose, at the same times."""
    columns, mine, tables = share.columns, share.mine, share.materials.tables
    chosen = share.rng("cancel").random(share.count) < cancel.share
    rng = share.rng("cancel-after")
    if cancel.after is not None:
        after_s = draw(cancel.after, rng, share.count, tables)
        after_ns = np.rint(after_s * NS_PER_S).astype(np.int64)
        columns.cancel_ns[mine] = np.where(chosen, after_ns, -1)
    elif cancel.after_tokens is not None:
        tokens = draw_counts(cancel.after_tokens, rng, share.count, tables)
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

"""One step as flat arrays: every token of every scheduled sequence behind one another.

A prefill chunk, a decode and a verification of drafts differ only in length. Rows persist: a
request keeps its row of the block table from its first step to its last, and a step copies only
the blocks it gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from .device import to_device
from .plan import ScheduledSeq
from .request import Request

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


MAX_SHORT = 8  # tokens of one sequence up to which equals are attended in one call


class Span(NamedTuple):
    """The tokens of one sequence from absolute position `start` on; logits of the last few."""

    start: int
    ids: list[int]
    num_logits: int

    @property
    def order(self) -> tuple[int, int]:
        """Short ones by length, each length by rising context; then chunks likewise."""
        return _order(len(self.ids), self.start)


def _order(num_new: int, start: int) -> tuple[int, int]:
    return min(num_new, MAX_SHORT + 1), start


@dataclass(slots=True)
class FlatBatch:
    """T tokens of B sequences, in the order of Span.order: single tokens first.

    seq_lens counts context and new tokens. Rows and sampled_idx follow this order too.
    """

    input_ids: torch.Tensor  # [T] int64
    positions: torch.Tensor  # [T] int64, absolute
    slot_mapping: torch.Tensor  # [T] int64: block * block_size + offset
    cu_q: IntArray  # [B + 1]: sequence b owns tokens cu_q[b] .. cu_q[b + 1] - 1
    seq_lens: IntArray  # [B]
    rows: IntArray  # [B]: each one's row of the table
    table: RowTable
    num_decodes: int  # leading sequences of exactly one token
    logits_idx: torch.Tensor | None  # [N] tokens whose logits are wanted; None: all T

    @property
    def block_table(self) -> IntArray:
        """[B, blocks of the longest sequence] as the table stands now; 0 beyond its own."""
        max_blocks = -(-int(self.seq_lens.max()) // self.table.block_size)
        return self.table.blocks[self.rows, :max_blocks]

    def on(self, device: torch.device) -> FlatBatch:
        """The same batch with its tensors on the device, in one copy; itself on a CPU."""
        if device.type == "cpu":
            return self
        parts = [self.input_ids, self.positions, self.slot_mapping]
        if self.logits_idx is not None:
            parts.append(self.logits_idx)
        moved = torch.split(to_device(torch.cat(parts).numpy(), device), [len(p) for p in parts])
        self.input_ids, self.positions, self.slot_mapping = moved[:3]
        self.logits_idx = moved[3] if self.logits_idx is not None else None
        return self


class RowTable:
    """Persistent rows: request id -> row of the block table.

    Row max_rows belongs to nobody and holds padding: block 0 throughout.
    """

    def __init__(self, max_rows: int, max_blocks: int, block_size: int) -> None:
        self.blocks: IntArray = np.zeros((max_rows + 1, max_blocks), dtype=np.int64)
        self._device_blocks: torch.Tensor | None = None
        self._changed: list[tuple[int, int, int]] = []  # row, columns; since the last upload
        self.block_size = block_size
        self._num_blocks = [0] * max_rows
        self._rows: dict[str, int] = {}
        self._free = list(range(max_rows - 1, -1, -1))
        self._fresh: list[int] = []

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._rows

    def release(self, request_id: str) -> None:
        """Give the row back; ids without a row are ignored."""
        if (row := self._rows.pop(request_id, None)) is not None:
            self.blocks[row, : self._num_blocks[row]] = 0
            self._num_blocks[row] = 0
            self._free.append(row)

    def sync(self, r: Request) -> int:
        """r's row, assigned at its first step, with the blocks it gained since its last."""
        row, known = self._rows.get(r.request_id), 0
        if row is None:
            row = self._rows[r.request_id] = self._free.pop()
            num_shared = r.num_computed // self.block_size  # found in the prefix cache
        else:
            known = num_shared = self._num_blocks[row]
        now = len(r.block_ids)
        if now > known:
            self.blocks[row, known:now] = r.block_ids[known:]
            if self._device_blocks is not None:
                self._changed.append((row, known, now))
            self._num_blocks[row] = now
            self._fresh += r.block_ids[num_shared:]
        return row

    def on_device(self, device: torch.device) -> torch.Tensor:
        """[max_rows + 1, max_blocks] int32, up to date; only what changed is copied.

        Beyond a sequence's own blocks an entry is that of the row's former holder.
        """
        if self._device_blocks is None:
            self._device_blocks = to_device(self.blocks.astype(np.int32), device)
        elif self._changed:
            places = np.concatenate(
                [np.arange(a, b) + row * self.blocks.shape[1] for row, a, b in self._changed]
            )
            values = self.blocks.reshape(-1)[places]
            moved = to_device(np.stack([places, values]), device)
            self._device_blocks.view(-1).index_copy_(0, moved[0], moved[1].int())
        self._changed.clear()
        return self._device_blocks

    def take_fresh(self) -> list[int]:
        """Blocks that sequences gained since the last call and that hold nothing yet."""
        fresh, self._fresh = self._fresh, []
        return fresh


def batch_order(seqs: Sequence[ScheduledSeq]) -> list[int]:
    """Indices of seqs in batch order, see Span.order."""
    # One integer each, for the same order: a step does this, and tuples take twice the time.
    most, far = MAX_SHORT + 1, 1 << 40
    keys = [(s.num_new if s.num_new < most else most) * far + s.request.num_computed for s in seqs]
    return sorted(range(len(seqs)), key=keys.__getitem__)


def build_batch(seqs: Sequence[ScheduledSeq], rows: IntArray, table: RowTable) -> FlatBatch:
    """Lay out one step. seqs is in batch order, rows [B] names each one's row of the table."""
    if seqs[-1].num_new == 1 and all(s.is_sampled for s in seqs):
        return _lay_out_decodes([s.request for s in seqs], rows, table)
    return lay_out([_span(s) for s in seqs], rows, table)


def _lay_out_decodes(requests: Sequence[Request], rows: IntArray, table: RowTable) -> FlatBatch:
    """What lay_out gives for the last token of each; most steps are this one."""
    positions = np.array([r.num_computed for r in requests], dtype=np.int64)
    block_idx, offset = np.divmod(positions, table.block_size)
    return FlatBatch(
        input_ids=torch.tensor([r.token_ids[-1] for r in requests]),
        positions=torch.from_numpy(positions),
        slot_mapping=torch.from_numpy(table.blocks[rows, block_idx] * table.block_size + offset),
        cu_q=np.arange(len(requests) + 1),
        seq_lens=positions + 1,
        rows=rows,
        table=table,
        num_decodes=len(requests),
        logits_idx=None,
    )


def lay_out(spans: Sequence[Span], rows: IntArray, table: RowTable) -> FlatBatch:
    """One forward pass over spans in batch order, rows [B] as for build_batch."""
    starts = np.array([s.start for s in spans], dtype=np.int64)
    num_new = np.array([len(s.ids) for s in spans], dtype=np.int64)
    num_logits = np.array([s.num_logits for s in spans], dtype=np.int64)
    cu_q = np.zeros(len(spans) + 1, dtype=np.int64)
    np.cumsum(num_new, out=cu_q[1:])
    seq_lens = starts + num_new
    num_decodes = int(np.count_nonzero(num_new == 1))
    if num_decodes == len(spans):
        positions, token_rows = starts, rows
    else:
        positions = np.repeat(starts - cu_q[:-1], num_new) + np.arange(cu_q[-1])
        token_rows = np.repeat(rows, num_new)
    block_idx, offset = np.divmod(positions, table.block_size)
    slots = table.blocks[token_rows, block_idx] * table.block_size + offset
    return FlatBatch(
        input_ids=torch.tensor([token for s in spans for token in s.ids]),
        positions=torch.from_numpy(positions),
        slot_mapping=torch.from_numpy(slots),
        cu_q=cu_q,
        seq_lens=seq_lens,
        rows=rows,
        table=table,
        num_decodes=num_decodes,
        logits_idx=_last_of_each(cu_q[1:], num_logits),
    )


def _last_of_each(ends: IntArray, counts: IntArray) -> torch.Tensor | None:
    """Indices of the last counts[b] tokens before each ends[b]; None where those are all tokens."""
    total = int(counts.sum())
    if total == ends[-1]:
        return None
    first = ends - np.cumsum(counts)  # of each, less what was listed before it
    return torch.from_numpy(np.repeat(first, counts) + np.arange(total))


def _span(s: ScheduledSeq) -> Span:
    r, start = s.request, s.request.num_computed
    if not s.is_sampled:
        return Span(start, r.token_ids[start : start + s.num_new], 0)
    return Span(start, r.token_ids[start:] + r.draft_ids, 1 + len(r.draft_ids))

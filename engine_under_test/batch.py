"""One step as flat arrays: every token of every scheduled sequence behind one another.

A prefill chunk and a decode differ only in length. Rows persist: a request keeps its row of the
block table from its first step to its last, and a step copies only the blocks it gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .request import Request
from .scheduler import ScheduledSeq

IntArray = npt.NDArray[np.int64]


@dataclass(slots=True)
class FlatBatch:
    """T tokens of B sequences; single-token sequences first, by rising context length.

    seq_lens counts context and new tokens. Rows and sampled_idx follow this order too.
    """

    input_ids: torch.Tensor  # [T] int64
    positions: torch.Tensor  # [T] int64, absolute
    slot_mapping: torch.Tensor  # [T] int64: block * block_size + offset
    cu_q: IntArray  # [B + 1]: sequence b owns tokens cu_q[b] .. cu_q[b + 1] - 1
    seq_lens: IntArray  # [B]
    block_table: IntArray  # [B, blocks of the longest sequence]; 0 beyond a sequence's own
    num_decodes: int  # leading sequences of exactly one token
    logits_idx: torch.Tensor | None  # [N] tokens whose logits are wanted; None: all T


class RowTable:
    """Persistent rows: request id -> row of the block table."""

    def __init__(self, max_rows: int, max_blocks: int, block_size: int) -> None:
        self.blocks: IntArray = np.zeros((max_rows, max_blocks), dtype=np.int64)
        self.block_size = block_size
        self._num_blocks = [0] * max_rows
        self._rows: dict[str, int] = {}
        self._free = list(range(max_rows - 1, -1, -1))

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
        row = self._rows.get(r.request_id)
        if row is None:
            row = self._rows[r.request_id] = self._free.pop()
        known, now = self._num_blocks[row], len(r.block_ids)
        if now > known:
            self.blocks[row, known:now] = r.block_ids[known:]
            self._num_blocks[row] = now
        return row


def batch_order(seqs: Sequence[ScheduledSeq]) -> list[int]:
    """Indices of seqs in batch order: single tokens by context length, then longer chunks."""
    return sorted(
        range(len(seqs)), key=lambda i: (seqs[i].num_new > 1, seqs[i].request.num_computed)
    )


def build_batch(seqs: Sequence[ScheduledSeq], rows: IntArray, table: RowTable) -> FlatBatch:
    """Lay out one step. seqs is in batch order, rows [B] names each one's row of the table."""
    starts = np.array([s.request.num_computed for s in seqs], dtype=np.int64)
    num_new = np.array([s.num_new for s in seqs], dtype=np.int64)
    cu_q = np.zeros(len(seqs) + 1, dtype=np.int64)
    np.cumsum(num_new, out=cu_q[1:])
    seq_lens = starts + num_new
    num_decodes = int(np.count_nonzero(num_new == 1))
    if num_decodes == len(seqs):
        positions, token_rows = starts, rows
    else:
        positions = np.repeat(starts - cu_q[:-1], num_new) + np.arange(cu_q[-1])
        token_rows = np.repeat(rows, num_new)
    block_idx, offset = np.divmod(positions, table.block_size)
    slots = table.blocks[token_rows, block_idx] * table.block_size + offset
    max_blocks = -(-int(seq_lens.max()) // table.block_size)
    is_sampled = [s.is_sampled for s in seqs]
    wants_all = num_decodes == len(seqs) and all(is_sampled)
    return FlatBatch(
        input_ids=torch.tensor(_input_ids(seqs)),
        positions=torch.from_numpy(positions),
        slot_mapping=torch.from_numpy(slots),
        cu_q=cu_q,
        seq_lens=seq_lens,
        block_table=table.blocks[rows, :max_blocks],
        num_decodes=num_decodes,
        logits_idx=None if wants_all else torch.from_numpy(cu_q[1:][is_sampled] - 1),
    )


def _input_ids(seqs: Sequence[ScheduledSeq]) -> list[int]:
    ids: list[int] = []
    for s in seqs:
        r, start = s.request, s.request.num_computed
        ids += r.token_ids[start : start + s.num_new]
        # Drafts follow the last known token; the slice is empty where there are none.
        ids += r.draft_ids[: max(0, start + s.num_new - r.num_tokens)]
    return ids

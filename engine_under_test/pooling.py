"""One vector of a prompt: the hidden state of its last or first token, or the mean of all of them.

Hidden states are those behind the last norm. A mean grows chunk by chunk in the row of its request,
and a first token waits there for the last chunk, on the device and in the order of steps, so that a
step with such a prompt may be launched before the one before it is booked. Normalising is left to
whoever shows the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .batch import FlatBatch, IntArray
from .device import to_device
from .plan import ScheduledSeq
from .request import FloatArray, Pooling


class PooledPart(NamedTuple):
    """Tokens start..end-1 of a step, of a prompt of num_tokens whose vector is wanted."""

    request_id: str
    pooling: Pooling
    row: int
    start: int
    end: int
    num_tokens: int
    is_first: bool
    is_last: bool


class Vectors(NamedTuple):
    """What came of the prompts that ended in a step, on the device: values [len(ids), D]."""

    ids: list[str]
    values: torch.Tensor

    def on_host(self) -> dict[str, FloatArray]:
        """By request id; waits for the device."""
        return by_id(self.ids, self.values.cpu())


def by_id(ids: Sequence[str], values: torch.Tensor) -> dict[str, FloatArray]:
    """Rows of values, which lie in memory that the host may read, as copies of their own."""
    return {name: row.copy() for name, row in zip(ids, values.numpy(), strict=True)}


def parts_of(seqs: Sequence[ScheduledSeq], rows: IntArray, batch: FlatBatch) -> list[PooledPart]:
    """What a step has of prompts with pooling; seqs and rows in batch order, at its launch."""
    return [
        PooledPart(
            request_id=r.request_id,
            pooling=r.pooling,
            row=int(rows[b]),
            start=int(batch.cu_q[b]),
            end=int(batch.cu_q[b + 1]),
            num_tokens=r.num_prompt,
            is_first=r.num_computed == 0,
            is_last=r.num_computed + s.num_new == r.num_prompt,
        )
        for b, s in enumerate(seqs)
        if (r := s.request).pooling is not None
    ]


class Pooler:
    """norm: [N, D] to [N, D], the model's last.  Sums are float32, or float64 as the model is."""

    def __init__(
        self,
        norm: Callable[[torch.Tensor], torch.Tensor],
        num_rows: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._norm = norm
        self._dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self._kept = torch.zeros(num_rows, width, dtype=self._dtype, device=device)

    def pool(self, parts: Sequence[PooledPart], hidden: torch.Tensor) -> Vectors:
        """Take in what a step computed. hidden: [T, D] of the whole batch, before the norm."""
        ids: list[str] = []
        values = [self._kept[:0]]
        if ends := [p for p in parts if p.is_last and p.pooling == "last"]:
            index = to_device(np.array([p.end - 1 for p in ends], dtype=np.int64), hidden.device)
            ids += [p.request_id for p in ends]
            values.append(self._norm(hidden.index_select(0, index)).to(self._dtype))
        for p in parts:
            if p.pooling == "last":
                continue
            found = self._mean(p, hidden) if p.pooling == "mean" else self._first(p, hidden)
            if p.is_last:
                ids.append(p.request_id)
                values.append(found / p.num_tokens if p.pooling == "mean" else found)
            else:
                self._kept[p.row] = found[0]
        return Vectors(ids, torch.cat(values))

    def _mean(self, p: PooledPart, hidden: torch.Tensor) -> torch.Tensor:
        """[1, D] the sum up to here."""
        total = self._norm(hidden[p.start : p.end]).to(self._dtype).sum(0, keepdim=True)
        return total if p.is_first else total + self._kept[p.row]

    def _first(self, p: PooledPart, hidden: torch.Tensor) -> torch.Tensor:
        """[1, D] the first token's state, of this part or an earlier one."""
        if not p.is_first:
            return self._kept[p.row : p.row + 1]
        return self._norm(hidden[p.start : p.start + 1]).to(self._dtype)

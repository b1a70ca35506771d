"""Paged attention by the Triton kernels: the GPU backend.

Sequences of few tokens (decodes, drafts on trial) come first in a batch and take the kernel that
splits the context; chunks of prompts take the other. Nothing is gathered: the kernels walk the
block table, of which the device keeps a copy (see RowTable.on_device).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine_under_test import kernels
from engine_under_test.batch import MAX_SHORT, FlatBatch
from engine_under_test.device import to_device
from engine_under_test.model_config import ModelConfig


@dataclass(frozen=True, slots=True)
class _Launch:
    """One call of the kernel: tokens and sequences from these on."""

    plan: kernels.AttentionPlan
    first_seq: int


@dataclass(slots=True)
class TritonMetadata:
    """What all layers of a step share, on the device; see kernels.paged_attention."""

    slots: torch.Tensor
    cu_q: torch.Tensor
    seq_lens: torch.Tensor
    rows: torch.Tensor
    table: torch.Tensor
    launches: list[_Launch]


class TritonBackend:
    """KV cache of num_blocks blocks on `device`, and attention over it."""

    def __init__(
        self,
        config: ModelConfig,
        num_blocks: int,
        block_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._num_heads = config.num_heads
        self._num_kv_heads = config.num_kv_heads
        self._block_size = block_size
        self._device = device
        shape = (num_blocks * block_size, 2 * config.num_kv_heads, config.head_dim)
        self._kv = [
            torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_layers)
        ]

    def slots(self, layer: int) -> torch.Tensor:
        """[slots, 2 * KVH, D] of one layer, keys' heads first."""
        return self._kv[layer]

    def build(self, batch: FlatBatch) -> TritonMetadata:
        """See AttentionBackend."""
        num_seqs = len(batch.seq_lens)
        counts = np.diff(batch.cu_q)
        num_short = int(np.searchsorted(counts, MAX_SHORT, side="right"))
        launches = []
        if num_short:
            q = int(counts[0]) if counts[0] == counts[num_short - 1] else 0
            longest = int(batch.seq_lens[:num_short].max())
            plan = self._plan(int(batch.cu_q[num_short]), num_short, q, longest)
            launches.append(_Launch(plan, 0))
        if num_short < num_seqs:
            num_tokens = int(batch.cu_q[-1] - batch.cu_q[num_short])
            plan = kernels.AttentionPlan.of(
                num_tokens, num_seqs - num_short, uniform_q=0, group=self._group,
                kv_heads=self._num_kv_heads, is_split=False,
            )  # fmt: skip
            launches.append(_Launch(plan, num_short))
        packed = to_device(np.concatenate([batch.cu_q, batch.seq_lens, batch.rows]), self._device)
        cu_q, seq_lens, rows = torch.split(packed, [num_seqs + 1, num_seqs, num_seqs])
        table = batch.table.on_device(self._device)
        return TritonMetadata(batch.slot_mapping, cu_q, seq_lens, rows, table, launches)

    def uniform(
        self,
        slots: torch.Tensor,
        seq_lens: torch.Tensor,
        rows: torch.Tensor,
        table: torch.Tensor,
        q: int,
    ) -> TritonMetadata:
        """For a step of len(rows) sequences of q tokens each whose contexts are not known yet."""
        plan = self._plan(len(rows) * q, len(rows), q, None)
        # Where all have q tokens nobody looks at cu_q.
        return TritonMetadata(slots, seq_lens, seq_lens, rows, table, [_Launch(plan, 0)])

    def forward(
        self, q: torch.Tensor, kv: torch.Tensor, layer: int, meta: TritonMetadata
    ) -> torch.Tensor:
        """Write, then attend; see AttentionBackend."""
        kernels.write_kv(kv, self._kv[layer], meta.slots)
        return self.attend(q, layer, meta)

    def attend(self, q: torch.Tensor, layer: int, meta: TritonMetadata) -> torch.Tensor:
        """[T, H * D] of rotated q [T, H, D]; keys and values of the batch are in the cache."""
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        for launch in meta.launches:
            b = launch.first_seq
            kernels.paged_attention(
                q,
                self._kv[layer],
                launch.plan,
                cu_q=meta.cu_q[b:],
                seq_lens=meta.seq_lens[b:],
                rows=meta.rows[b:],
                table=meta.table,
                block_size=self._block_size,
                out=out,
            )
        return out.flatten(1)

    @property
    def _group(self) -> int:
        return self._num_heads // self._num_kv_heads

    def _plan(
        self, num_tokens: int, num_seqs: int, q: int, max_seq_len: int | None
    ) -> kernels.AttentionPlan:
        return kernels.AttentionPlan.of(
            num_tokens, num_seqs, uniform_q=q, group=self._group, kv_heads=self._num_kv_heads,
            is_split=True, max_seq_len=max_seq_len,
        )  # fmt: skip

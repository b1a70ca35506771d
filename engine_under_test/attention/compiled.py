"""Attention on one CPU thread with compiled loops: short sequences read the cache where it lies.

Decodes and verifications of drafts gather nothing and need no masks or groups; longer chunks go
the way of SDPA.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from engine_under_test.batch import MAX_SHORT, FlatBatch, IntArray
from engine_under_test.compiled import lanes
from engine_under_test.config import ModelConfig

from .sdpa import SdpaBackend, SdpaMetadata

FLOAT_BYTES = 4


@dataclass(slots=True)
class CompiledMetadata(SdpaMetadata):
    """Token i of the short sequences sees seen[i] tokens in the blocks table[rows[i]]."""

    table: IntArray  # [B, blocks]
    rows: IntArray  # [N]
    seen: IntArray  # [N]


class CompiledBackend(SdpaBackend):
    """See SdpaBackend; float32."""

    @staticmethod
    def can_run(config: ModelConfig) -> bool:
        """Whether the loops are written for heads like these."""
        from engine_under_test.compiled.attention import MAX_GROUP

        group = config.num_heads // config.num_kv_heads
        return config.head_dim % lanes() == 0 and group <= MAX_GROUP

    def __init__(self, config: ModelConfig, num_blocks: int, block_size: int) -> None:
        from engine_under_test.compiled.attention import attend

        super().__init__(config, num_blocks, block_size, torch.float32)
        sizes = (config.num_heads, config.num_kv_heads, config.head_dim, block_size)
        self._call = partial(attend, lanes(), *sizes)
        self._scale = config.head_dim**-0.5
        self._scores = np.empty((config.num_heads, 0), dtype=np.float32)

    def build(self, batch: FlatBatch) -> CompiledMetadata:
        """See AttentionBackend."""
        num_seqs, num_short, table = len(batch.seq_lens), batch.num_decodes, batch.block_table
        rows, seen = np.arange(num_short), batch.seq_lens
        if num_short < num_seqs:
            counts = np.diff(batch.cu_q)
            num_short = int(np.searchsorted(counts, MAX_SHORT, side="right"))
            rows = np.repeat(np.arange(num_short), counts[:num_short])
            seen = batch.positions.numpy()[: len(rows)] + 1
        if len(seen) and seen.max() > self._scores.shape[1]:
            width = -(-2 * int(seen.max()) // 16) * 16
            self._scores = np.empty((len(self._scores), width), dtype=np.float32)
        return CompiledMetadata(
            slots=batch.slot_mapping,
            groups=[],
            chunks=[self._chunk(batch, table, b) for b in range(num_short, num_seqs)],
            table=table,
            rows=rows,
            seen=seen,
        )

    def forward(
        self, q: torch.Tensor, kv: torch.Tensor, layer: int, meta: SdpaMetadata
    ) -> torch.Tensor:
        """See AttentionBackend."""
        assert isinstance(meta, CompiledMetadata)
        cache = self._kv[layer]
        self._kv_slots[layer].index_copy_(0, meta.slots, kv)
        parts = []
        if len(meta.seen):
            parts.append(self._attend_short(q, cache, meta))
        parts += [self._prefill(q, kv, cache, chunk) for chunk in meta.chunks]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend_short(
        self, q: torch.Tensor, cache: torch.Tensor, meta: CompiledMetadata
    ) -> torch.Tensor:
        num_heads, head_dim = q.shape[1:]
        assert q.stride()[1:] == (head_dim, 1), "the heads of a token lie side by side"
        out = q.new_empty(len(meta.seen), num_heads * head_dim)
        self._call(
            q.data_ptr(),
            q.stride(0) * FLOAT_BYTES,
            cache.data_ptr(),
            meta.table,
            meta.rows,
            meta.seen,
            self._scores,
            self._scale,
            out.numpy(),
            self._scores.ctypes.data,
            out.data_ptr(),
        )
        return out

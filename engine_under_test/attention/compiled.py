"""Attention on one CPU thread with compiled loops: short sequences read the cache where it lies.

Decodes, verifications of drafts and short prompts gather nothing and need no masks or groups;
longer chunks go the way of SDPA.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from engine_under_test.batch import MAX_SHORT, BoolArray, FlatBatch, IntArray
from engine_under_test.compiled import lanes
from engine_under_test.model_config import ModelConfig

from .sdpa import SdpaBackend, SdpaMetadata

FLOAT_BYTES = 4
# Pairs of a token and one that it sees, of a sequence, up to which a call of SDPA costs more
# (60 us, and a pair 0.08 us, with nine heads on one x86 core).
MAX_PAIRS = 640


@dataclass(slots=True)
class CompiledMetadata(SdpaMetadata):
    """Token i sees seen[i] tokens in the blocks table[rows[i]]. chunks hold what no run does."""

    table: IntArray  # [B, blocks]
    rows: IntArray  # [T]
    seen: IntArray  # [T]
    runs: list[tuple[int, int]]  # tokens start..end-1 that the loops attend


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
        lens, table = batch.seq_lens, batch.block_table
        if batch.num_decodes == len(lens):
            rows, seen, runs, is_own = np.arange(len(lens)), lens, [(0, len(lens))], None
        else:
            counts = np.diff(batch.cu_q)
            rows = np.repeat(np.arange(len(lens)), counts)
            seen = batch.positions.numpy() + 1
            is_own = (counts <= MAX_SHORT) | (counts * (2 * lens - counts + 1) <= 2 * MAX_PAIRS)
            runs = _runs(is_own, batch.cu_q)
        longest = max((int(seen[start:end].max()) for start, end in runs), default=0)
        if longest > self._scores.shape[1]:
            self._scores = np.empty((len(self._scores), 2 * longest), dtype=np.float32)
        others = [] if is_own is None else np.flatnonzero(~is_own).tolist()
        chunks = [self._chunk(batch, table, b) for b in others]
        return CompiledMetadata(batch.slot_mapping, [], chunks, table, rows, seen, runs)

    def forward(
        self, q: torch.Tensor, kv: torch.Tensor, layer: int, meta: SdpaMetadata
    ) -> torch.Tensor:
        """See AttentionBackend."""
        assert isinstance(meta, CompiledMetadata)
        cache = self._kv[layer]
        self._kv_slots[layer].index_copy_(0, meta.slots, kv)
        if not meta.runs and len(meta.chunks) == 1:
            return self._prefill(q, kv, cache, meta.chunks[0])
        out = q.new_empty(len(q), q.shape[1] * q.shape[2])
        for start, end in meta.runs:
            self._attend_own(q, cache, meta, start, end, out)
        for chunk in meta.chunks:
            out[chunk.start : chunk.end] = self._prefill(q, kv, cache, chunk)
        return out

    def _attend_own(
        self,
        q: torch.Tensor,
        cache: torch.Tensor,
        meta: CompiledMetadata,
        start: int,
        end: int,
        out: torch.Tensor,
    ) -> None:
        """Tokens start..end-1 of q [T, H, D], to their rows of out [T, H * D]."""
        assert q.stride()[1:] == (q.shape[2], 1), "the heads of a token lie side by side"
        queries, to = q[start:end], out[start:end]
        self._call(
            queries.data_ptr(),
            q.stride(0) * FLOAT_BYTES,
            cache.data_ptr(),
            meta.table,
            meta.rows[start:end],
            meta.seen[start:end],
            self._scores,
            self._scale,
            to.numpy(),
            self._scores.ctypes.data,
            to.data_ptr(),
        )


def _runs(is_own: BoolArray, cu_q: IntArray) -> list[tuple[int, int]]:
    """Tokens of neighbouring sequences for which is_own [B] holds, as ranges."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_own, [False]])))
    return [(int(cu_q[a]), int(cu_q[b])) for a, b in edges.reshape(-1, 2)]

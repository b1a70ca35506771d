"""Paged attention by torch's scaled_dot_product_attention: the CPU backend and the oracle.

Whole blocks are gathered with index_select (a fifth of the time of advanced indexing). Queries
that share a key-value head are packed as its query length, so a decode needs neither repeated keys
nor enable_gqa. Decodes and verifications of drafts run in few batched calls, grouped by number of
tokens and by context; chunks run one by one.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from engine_under_test.batch import MAX_SHORT, FlatBatch, IntArray
from engine_under_test.model_config import ModelConfig

# A group may gather this many padding tokens before another call is cheaper
# (a call costs ~40 us a layer, a gathered token ~0.1-0.2 us, on one x86 core).
MAX_PADDING_TOKENS = 256
# A call gathers at most this much, into a buffer that is kept: a fresh one of several megabytes
# costs more in page faults than the copy itself (2.5 times the time at 64 x 300 tokens), and what
# fits the second-level cache is still there when it is attended to (4 % of a step of 64 sequences).
MAX_GATHER_BYTES = 2 * 2**20


@dataclass(slots=True)
class _Group:
    """num_seqs sequences of q tokens each, from token `start` on, padded to one length."""

    start: int
    num_seqs: int
    q: int
    length: int
    blocks: torch.Tensor  # [B * blocks of the longest]
    mask: torch.Tensor | None  # [B, 1, q * group, length] additive; None: everything is seen


@dataclass(slots=True)
class _Chunk:
    """Tokens start..end-1 of one sequence. blocks None: the chunk is its whole context."""

    start: int
    end: int
    length: int
    blocks: torch.Tensor | None
    mask: torch.Tensor | None  # [end - start, length] additive, causal from the bottom right


@dataclass(slots=True)
class SdpaMetadata:
    """What all layers of a step share."""

    slots: torch.Tensor
    groups: list[_Group]
    chunks: list[_Chunk]


class SdpaBackend:
    """KV cache of num_blocks blocks and attention over it."""

    def __init__(
        self, config: ModelConfig, num_blocks: int, block_size: int, dtype: torch.dtype
    ) -> None:
        self._num_kv_heads = config.num_kv_heads
        self._group = config.num_heads // config.num_kv_heads
        self._head_dim = config.head_dim
        self._block_size = block_size
        self._dtype = dtype
        shape = (num_blocks, block_size, 2 * config.num_kv_heads, config.head_dim)
        self._kv = [_lazy_zeros(shape, dtype) for _ in range(config.num_layers)]
        self._kv_slots = [kv.flatten(0, 1) for kv in self._kv]
        self._scratch = torch.empty(0, *shape[1:], dtype=dtype)
        token_bytes = 2 * config.num_kv_heads * config.head_dim * dtype.itemsize
        self._max_gather_tok = MAX_GATHER_BYTES // token_bytes

    def touch(self) -> None:
        """Have every page of the cache provided now; call before the first forward."""
        for kv in self._kv:
            kv.view(-1).view(torch.uint8)[:: mmap.PAGESIZE] = 0

    def build(self, batch: FlatBatch) -> SdpaMetadata:
        """Masks and block lists of one step; see AttentionBackend."""
        bounds = _group_bounds(batch, self._max_gather_tok)
        num_grouped = bounds[-1][1] if bounds else 0
        table = batch.block_table
        return SdpaMetadata(
            slots=batch.slot_mapping,
            groups=[self._group_of(batch, table, a, b) for a, b in bounds],
            chunks=[self._chunk(batch, table, b) for b in range(num_grouped, len(batch.seq_lens))],
        )

    def forward(
        self, q: torch.Tensor, kv: torch.Tensor, layer: int, meta: SdpaMetadata
    ) -> torch.Tensor:
        """Write, then attend; see AttentionBackend."""
        self._kv_slots[layer].index_copy_(0, meta.slots, kv)
        parts = [self._attend(q, self._kv[layer], group) for group in meta.groups]
        parts += [self._prefill(q, kv, self._kv[layer], chunk) for chunk in meta.chunks]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _gather(self, cache: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        """Those blocks of the cache, side by side; valid until the next call."""
        num_blocks = len(blocks)
        if num_blocks > len(self._scratch):
            self._scratch = cache.new_empty(num_blocks + num_blocks // 2, *cache.shape[1:])
        return torch.index_select(cache, 0, blocks, out=self._scratch[:num_blocks])

    def _attend(self, q: torch.Tensor, cache: torch.Tensor, g: _Group) -> torch.Tensor:
        num_seqs, kvh = g.num_seqs, self._num_kv_heads
        context = self._gather(cache, g.blocks).view(num_seqs, -1, 2 * kvh, self._head_dim)
        context = context[:, : g.length].transpose(1, 2)  # [B, 2 * KVH, S, D]
        queries = q[g.start : g.start + num_seqs * g.q]
        # [B, KVH, q * G, D]: the tokens and heads that share a key-value head are its query rows.
        if g.q == 1:
            packed = queries.view(num_seqs, kvh, self._group, -1)
        else:
            packed = queries.view(num_seqs, g.q, kvh, self._group, -1).transpose(1, 2).flatten(2, 3)
        out = F.scaled_dot_product_attention(
            packed, context[:, :kvh], context[:, kvh:], attn_mask=g.mask
        )
        if g.q > 1:
            out = out.view(num_seqs, kvh, g.q, self._group, -1).transpose(1, 2)
        return out.reshape(num_seqs * g.q, -1)

    def _prefill(
        self, q: torch.Tensor, kv: torch.Tensor, cache: torch.Tensor, c: _Chunk
    ) -> torch.Tensor:
        if c.blocks is None:
            context = kv[c.start : c.end]
        else:
            context = self._gather(cache, c.blocks).flatten(0, 1)[: c.length]
        k, v = context.transpose(0, 1).unsqueeze(0).chunk(2, dim=1)  # [1, KVH, S, D] each
        out = F.scaled_dot_product_attention(
            q[c.start : c.end].transpose(0, 1).unsqueeze(0),  # [1, H, n, D]
            k,
            v,
            attn_mask=c.mask,
            is_causal=c.mask is None,
            enable_gqa=self._group > 1,
        )
        return out.squeeze(0).transpose(0, 1).flatten(1)

    def _group_of(self, batch: FlatBatch, table: IntArray, start: int, end: int) -> _Group:
        lens = batch.seq_lens[start:end]
        length, q = int(lens[-1]), int(batch.cu_q[start + 1] - batch.cu_q[start])
        num_blocks = -(-length // self._block_size)
        mask = None
        if q > 1 or lens[0] != length:
            # Token i of q stands at position len - q + i and sees itself and all before.
            num_seen = np.repeat(lens[:, None] - np.arange(q - 1, -1, -1), self._group, axis=1)
            is_beyond = torch.from_numpy(np.arange(length) >= num_seen[:, None, :, None])
            mask = torch.zeros(is_beyond.shape, dtype=self._dtype)
            mask.masked_fill_(is_beyond, -torch.inf)
        blocks = _flat_blocks(table[start:end, :num_blocks])
        return _Group(int(batch.cu_q[start]), end - start, q, length, blocks, mask)

    def _chunk(self, batch: FlatBatch, table: IntArray, b: int) -> _Chunk:
        start, end = int(batch.cu_q[b]), int(batch.cu_q[b + 1])
        length = int(batch.seq_lens[b])
        num_new = end - start
        if length == num_new:
            return _Chunk(start, end, length, None, None)
        mask = torch.full((num_new, length), -torch.inf, dtype=self._dtype)
        # Row i stands at absolute position length - num_new + i and sees itself and all before.
        mask.triu_(length - num_new + 1)
        num_blocks = -(-length // self._block_size)
        return _Chunk(start, end, length, _flat_blocks(table[b, :num_blocks]), mask)


def _group_bounds(batch: FlatBatch, max_gather_tok: int) -> list[tuple[int, int]]:
    """The short sequences, cut where the number of tokens changes and where padding grows dear."""
    if batch.num_decodes == len(batch.seq_lens):
        return _by_context(batch.seq_lens, 0, batch.num_decodes, max_gather_tok)
    counts, bounds = np.diff(batch.cu_q), []
    num_short = int(np.searchsorted(counts, MAX_SHORT, side="right"))
    starts = [0, *(np.flatnonzero(np.diff(counts[:num_short])) + 1).tolist(), num_short]
    for start, end in pairwise(starts):
        bounds += _by_context(batch.seq_lens, start, end, max_gather_tok)
    return bounds


def _by_context(
    seq_lens: IntArray, start: int, end: int, max_gather_tok: int
) -> list[tuple[int, int]]:
    """Split start..end-1, sorted by length, where padding would cost more than another call.

    No part gathers more than max_gather_tok tokens, unless one sequence alone does.
    """
    if start == end:
        return []
    lens = seq_lens[start:end]
    num_gathered = int(lens[-1]) * len(lens)
    if num_gathered - int(lens.sum()) <= MAX_PADDING_TOKENS and num_gathered <= max_gather_tok:
        return [(start, end)]
    bounds, last, padding = [], end, 0
    for i in range(end - 1, start - 1, -1):
        longest = int(seq_lens[last - 1])
        padding += longest - int(seq_lens[i])
        is_large = last - i > 1 and (last - i) * longest > max_gather_tok
        if padding > MAX_PADDING_TOKENS or is_large:
            bounds.append((i + 1, last))
            last, padding = i + 1, 0
    return [(start, last), *reversed(bounds)]


def _flat_blocks(table: IntArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(table).reshape(-1))


def _lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros whose pages the operating system provides at first touch.

    Zeros and not garbage: a masked slot has weight 0, and 0 * NaN would still be NaN. Mapped by
    ourselves, for numpy asks for huge pages: a sequence's first blocks would wait until 2 MB a
    layer are cleared, and touching all of a cache takes six times as long in a virtual machine.
    """
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    kind = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    pages = np.frombuffer(mmap.mmap(-1, num_bytes, **kind), dtype=np.uint8)
    return torch.from_numpy(pages).view(dtype).view(shape)

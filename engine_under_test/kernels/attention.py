"""Paged causal attention with grouped queries: one kernel for prompts, chunks, decodes and drafts.

A program takes BLOCK_M rows, which pack query tokens and the heads that share a key-value head (so
that a decode with four heads a group fills a quarter of the matrix unit's rows, not a sixteenth),
and walks over keys and values through the block table with an online softmax. Prompts and chunks
use a 2-D grid (query tiles, key-value heads). Decodes and verifications of drafts are few rows over
long contexts: their grid has a third dimension, parts of the context, and a second kernel merges
the parts by their log-sum-exp (flash-decoding; Dao et al. 2023).

float32 products run as three of tf32, which loses nothing that matters and compiles in seconds.

The grid of a captured graph is frozen, so the number of parts depends on the batch alone and parts
without work leave early. What changes from step to step is no reason to compile anew, which takes
seconds: sizes are not specialised, nor is where in a packed copy a list of integers begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ._interpreter import sum_type

import triton  # isort: skip  # after the interpreter is chosen
import triton.language as tl  # isort: skip

LOG2_E = 1.4426950408889634
NUM_PROGRAMS = 264  # two for each of a Hopper's 132 multiprocessors
MAX_SPLITS = 32


@triton.jit
def _sequence_of(cu_q, tile, num_seqs, BLOCK_Q: tl.constexpr):
    """Whose query tile this is: those of sequence b begin at cu_q[b] // BLOCK_Q + b."""
    base = tl.load(cu_q)
    low, high = 0, num_seqs
    while low < high:
        middle = (low + high) // 2
        if (tl.load(cu_q + middle) - base) // BLOCK_Q + middle <= tile:
            low = middle + 1
        else:
            high = middle
    return low - 1


@triton.jit(
    do_not_specialize=("num_seqs", "uniform_q", "num_splits", "stride_table"),
    do_not_specialize_on_alignment=("cu_q", "seq_lens", "rows", "table"),
)
def _paged_attention(
    q, cache, out, parts, lse, cu_q, seq_lens, rows, table, num_seqs, uniform_q, num_splits,
    stride_q, stride_table,
    SCALE: tl.constexpr, H: tl.constexpr, KVH: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr,
    BLOCK_SIZE: tl.constexpr, BLOCK_M: tl.constexpr, TILE: tl.constexpr, IS_SPLIT: tl.constexpr,
    IS_UNIFORM: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    GROUP: tl.constexpr = H // KVH
    BLOCK_Q: tl.constexpr = BLOCK_M // GROUP
    tile, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    if IS_UNIFORM:
        tiles_a_seq = tl.cdiv(uniform_q, BLOCK_Q)
        seq = tile // tiles_a_seq
        first = (tile % tiles_a_seq) * BLOCK_Q
        start = seq * uniform_q
        num_q = uniform_q
    else:
        seq = _sequence_of(cu_q, tile, num_seqs, BLOCK_Q)
        start = tl.load(cu_q + seq)
        num_q = tl.load(cu_q + seq + 1) - start
        first = (tile - (start - tl.load(cu_q)) // BLOCK_Q - seq) * BLOCK_Q
    if first >= num_q:
        return
    row = tl.arange(0, BLOCK_M)
    tok = first + row // GROUP
    head = kv_head * GROUP + row % GROUP
    is_row = (row < BLOCK_Q * GROUP) & (tok < num_q)
    num_before = tl.load(seq_lens + seq) - num_q  # absolute position of the first query
    position = num_before + tok
    dims = tl.arange(0, D_PAD)
    is_dim = dims < D
    place = (start + tok).to(tl.int64)
    q_mask = is_row[:, None] & is_dim[None, :]
    query = tl.load(
        q + (place * stride_q + head * D)[:, None] + dims[None, :], mask=q_mask, other=0.0
    )
    # Everything up to the tile's last token is walked over; rows before it mask what is theirs not.
    num_seen = num_before + tl.minimum(first + BLOCK_Q, num_q)
    begin, end = 0, tl.cdiv(num_seen, TILE)
    if IS_SPLIT:
        tiles_a_split = tl.cdiv(end, num_splits)
        begin = split * tiles_a_split
        end = tl.minimum(begin + tiles_a_split, end)
        lse_place = lse + (place * H + head) * num_splits + split
        if begin >= end:
            tl.store(lse_place, tl.full([BLOCK_M], -float("inf"), SUM), mask=is_row)
            return
    blocks = table + tl.load(rows + seq).to(tl.int64) * stride_table
    highest = tl.full([BLOCK_M], -float("inf"), SUM)
    total = tl.zeros([BLOCK_M], SUM)
    mixed = tl.zeros([BLOCK_M, D_PAD], SUM)
    for t in range(begin, end):
        n = t * TILE + tl.arange(0, TILE)
        is_seen = n < num_seen
        block = tl.load(blocks + n // BLOCK_SIZE, mask=is_seen, other=0).to(tl.int64)
        slot = block * BLOCK_SIZE + n % BLOCK_SIZE
        entry = cache + (slot * (2 * KVH) + kv_head)[:, None] * D + dims[None, :]
        kv_mask = is_seen[:, None] & is_dim[None, :]
        k = tl.load(entry, mask=kv_mask, other=0.0)
        v = tl.load(entry + KVH * D, mask=kv_mask, other=0.0)
        score = tl.dot(query, tl.trans(k), input_precision="tf32x3") * SCALE
        is_due = is_row[:, None] & (n[None, :] <= position[:, None])
        score = tl.where(is_due, score, -float("inf"))
        new_highest = tl.maximum(highest, tl.max(score, axis=1))
        shift = tl.where(new_highest == -float("inf"), 0.0, new_highest)
        weight = tl.exp2(score - shift[:, None])
        decay = tl.exp2(highest - shift)
        total = total * decay + tl.sum(weight, axis=1)
        mixed = mixed * decay[:, None]
        mixed += tl.dot(weight.to(v.dtype), v, input_precision="tf32x3")
        highest = new_highest
    # A part may hold nothing for a row: the rows of a tile end at different positions.
    result = mixed / tl.where(total == 0.0, 1.0, total)[:, None]
    if IS_SPLIT:
        empty = total == 0.0
        log_total = tl.log2(tl.where(empty, 1.0, total))
        tl.store(lse_place, tl.where(empty, -float("inf"), highest + log_total), mask=is_row)
        part_place = ((place * H + head) * num_splits + split) * D
        tl.store(parts + part_place[:, None] + dims[None, :], result, mask=q_mask)
    else:
        out_place = (place * H + head) * D
        result = result.to(out.dtype.element_ty)
        tl.store(out + out_place[:, None] + dims[None, :], result, mask=q_mask)


@triton.jit(do_not_specialize=("num_splits",))
def _reduce_splits(
    parts, lse, out, num_splits, H: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr,
    SPLITS_PAD: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * H + tl.program_id(1)
    split, dims = tl.arange(0, SPLITS_PAD), tl.arange(0, D_PAD)
    is_part = split < num_splits
    share = tl.load(lse + place * num_splits + split, mask=is_part, other=-float("inf"))
    # Some part always has work, but for the rows that fill a graph's batch: those become zero.
    highest = tl.maximum(tl.max(share, axis=0), -1e30)
    weight = tl.exp2(share - highest)
    mask = (weight > 0)[:, None] & (dims < D)[None, :]  # empty parts were never written
    values = tl.load(
        parts + (place * num_splits + split)[:, None] * D + dims[None, :], mask=mask, other=0.0
    )
    total = tl.maximum(tl.sum(weight, axis=0), 1e-30)
    result = tl.sum(values * weight[:, None], axis=0) / total
    tl.store(out + place * D + dims, result.to(out.dtype.element_ty), mask=dims < D)


@dataclass(frozen=True, slots=True)
class AttentionPlan:
    """One launch over sequences that lie behind one another.

    uniform_q: tokens of every sequence where all have as many, else 0.  num_splits: parts of the
    context, 1 for prompts.  block_m: rows of a program, at least 16.  tile: keys a pass.
    """

    num_tokens: int
    num_seqs: int
    uniform_q: int
    num_splits: int
    block_m: int
    tile: int
    num_warps: int = 4
    num_stages: int = 3

    @classmethod
    def of(
        cls, num_tokens: int, num_seqs: int, *, uniform_q: int, group: int, kv_heads: int,
        is_split: bool, max_seq_len: int | None = None,
    ) -> AttentionPlan:  # fmt: skip
        """Sizes by rule. max_seq_len None: not known when the grid is fixed (a graph)."""
        if not is_split:
            block_m = max(128 if num_tokens > 64 else 32, _at_least_16(group))
            return cls(
                num_tokens, num_seqs, uniform_q, 1, block_m, 64, 8 if block_m >= 128 else 4, 2
            )
        block_m = _at_least_16(group * min(max(uniform_q, 1), 8))
        tile = 64
        num_tiles = num_seqs * -(-max(uniform_q, 1) // max(1, block_m // group))
        splits = min(max(-(-NUM_PROGRAMS // (num_tiles * kv_heads)), 1), MAX_SPLITS)
        if max_seq_len is not None:
            splits = min(splits, -(-max_seq_len // tile))
        return cls(num_tokens, num_seqs, uniform_q, splits, block_m, tile)


def paged_attention(
    q: torch.Tensor,
    cache: torch.Tensor,
    plan: AttentionPlan,
    *,
    cu_q: torch.Tensor,
    seq_lens: torch.Tensor,
    rows: torch.Tensor,
    table: torch.Tensor,
    block_size: int,
    out: torch.Tensor,
) -> None:
    """Attend from q to everything at or before its position; writes out at q's tokens.

    q: [T, H, D], any stride between tokens.  cache: [slots, 2 * KVH, D], keys' heads first, the
    new tokens' entries written.  cu_q [B + 1], seq_lens [B], rows [B]: int32 or int64, cu_q may
    begin above 0 where the context is not split.  table: [R, blocks], a row's
    blocks in order.  out: [T, H, D], contiguous.
    """
    assert all(t.is_contiguous() for t in (cache, cu_q, seq_lens, rows, out))
    _, num_heads, d = q.shape
    kvh = cache.shape[1] // 2
    if q.dtype == torch.float32:  # for checks: small programs, whose tiles fit in shared memory
        block_m = min(plan.block_m, max(32, _at_least_16(num_heads // kvh)))
        plan = replace(plan, block_m=block_m, num_warps=4, num_stages=1)
    group, d_pad = num_heads // kvh, max(16, triton.next_power_of_2(d))
    block_q = plan.block_m // group
    if plan.uniform_q:
        num_tiles = plan.num_seqs * triton.cdiv(plan.uniform_q, block_q)
    else:
        num_tiles = plan.num_tokens // block_q + plan.num_seqs
    splits = plan.num_splits
    sums = torch.float64 if q.dtype == torch.float64 else torch.float32
    if splits > 1:
        parts = torch.empty(len(q), num_heads, splits, d, dtype=sums, device=q.device)
        lse = torch.empty(len(q), num_heads, splits, dtype=sums, device=q.device)
    else:
        parts = lse = out
    _paged_attention[(num_tiles, kvh, splits)](
        q, cache, out, parts, lse, cu_q, seq_lens, rows, table, plan.num_seqs,
        plan.uniform_q, splits, q.stride(0), table.stride(0), LOG2_E / d**0.5, num_heads, kvh, d,
        d_pad, block_size, plan.block_m, plan.tile, splits > 1, plan.uniform_q > 0,
        sum_type(q.dtype),
        num_warps=plan.num_warps, num_stages=plan.num_stages,
    )  # fmt: skip
    if splits > 1:
        _reduce_splits[(plan.num_tokens, num_heads)](
            parts, lse, out, splits, num_heads, d, d_pad, triton.next_power_of_2(splits)
        )


def _at_least_16(rows: int) -> int:
    return max(16, int(triton.next_power_of_2(rows)))

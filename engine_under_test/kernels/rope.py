"""Rotary embedding, optional q and k norm, and the write of keys and values to their slots, fused.

One pass over the fused qkv product of a step: queries are normed and rotated in place, keys
likewise on their way to the cache, values copied. Pairs that rotate together lie side by side (see
models/rope.py). The norm is not rounded before the rotation, as it is on the CPU: bfloat16 results
differ in the last bit.
"""

from __future__ import annotations

import torch

from ._interpreter import sum_type

import triton  # isort: skip  # after the interpreter is chosen
import triton.language as tl  # isort: skip

_HEADS = 8  # of one program


@triton.jit(do_not_specialize_on_alignment=("positions", "slots"))
def _rope_write_kv(
    heads, rotations, positions, slots, cache, q_norm, k_norm, stride_tok,
    EPS: tl.constexpr, H: tl.constexpr, KVH: tl.constexpr, D: tl.constexpr,
    D_PAD: tl.constexpr, BLOCK: tl.constexpr, HAS_NORM: tl.constexpr, IS_ROTATED: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    tok = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    dims = tl.arange(0, D_PAD)
    mask = (head < H + 2 * KVH)[:, None] & (dims < D)[None, :]
    place = tok * stride_tok + (head * D)[:, None] + dims[None, :]
    raw = tl.load(heads + place, mask=mask, other=0.0)
    is_q, is_v = head < H, head >= H + KVH
    result = raw
    if IS_ROTATED:
        x = raw.to(SUM)
        if HAS_NORM:
            scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=1) / D + EPS)
            w_q = tl.load(q_norm + dims, mask=dims < D, other=0.0).to(SUM)
            w_k = tl.load(k_norm + dims, mask=dims < D, other=0.0).to(SUM)
            x = x * scale[:, None] * tl.where(is_q[:, None], w_q[None, :], w_k[None, :])
        pairs = tl.arange(0, D_PAD // 2)
        angle = rotations + tl.load(positions + tok) * D + 2 * pairs
        cos = tl.load(angle, mask=2 * pairs < D, other=1.0).to(SUM)[None, :]
        sin = tl.load(angle + 1, mask=2 * pairs < D, other=0.0).to(SUM)[None, :]
        re, im = tl.split(tl.reshape(x, [BLOCK, D_PAD // 2, 2]))
        rotated = tl.join(re * cos - im * sin, re * sin + im * cos)
        rotated = tl.reshape(rotated, [BLOCK, D_PAD]).to(raw.dtype)
        result = tl.where(is_v[:, None], raw, rotated)
        tl.store(heads + place, result, mask=mask & is_q[:, None])
    slot = tl.load(slots + tok).to(tl.int64)
    entry = cache + slot * (2 * KVH * D) + ((head - H) * D)[:, None] + dims[None, :]
    tl.store(entry, result, mask=mask & (head >= H)[:, None])


def rope_write_kv(
    heads: torch.Tensor,
    cache: torch.Tensor,
    rotations: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    q_norm: torch.Tensor | None,
    k_norm: torch.Tensor | None,
    eps: float,
) -> None:
    """Queries rotated in place; rotated keys, and values, to their slots of the cache.

    heads: [T, H + 2 * KVH, D], q then k then v.  cache: [slots, 2 * KVH, D].
    rotations: [P, D / 2, 2] cosine and sine by position.  positions, slots: [T] integers.
    q_norm, k_norm: [D] weights of an RMS norm before the rotation; None: none.
    """
    assert (q_norm is None) == (k_norm is None)
    num_tok, num_all, d = heads.shape
    assert all(t.is_contiguous() for t in (cache, rotations, positions, slots))
    kvh = cache.shape[1] // 2
    block = min(_HEADS, triton.next_power_of_2(num_all))
    _rope_write_kv[(num_tok, triton.cdiv(num_all, block))](
        heads, rotations, positions, slots, cache,
        heads if q_norm is None else q_norm, heads if k_norm is None else k_norm,
        heads.stride(0), eps, num_all - 2 * kvh, kvh, d, triton.next_power_of_2(d), block,
        q_norm is not None, True, sum_type(heads.dtype), num_warps=4,
    )  # fmt: skip


def write_kv(kv: torch.Tensor, cache: torch.Tensor, slots: torch.Tensor) -> None:
    """Rotated keys and values [T, 2 * KVH, D] to their slots of the cache [slots, 2 * KVH, D]."""
    num_tok, num_all, d = kv.shape
    assert cache.is_contiguous()
    assert slots.is_contiguous()
    block = min(_HEADS, triton.next_power_of_2(num_all))
    _rope_write_kv[(num_tok, triton.cdiv(num_all, block))](
        kv, kv, slots, slots, cache, kv, kv, kv.stride(0), 0.0, 0, num_all // 2, d,
        triton.next_power_of_2(d), block, False, False, sum_type(kv.dtype), num_warps=4,
    )  # fmt: skip

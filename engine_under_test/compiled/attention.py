"""Attention of single tokens over a paged cache in float32, one thread: nothing is gathered.

The query heads that share a key-value head are taken together, so that keys and values are read
once. Products with keys and sums of values are written as LLVM instructions, for loops over a head
that is not known beforehand cost more than gathering everything for torch. A token's result does
not depend on the tokens beside it.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .host import compiled
from .instructions import F32, I32, I64, at, chosen, declared, fetch, plus

MAX_GROUP = 8  # query heads of a key-value head
FLOAT_BYTES = 4
_MOST = dict.fromkeys((16, 8), MAX_GROUP)  # by lanes
_INT = numba.int64
_ONE = ir.Constant(I64, 1)


class _Kinds:
    """Types and functions of vectors of so many lanes."""

    def __init__(self, module: ir.Module, lanes: int) -> None:
        self.vector = ir.VectorType(F32, lanes)
        self.num_bytes = lanes * FLOAT_BYTES
        self.zeros = ir.Constant(self.vector, [0.0] * lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)
        self.to_all = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
        fma = ir.FunctionType(self.vector, [self.vector] * 3)
        self.fma = declared(module, f"llvm.fma.v{lanes}f32", fma)
        add = ir.FunctionType(F32, [F32, self.vector])
        self.sum = declared(module, f"llvm.vector.reduce.fadd.v{lanes}f32", add)

    def load(self, b: ir.IRBuilder, address: ir.Value) -> ir.Value:
        return b.load(at(b, address, self.vector), align=FLOAT_BYTES)


def _function(module: ir.Module, name: str, num_args: int) -> ir.Function:
    fn = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * num_args), name)
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    return fn


def _scores_of(module: ir.Module, lanes: int, group: int) -> ir.Function:
    """Products of `group` queries with one key a token; arguments as for `_scores`."""
    name = f"scores_{lanes}_{group}"
    if name in module.globals:
        return module.globals[name]
    kinds = _Kinds(module, lanes)
    fn = _function(module, name, 8)
    q, k, k_stride, num_tokens, num_chunks, out, ld_out, ahead = fn.args
    entry, token, chunk, ended, done = (
        fn.append_basic_block(n) for n in ("entry", "token", "chunk", "ended", "done")
    )
    b = ir.IRBuilder(entry)
    head_bytes = b.mul(num_chunks, ir.Constant(I64, kinds.num_bytes))
    queries = [q]
    for _ in range(group - 1):
        queries.append(b.add(queries[-1], head_bytes))
    b.branch(token)

    b = ir.IRBuilder(token)
    tokens_left, k_t, out_t = (b.phi(I64) for _ in range(3))
    b.branch(chunk)

    b = ir.IRBuilder(chunk)
    chunks_left, offset = b.phi(I64), b.phi(I64)
    sums = [b.phi(kinds.vector) for _ in range(group)]
    key_at = b.add(k_t, offset)
    key = kinds.load(b, key_at)
    fetch(b, b.add(key_at, ahead))
    for phi, start, then in (
        (chunks_left, num_chunks, b.sub(chunks_left, _ONE)),
        (offset, ir.Constant(I64, 0), plus(b, offset, kinds.num_bytes)),
    ):
        phi.add_incoming(start, token)
        phi.add_incoming(then, chunk)
    totals = []
    for query, total in zip(queries, sums, strict=True):
        totals.append(b.call(kinds.fma, [kinds.load(b, b.add(query, offset)), key, total]))
        total.add_incoming(kinds.zeros, token)
        total.add_incoming(totals[-1], chunk)
    b.cbranch(b.icmp_unsigned("==", chunks_left, _ONE), ended, chunk)

    b = ir.IRBuilder(ended)
    to = out_t
    for total in totals:
        start = ir.Constant(F32, -0.0)
        value = b.call(kinds.sum, [start, total], fastmath=("reassoc",))
        b.store(value, at(b, to, F32), align=FLOAT_BYTES)
        to = b.add(to, ld_out)
    for phi, start, then in (
        (tokens_left, num_tokens, b.sub(tokens_left, _ONE)),
        (k_t, k, b.add(k_t, k_stride)),
        (out_t, out, plus(b, out_t, FLOAT_BYTES)),
    ):
        phi.add_incoming(start, entry)
        phi.add_incoming(then, ended)
    b.cbranch(b.icmp_unsigned("==", tokens_left, _ONE), done, token)
    ir.IRBuilder(done).ret_void()
    return fn


def _mixed_of(module: ir.Module, lanes: int, group: int) -> ir.Function:
    """`group` weighted sums of one value a token; arguments as for `_mix`."""
    name = f"mix_{lanes}_{group}"
    if name in module.globals:
        return module.globals[name]
    kinds = _Kinds(module, lanes)
    fn = _function(module, name, 8)
    weights, ld_weights, v, v_stride, num_tokens, num_chunks, out, ahead = fn.args
    entry, chunk, token, ended, done = (
        fn.append_basic_block(n) for n in ("entry", "chunk", "token", "ended", "done")
    )
    b = ir.IRBuilder(entry)
    head_bytes = b.mul(num_chunks, ir.Constant(I64, kinds.num_bytes))
    b.branch(chunk)

    b = ir.IRBuilder(chunk)
    chunks_left, v_c, out_c = (b.phi(I64) for _ in range(3))
    places = [out_c]
    for _ in range(group - 1):
        places.append(b.add(places[-1], head_bytes))
    before = [kinds.load(b, place) for place in places]
    b.branch(token)

    b = ir.IRBuilder(token)
    tokens_left, v_t, weights_t = (b.phi(I64) for _ in range(3))
    sums = [b.phi(kinds.vector) for _ in range(group)]
    value = kinds.load(b, v_t)
    fetch(b, b.add(v_t, ahead))
    totals, weight = [], weights_t
    for total, first in zip(sums, before, strict=True):
        one = b.load(at(b, weight, F32), align=FLOAT_BYTES)
        lane = b.insert_element(kinds.undefined, one, ir.Constant(I32, 0))
        everywhere = b.shuffle_vector(lane, kinds.undefined, kinds.to_all)
        totals.append(b.call(kinds.fma, [everywhere, value, total]))
        total.add_incoming(first, chunk)
        total.add_incoming(totals[-1], token)
        weight = b.add(weight, ld_weights)
    for phi, start, then in (
        (tokens_left, num_tokens, b.sub(tokens_left, _ONE)),
        (v_t, v_c, b.add(v_t, v_stride)),
        (weights_t, weights, plus(b, weights_t, FLOAT_BYTES)),
    ):
        phi.add_incoming(start, chunk)
        phi.add_incoming(then, token)
    b.cbranch(b.icmp_unsigned("==", tokens_left, _ONE), ended, token)

    b = ir.IRBuilder(ended)
    for total, place in zip(totals, places, strict=True):
        b.store(total, at(b, place, kinds.vector), align=FLOAT_BYTES)
    for phi, start, then in (
        (chunks_left, num_chunks, b.sub(chunks_left, _ONE)),
        (v_c, v, plus(b, v_c, kinds.num_bytes)),
        (out_c, out, plus(b, out_c, kinds.num_bytes)),
    ):
        phi.add_incoming(start, entry)
        phi.add_incoming(then, ended)
    b.cbranch(b.icmp_unsigned("==", chunks_left, _ONE), done, chunk)
    ir.IRBuilder(done).ret_void()
    return fn


def _type_scores(
    typing: Any, lanes: Any, group: Any, q: Any, k: Any, k_stride: Any, num_tokens: Any,
    num_chunks: Any, out: Any, ld_out: Any, ahead: Any,
) -> Any:  # fmt: skip
    """out [group, num_tokens] = q [group, dim] by k [num_tokens, dim]; all int64.

    Addresses, and distances in bytes; dim is num_chunks vectors; num_tokens >= 1.  ahead: how far
    behind the keys that is what will be read next.
    """

    def generate(context: Any, b: ir.IRBuilder, signature: Any, given: Any) -> Any:
        chosen(_scores_of, _MOST, b, given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10), generate


def _type_mix(
    typing: Any, lanes: Any, group: Any, weights: Any, ld_weights: Any, v: Any, v_stride: Any,
    num_tokens: Any, num_chunks: Any, out: Any, ahead: Any,
) -> Any:  # fmt: skip
    """out [group, dim] += weights [group, num_tokens] by v [num_tokens, dim]; as for _scores."""

    def generate(context: Any, b: ir.IRBuilder, signature: Any, given: Any) -> Any:
        chosen(_mixed_of, _MOST, b, given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10), generate


def _type_power_of_two(typing: Any, n: Any) -> Any:
    """2^n of int32 n, -126..127, as float32."""

    def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        biased = b.add(args[0], ir.Constant(I32, 127))
        return b.bitcast(b.shl(biased, ir.Constant(I32, 23)), F32)

    return types.float32(types.int32), generate


_scores: Any = intrinsic(_type_scores)
_mix: Any = intrinsic(_type_mix)
_power_of_two: Any = intrinsic(_type_power_of_two)
FAST = {"reassoc", "contract", "nsz", "arcp"}
_f = np.float32


@compiled(inline="always", fastmath=FAST)
def exp(x: Any) -> Any:
    """e^x for -87 <= x <= 88, to two units in the last place (Cephes' expf)."""
    n = np.rint(x * _f(1.4426950408889634))
    x = x - n * _f(0.693359375) - n * _f(-2.12194440e-4)  # ln 2 in two parts
    p = _f(1.9875691500e-4)
    p = p * x + _f(1.3981999507e-3)
    p = p * x + _f(8.3334519073e-3)
    p = p * x + _f(4.1665795894e-2)
    p = p * x + _f(1.6666665459e-1)
    p = p * x + _f(5.0000001201e-1)
    return (p * x * x + x + _f(1)) * _power_of_two(np.int32(n))


@compiled(fastmath=FAST)
def _softmax(row: Any, scale: Any) -> None:
    """In place."""
    most = row[0]
    for t in range(len(row)):
        most = max(most, row[t])
    total = _f(0)
    for t in range(len(row)):
        weight = exp(max((row[t] - most) * scale, _f(-87)))
        row[t] = weight
        total += weight
    inverse = _f(1) / total
    for t in range(len(row)):
        row[t] *= inverse


@compiled(
    numba.void(
        *[_INT] * 8, numba.int64[:, ::1], numba.int64[::1], numba.int64[::1],
        numba.float32[:, ::1], numba.float32, numba.float32[:, ::1], *[_INT] * 2,
    )
)  # fmt: skip
def attend(
    lanes, num_heads, num_kv_heads, dim, block_size, q, ld_q, cache,
    table, rows, seen, scores, scale, out, scores_at, out_at,
):  # fmt: skip
    """out [N, num_heads * dim]: token i sees the first seen[i] tokens of row rows[i] of the table.

    q, cache: addresses of float32 [N, num_heads, dim], rows ld_q bytes apart, and
    [blocks, block_size, 2 * num_kv_heads, dim], keys first.  table [rows, blocks] names blocks.
    scores [num_heads, >= the most seen]: scratch. scores_at, out_at: the addresses of those two.
    """
    group = num_heads // num_kv_heads
    head_bytes = dim * FLOAT_BYTES
    token_bytes = 2 * num_kv_heads * head_bytes
    ld_scores = scores.shape[1] * FLOAT_BYTES
    block_bytes = block_size * token_bytes
    for i in range(len(seen)):
        blocks = table[rows[i]]
        after = table[rows[min(i + 1, len(seen) - 1)]]  # fetched meanwhile
        for start in range(0, seen[i], block_size):
            n = start // block_size
            keys, ahead = cache + blocks[n] * block_bytes, (after[n] - blocks[n]) * block_bytes
            for h in range(num_kv_heads):
                first = h * group
                _scores(
                    lanes, group, q + i * ld_q + first * head_bytes, keys + h * head_bytes,
                    token_bytes, min(block_size, seen[i] - start), dim // lanes,
                    scores_at + first * ld_scores + start * FLOAT_BYTES, ld_scores, ahead,
                )  # fmt: skip
        for j in range(num_heads):
            _softmax(scores[j, : seen[i]], scale)
        out[i] = 0
        for start in range(0, seen[i], block_size):
            n = start // block_size
            values, ahead = cache + blocks[n] * block_bytes, (after[n] - blocks[n]) * block_bytes
            values += num_kv_heads * head_bytes
            for h in range(num_kv_heads):
                first = h * group
                _mix(
                    lanes, group, scores_at + first * ld_scores + start * FLOAT_BYTES, ld_scores,
                    values + h * head_bytes, token_bytes, min(block_size, seen[i] - start),
                    dim // lanes, out_at + (i * num_heads + first) * head_bytes, ahead,
                )  # fmt: skip

"""A matrix product in float32 whose weights lie in panels of columns, one thread.

A panel holds some columns, side by side row after row, so that a product reads its weights once
and in the order in which they lie; while one panel is multiplied, the next one is fetched. A tile
is some rows of x by one panel, all its sums in registers. It is written as LLVM instructions:
LLVM does not keep the sums there from loops. Each output is one chain of fused multiply-adds over
the depth, whatever rows share the product: a row's result does not depend on its neighbours.

The way of packing and blocking is Goto and van de Geijn's (Anatomy of High-Performance Matrix
Multiplication, 2008), without blocks of depth, which the sizes of a decoder do not need.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .host import compiled
from .instructions import F32, I32, I64, at, chosen, declared, fetch, plus

VECTORS = 2  # of a panel's width
# By lanes of a vector: rows x VECTORS sums, a row of the panel and one element of x fit the
# 32 registers of AVX-512, or the 16 of AVX2.
MAX_ROWS = {16: 14, 8: 6}
FLOAT_BYTES, LINE_BYTES = 4, 64
# Rows of x that are multiplied by all panels before the next rows are: 1 MB, in the second-level
# cache beside a panel.
BLOCK_BYTES = 2**20

_TILE = ir.FunctionType(ir.VoidType(), [I64] * 9)
_INT = numba.int64


def _defined(module: ir.Module, lanes: int, rows: int) -> ir.Function:
    """The tile of so many rows and vectors of so many lanes; its arguments as for `tile`."""
    name = f"tile_{lanes}_{rows}"
    if name in module.globals:
        return module.globals[name]
    vector = ir.VectorType(F32, lanes)
    vector_bytes = lanes * FLOAT_BYTES
    fma = declared(module, f"llvm.fma.v{lanes}f32", ir.FunctionType(vector, [vector] * 3))
    fn = ir.Function(module, _TILE, name)
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    x, panel, depth, out, ld_out, addend, ld_addend, ahead, ahead_step = fn.args
    entry, loop, summed, added, stored = (
        fn.append_basic_block(n) for n in ("entry", "loop", "summed", "added", "stored")
    )
    ir.IRBuilder(entry).branch(loop)

    b = ir.IRBuilder(loop)
    zeros, undefined = ir.Constant(vector, [0.0] * lanes), ir.Constant(vector, ir.Undefined)
    left, x_k, panel_k, ahead_k = (b.phi(I64) for _ in range(4))
    sums = [[b.phi(vector) for _ in range(VECTORS)] for _ in range(rows)]
    weights = [
        b.load(at(b, plus(b, panel_k, c * vector_bytes), vector), align=vector_bytes)
        for c in range(VECTORS)
    ]
    for line in range(VECTORS * vector_bytes // LINE_BYTES):
        fetch(b, plus(b, ahead_k, line * LINE_BYTES))
    totals = []
    for r in range(rows):
        one = b.load(at(b, plus(b, x_k, r * FLOAT_BYTES), F32), align=FLOAT_BYTES)
        first = b.insert_element(undefined, one, ir.Constant(I32, 0))
        to_all = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
        everywhere = b.shuffle_vector(first, undefined, to_all)
        totals.append([b.call(fma, [everywhere, weights[c], sums[r][c]]) for c in range(VECTORS)])
        for c in range(VECTORS):
            sums[r][c].add_incoming(zeros, entry)
            sums[r][c].add_incoming(totals[r][c], loop)
    for phi, start, then in (
        (left, depth, plus(b, left, -1)),
        (x_k, x, plus(b, x_k, rows * FLOAT_BYTES)),
        (panel_k, panel, plus(b, panel_k, VECTORS * vector_bytes)),
        (ahead_k, ahead, b.add(ahead_k, ahead_step)),
    ):
        phi.add_incoming(start, entry)
        phi.add_incoming(then, loop)
    is_last = b.icmp_unsigned("==", left, ir.Constant(I64, 1))
    b.cbranch(is_last, summed, loop)

    b = ir.IRBuilder(summed)
    b.cbranch(b.icmp_unsigned("==", addend, ir.Constant(I64, 0)), stored, added)
    for block in (stored, added):
        b = ir.IRBuilder(block)
        to, more = out, addend
        for row in totals:
            for c, total in enumerate(row):
                if block is added:
                    place = at(b, plus(b, more, c * vector_bytes), vector)
                    total = b.fadd(total, b.load(place, align=FLOAT_BYTES))
                b.store(total, at(b, plus(b, to, c * vector_bytes), vector), align=FLOAT_BYTES)
            to, more = b.add(to, ld_out), b.add(more, ld_addend)
        b.ret_void()
    return fn


def _type_tile(
    typing: Any,
    lanes: Any,
    rows: Any,
    x: Any,
    panel: Any,
    depth: Any,
    out: Any,
    ld_out: Any,
    addend: Any,
    ld_addend: Any,
    ahead: Any,
    ahead_step: Any,
) -> Any:
    """rows 1..MAX_ROWS of out = x [depth, rows] by one panel [depth, VECTORS * lanes] + addend.

    All int64: addresses, and distances of rows in bytes.  addend 0: none.  ahead: what is fetched
    for later, moving on by ahead_step bytes with each row of the panel.
    """

    def generate(context: Any, b: ir.IRBuilder, signature: Any, given: Any) -> Any:
        chosen(_defined, MAX_ROWS, b, given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 11), generate


_tile: Any = intrinsic(_type_tile)


def _transposed(module: ir.Module, lanes: int, rows: int) -> ir.Function:
    """[rows, depth] to [depth, rows], lanes numbers of depth at a time; arguments as `_transpose`.

    A number of the depth is written as a whole vector, whose excess the next one overwrites.
    """
    name = f"transposed_{lanes}_{rows}"
    if name in module.globals:
        return module.globals[name]
    vector = ir.VectorType(F32, lanes)
    fn = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 4), name)
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    x, ld_x, num_turns, to = fn.args
    entry, loop, done = (fn.append_basic_block(n) for n in ("entry", "loop", "done"))
    ir.IRBuilder(entry).branch(loop)
    b = ir.IRBuilder(loop)
    left, x_k, to_k = (b.phi(I64) for _ in range(3))
    grid, place = [], x_k
    for _ in range(rows):
        grid.append(b.load(at(b, place, vector), align=FLOAT_BYTES))
        place = b.add(place, ld_x)
    grid += [ir.Constant(vector, ir.Undefined)] * (lanes - rows)
    apart = 1
    while apart < lanes:  # swap what lies off the diagonal of every 2 x 2 square of blocks
        for i in (i for i in range(lanes) if not i & apart):
            one, two = grid[i], grid[i + apart]
            for j, picked in (
                (i, [n if not n & apart else lanes + n - apart for n in range(lanes)]),
                (i + apart, [n + apart if not n & apart else lanes + n for n in range(lanes)]),
            ):
                mask = ir.Constant(ir.VectorType(I32, lanes), picked)
                grid[j] = b.shuffle_vector(one, two, mask)
        apart *= 2
    for k, column in enumerate(grid):
        place = plus(b, to_k, k * rows * FLOAT_BYTES)
        b.store(column, at(b, place, vector), align=FLOAT_BYTES)
    for phi, start, then in (
        (left, num_turns, plus(b, left, -1)),
        (x_k, x, plus(b, x_k, lanes * FLOAT_BYTES)),
        (to_k, to, plus(b, to_k, lanes * rows * FLOAT_BYTES)),
    ):
        phi.add_incoming(start, entry)
        phi.add_incoming(then, loop)
    b.cbranch(b.icmp_unsigned("==", left, ir.Constant(I64, 1)), done, loop)
    ir.IRBuilder(done).ret_void()
    return fn


def _type_transpose(
    typing: Any, lanes: Any, rows: Any, x: Any, ld_x: Any, num_turns: Any, to: Any
) -> Any:
    """to [num_turns * lanes, rows] = x [rows, the same]; up to lanes - 1 numbers more are written.

    All int64; num_turns >= 1, rows 1..MAX_ROWS.
    """

    def generate(context: Any, b: ir.IRBuilder, signature: Any, given: Any) -> Any:
        chosen(_transposed, MAX_ROWS, b, given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


_transpose: Any = intrinsic(_type_transpose)


def _type_copy(typing: Any, to: Any, source: Any) -> Any:
    """Copy the float32 at address source to address to."""

    def generate(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        b.store(b.load(at(b, args[1], F32)), at(b, args[0], F32))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


_copy_float: Any = intrinsic(_type_copy)


@compiled(numba.void(*[_INT] * 13))
def multiply(
    lanes,
    max_rows,
    num_rows,
    depth,
    num_out,
    x,
    ld_x,
    panels,
    out,
    ld_out,
    addend,
    ld_addend,
    scratch,
):
    """out [num_rows, num_out] = x [num_rows, depth] by the panels, + addend where it is not 0.

    x, panels, out, addend, scratch are addresses of float32 numbers, ld_* bytes from a row to the
    next (ld_addend 0: the same for all rows). panels: a multiple of a vector's bytes; each holds
    VECTORS * lanes columns, the last one the last so many, so num_out must be no less. scratch:
    num_rows * depth + lanes numbers. depth >= 1.
    """
    width = VECTORS * lanes
    num_panels = -(-num_out // width)
    panel_bytes = width * depth * FLOAT_BYTES
    # As few blocks as may be, of about as many rows each.
    most = max(max_rows, BLOCK_BYTES // (depth * FLOAT_BYTES))
    num_blocks = -(-num_rows // most)
    for block in range(num_blocks):
        start = block * num_rows // num_blocks
        in_block = (block + 1) * num_rows // num_blocks - start
        num_tiles = -(-in_block // max_rows)
        for t in range(num_tiles):
            first, last = t * in_block // num_tiles, (t + 1) * in_block // num_tiles
            to = scratch + first * depth * FLOAT_BYTES
            source, rows = x + (start + first) * ld_x, last - first
            num_turns = depth // lanes
            if num_turns:
                _transpose(lanes, rows, source, ld_x, num_turns, to)
            for k in range(num_turns * lanes, depth):
                for r in range(rows):
                    place = to + (k * rows + r) * FLOAT_BYTES
                    _copy_float(place, source + r * ld_x + k * FLOAT_BYTES)
        for p in range(num_panels):
            column = min(p * width, num_out - width) * FLOAT_BYTES
            panel = panels + p * panel_bytes
            share = panel_bytes // num_tiles  # of the next panel, fetched by each tile
            for t in range(num_tiles):
                first, last = t * in_block // num_tiles, (t + 1) * in_block // num_tiles
                row = start + first
                added = addend + row * ld_addend + column if addend else 0
                _tile(
                    lanes,
                    last - first,
                    scratch + first * depth * FLOAT_BYTES,
                    panel,
                    depth,
                    out + row * ld_out + column,
                    ld_out,
                    added,
                    ld_addend,
                    panel + panel_bytes + t * share,
                    share // depth,
                )

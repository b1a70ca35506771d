"""Names for what we write of LLVM's instructions: types, addresses, functions it knows.

A change here is not seen by what numba has on the disk: touch the files that import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llvmlite import ir

I64, I32, BYTE, F32 = ir.IntType(64), ir.IntType(32), ir.IntType(8), ir.FloatType()


def at(b: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The pointer to a kind at an int64 address."""
    return b.inttoptr(address, kind.as_pointer())


def plus(b: ir.IRBuilder, address: ir.Value, num_bytes: int) -> ir.Value:
    """The address so many bytes on."""
    return b.add(address, ir.Constant(I64, num_bytes)) if num_bytes else address


def declared(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    """A function of LLVM's by name."""
    return module.globals.get(name) or ir.Function(module, kind, name)


def fetch(b: ir.IRBuilder, address: ir.Value) -> None:
    """Have the line of an address brought to the second-level cache; any address will do."""
    pointer = BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32])
    prefetch = b.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    hints = [ir.Constant(I32, n) for n in (0, 2, 1)]  # to read, second level, data
    b.call(prefetch, [at(b, address, BYTE), *hints])


def chosen(
    define: Callable[[ir.Module, int, int], ir.Function],
    most: Mapping[int, int],
    b: ir.IRBuilder,
    given: Sequence[ir.Value],
) -> None:
    """Call what define makes for the lanes and the size that come first in given, with the rest.

    most: lanes -> the largest size; each is made from 1 on. Other lanes and sizes do nothing.
    """
    lanes, size, *rest = given
    kind = b.add(b.mul(lanes, ir.Constant(I64, 100)), size)
    end = b.append_basic_block("chosen")
    switch = b.switch(kind, end)
    for n, largest in most.items():
        for k in range(1, largest + 1):
            block = b.append_basic_block(f"of_{n}_{k}")
            switch.add_case(ir.Constant(I64, 100 * n + k), block)
            case = ir.IRBuilder(block)
            case.call(define(b.module, n, k), rest)
            case.branch(end)
    b.position_at_end(end)

"""SiLU of one half times the other, in one pass and one rounding."""

from __future__ import annotations

import torch

from ._interpreter import sum_type

import triton  # isort: skip  # after the interpreter is chosen
import triton.language as tl  # isort: skip

_BLOCK = 1024


@triton.jit
def _silu_mul(gate_up, out, F: tl.constexpr, BLOCK: tl.constexpr, SUM: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    dims = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = dims < F
    gate = tl.load(gate_up + row * 2 * F + dims, mask=mask, other=0.0).to(SUM)
    up = tl.load(gate_up + row * 2 * F + F + dims, mask=mask, other=0.0).to(SUM)
    result = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * F + dims, result.to(out.dtype.element_ty), mask=mask)


def silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up, [T, F], of [T, 2 * F] with the gates first."""
    num_rows, ffn = gate_up.shape[0], gate_up.shape[1] // 2
    assert gate_up.is_contiguous()
    out = gate_up.new_empty(num_rows, ffn)
    block = min(_BLOCK, triton.next_power_of_2(ffn))
    grid = (num_rows, triton.cdiv(ffn, block))
    _silu_mul[grid](gate_up, out, ffn, block, sum_type(gate_up.dtype), num_warps=4)
    return out

"""A product with weights of 8 bits: read as float8, multiplied as bfloat16, scaled at the end.

For the few rows of a decode step, where weights are all that is read and half the bytes are half
the time. Activations are not quantised.
"""

from __future__ import annotations

import torch

from ._interpreter import sum_type

import triton  # isort: skip  # after the interpreter is chosen
import triton.language as tl  # isort: skip

MAX_ROWS = 256  # beyond it arithmetic bounds the product, and unpacking first is no slower


@triton.jit(do_not_specialize=("num_rows",))
def _fp8_linear(
    x, weight, scales, out, num_rows, num_out,
    K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    is_n, is_m = n < num_out, m < num_rows
    total = tl.zeros([BLOCK_M, BLOCK_N], SUM)
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        is_k = k < K
        rows = tl.load(
            x + m.to(tl.int64)[:, None] * K + k[None, :],
            mask=is_m[:, None] & is_k[None, :],
            other=0.0,
        )
        columns = tl.load(
            weight + n.to(tl.int64)[:, None] * K + k[None, :],
            mask=is_n[:, None] & is_k[None, :],
            other=0.0,
        )
        total += tl.dot(rows, tl.trans(columns.to(rows.dtype)), input_precision="tf32x3")
    scale = tl.load(scales + n, mask=is_n, other=0.0).to(SUM)
    place = out + m.to(tl.int64)[:, None] * num_out + n[None, :]
    result = (total * scale[None, :]).to(out.dtype.element_ty)
    tl.store(place, result, mask=is_m[:, None] & is_n[None, :])


def fp8_linear(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """[M, N] = x [M, K] times (weight [N, K] float8_e4m3fn * scales [N, 1] float32) transposed."""
    num_rows, k = x.shape
    num_out = len(weight)
    assert all(t.is_contiguous() for t in (x, weight, scales))
    out = x.new_empty(num_rows, num_out)
    block_m = min(64, max(16, int(triton.next_power_of_2(num_rows))))
    block_n = 32 if num_out <= 8192 else 64  # enough programs for every multiprocessor
    grid = (triton.cdiv(num_out, block_n), triton.cdiv(num_rows, block_m))
    _fp8_linear[grid](
        x, weight, scales, out, num_rows, num_out, k, block_m, block_n, 128, sum_type(x.dtype),
        num_warps=4, num_stages=4,
    )  # fmt: skip
    return out

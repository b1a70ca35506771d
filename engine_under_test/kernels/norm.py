"""RMS norm with the residual addition before it: one pass over x instead of three.

The sum is rounded to the stream's type before it is squared, as it is where the two are apart.
"""

from __future__ import annotations

import torch

from ._interpreter import sum_type

import triton  # isort: skip  # after the interpreter is chosen
import triton.language as tl  # isort: skip


@triton.jit
def _add_rms_norm(
    x, delta, weight, out, EPS: tl.constexpr, D: tl.constexpr, D_PAD: tl.constexpr,
    HAS_DELTA: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    dims = tl.arange(0, D_PAD)
    mask = dims < D
    total = tl.load(x + row * D + dims, mask=mask, other=0.0)
    if HAS_DELTA:
        added = tl.load(delta + row * D + dims, mask=mask, other=0.0)
        total = (total.to(SUM) + added.to(SUM)).to(x.dtype.element_ty)
        tl.store(x + row * D + dims, total, mask=mask)
    wide = total.to(SUM)
    scale = 1.0 / tl.sqrt(tl.sum(wide * wide, axis=0) / D + EPS)
    w = tl.load(weight + dims, mask=mask, other=0.0).to(SUM)
    tl.store(out + row * D + dims, (wide * scale * w).to(out.dtype.element_ty), mask=mask)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension. x [T, D], weight [D]."""
    return _launch(x, None, weight, eps)


def add_rms_norm(
    x: torch.Tensor, delta: torch.Tensor, weight: torch.Tensor, eps: float
) -> torch.Tensor:
    """x += delta in place, both [T, D]; returns rms_norm(x, weight [D])."""
    return _launch(x, delta, weight, eps)


def _launch(
    x: torch.Tensor, delta: torch.Tensor | None, weight: torch.Tensor, eps: float
) -> torch.Tensor:
    num_rows, d = x.shape
    assert x.is_contiguous()
    assert delta is None or delta.is_contiguous()
    out = torch.empty_like(x)
    d_pad = triton.next_power_of_2(d)
    _add_rms_norm[(num_rows,)](
        x, x if delta is None else delta, weight, out, eps, d, d_pad, delta is not None,
        sum_type(x.dtype), num_warps=8 if d_pad >= 2048 else 4,
    )  # fmt: skip
    return out

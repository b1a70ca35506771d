"""The operations of a decoder layer between its matrix products, as this device runs them best.

On a CPU the residual addition rides on the matrix product and torch does the rest; on a GPU the
addition rides on the next norm, and rotation on the write to the cache. The forward pass is the
same sentence for both: a sum is `pending` from `onto` to `add_norm`.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F

from engine_under_test.attention import AttentionBackend

from .matrix import AnyMatrix
from .rope import rotate_


class LayerOps(Protocol):
    """Norm weights are [2, D], the second row for rms_norm alone."""

    def rotations(self, table: torch.Tensor, positions: torch.Tensor) -> Any:
        """What attend needs of the rotation table [P, D / 2] for a step's positions [T]."""

    def norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """RMS norm of x [T, D]."""

    def onto(
        self, x: torch.Tensor, matrix: AnyMatrix, bias: torch.Tensor | None, y: torch.Tensor
    ) -> torch.Tensor:
        """y through the matrix, to be added to x: a tensor that adapters may add to."""

    def add_norm(
        self, x: torch.Tensor, pending: torch.Tensor, weight: torch.Tensor, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x with what is pending, and its norm. x may change in place."""

    def add(self, x: torch.Tensor, pending: torch.Tensor) -> torch.Tensor:
        """The same without the norm."""

    def silu_mul(self, gate_up: torch.Tensor) -> torch.Tensor:
        """silu(gate) * up of [T, 2 * F]."""

    def attend(
        self,
        attention: AttentionBackend[Any],
        heads: torch.Tensor,
        num_heads: int,
        layer: int,
        meta: Any,
        rotations: Any,
        norms: tuple[torch.Tensor, torch.Tensor] | None,
        eps: float,
    ) -> torch.Tensor:
        """Norm and rotate q and k of heads [T, q | k | v, D] in place, write, attend."""


class TorchOps:
    """Few operations, all of torch: what is best on a CPU. See LayerOps."""

    def rotations(self, table: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return table.index_select(0, positions).unsqueeze(1)

    def norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        return rms_norm(x, weight, eps)

    def onto(
        self, x: torch.Tensor, matrix: AnyMatrix, bias: torch.Tensor | None, y: torch.Tensor
    ) -> torch.Tensor:
        return matrix.add_product(x if bias is None else x + bias, y)

    def add_norm(
        self, x: torch.Tensor, pending: torch.Tensor, weight: torch.Tensor, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return pending, rms_norm(pending, weight, eps)  # it holds x already

    def add(self, x: torch.Tensor, pending: torch.Tensor) -> torch.Tensor:
        return pending

    def silu_mul(self, gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    def attend(
        self,
        attention: AttentionBackend[Any],
        heads: torch.Tensor,
        num_heads: int,
        layer: int,
        meta: Any,
        rotations: torch.Tensor,
        norms: tuple[torch.Tensor, torch.Tensor] | None,
        eps: float,
    ) -> torch.Tensor:
        num_rotated = (heads.shape[1] + num_heads) // 2
        if norms is not None:
            q, k = heads[:, :num_heads], heads[:, num_heads:num_rotated]
            q.copy_(F.rms_norm(q, q.shape[-1:], norms[0], eps))
            k.copy_(F.rms_norm(k, k.shape[-1:], norms[1], eps))
        rotate_(heads[:, :num_rotated], rotations)
        return attention.forward(heads[:, :num_heads], heads[:, num_heads:], layer, meta)


class CompiledOps(TorchOps):
    """The same in float32 with loops compiled for this processor. See LayerOps."""

    def __init__(self) -> None:
        from engine_under_test.compiled import rows

        self._rows = rows

    def norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        self._rows.rms_norm(x.contiguous().numpy(), weight[0].numpy(), eps, out.numpy())
        return out

    def add_norm(
        self, x: torch.Tensor, pending: torch.Tensor, weight: torch.Tensor, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return pending, self.norm(pending, weight, eps)

    def silu_mul(self, gate_up: torch.Tensor) -> torch.Tensor:
        out = gate_up.new_empty(len(gate_up), gate_up.shape[1] // 2)
        self._rows.silu_mul(gate_up.contiguous().numpy(), out.numpy())
        return out


MANY_ROWS = 48
_SIGNS = {
    dtype: torch.tensor([[1.0], [-1.0]], dtype=dtype)
    for dtype in (torch.float32, torch.bfloat16, torch.float64)
}


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension of x [T, D]; weight [2, D].

    On CPU F.rms_norm is six operations and layer_norm is one. The mean of (x, -x) is zero and its
    variance is mean(x^2), so the first half of its layer norm is the RMS norm of x. Twice the work
    in a third of the calls: where rows are many, the formula itself takes 0.4 of the time.
    """
    if len(x) >= MANY_ROWS and x.dtype != torch.bfloat16:  # whose sums would be rounded
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        normed: torch.Tensor = (x * scale).mul_(weight[0])
        return normed
    mirrored = x.unsqueeze(1) * _SIGNS[x.dtype]  # [T, 2, D]
    return torch.layer_norm(mirrored, weight.shape, weight, None, eps)[:, 0]

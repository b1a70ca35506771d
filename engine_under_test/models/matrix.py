"""A weight matrix, laid out as the processor's matrix product reads it fastest.

float32 products read columns that lie together; bfloat16 products read blocks that oneDNN arranges
once, at load: without that every product rearranges the whole matrix again, which on one x86 core
costs more than the product itself until eight rows share it (0.6 of the time after packing).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from engine_under_test.device import CPU

# oneDNN arranges for a number of rows; any number may be multiplied, and 1..256 measured alike.
_TYPICAL_ROWS = 16


class Matrix:
    """[out, in]; weight is what the loader fills, as checkpoints have it."""

    __slots__ = ("weight",)

    def __init__(
        self, num_out: int, num_in: int, dtype: torch.dtype, device: torch.device = CPU
    ) -> None:
        # With four rows or more, float32 takes 0.62-0.9 of the time where a column lies together.
        if dtype == torch.bfloat16 or device.type != "cpu":
            self.weight = torch.empty(num_out, num_in, dtype=dtype, device=device)
        else:
            self.weight = torch.empty(num_in, num_out, dtype=dtype).t()

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """[T, out] of x [T, in]."""
        return F.linear(x, self.weight, bias)

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """total [T, out] + the product, as a new tensor."""
        return torch.addmm(total, x, self.weight.t())

    def packed(self) -> Matrix | PackedMatrix:
        """The same matrix for running only: the weights cannot be read back. self may be dropped.

        Itself where packing gains nothing or the processor multiplies no bfloat16.
        """
        weight = self.weight
        if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or not can_pack():
            return self
        return PackedMatrix(self.weight)


class PackedMatrix:
    """A bfloat16 matrix in oneDNN's own arrangement."""

    __slots__ = ("_packed",)

    def __init__(self, weight: torch.Tensor) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, _TYPICAL_ROWS)

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """See Matrix."""
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._packed, bias, "none", [], ""
        )
        return result

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See Matrix. The sum is rounded once more than addmm's would be."""
        return self.product(x).add_(total)


AnyMatrix = Matrix | PackedMatrix


def can_pack() -> bool:
    """Whether this build of torch has oneDNN, and this processor bfloat16 instructions for it."""
    return bool(torch._C._has_mkldnn) and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

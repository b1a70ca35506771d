"""A weight matrix, laid out as the processor's matrix product reads it fastest.

Small float32 products read columns that lie together; bfloat16 products read blocks that oneDNN
arranges once, at load: without that every product rearranges the whole matrix again, which on one
x86 core costs more than the product itself until eight rows share it (0.6 of the time after
packing). float32 weights on one thread lie in panels, for a product of our own (panels.py). Where
it cannot be compiled, weights that come from memory at every step are kept in both arrangements:
oneDNN reads its blocks in the order in which they lie, which counts while few rows share the way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from engine_under_test.device import CPU

from .fp8 import Fp8Matrix
from .panels import PanelMatrix, Store, min_out

# oneDNN arranges for a number of rows; any number may be multiplied, and 1..256 measured alike.
_TYPICAL_ROWS = 16
# Rows from which on the product itself, not the way from memory, takes a streamed matrix' time: MKL
# is the faster one there, and for a single row (SmolLM2-135M on one x86 core; see docs/results).
_MOST_STREAMED_ROWS = 24


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

    def packed(
        self, is_streamed: bool = False, store: Store | None = None
    ) -> Matrix | PackedMatrix | PanelMatrix:
        """The same matrix for running only: the weights cannot be changed. self may be dropped.

        is_streamed: it comes from memory at every step.  store: of float32 panels, where they are
        wanted. Itself where packing gains nothing or the processor multiplies no bfloat16.
        """
        weight = self.weight
        if weight.device.type != "cpu":
            return self
        if weight.dtype == torch.float32 and store is not None and len(weight) >= min_out():
            return PanelMatrix(weight, store)
        if weight.dtype == torch.float32 and is_streamed and torch._C._has_mkldnn:
            return StreamedMatrix(weight)
        if weight.dtype != torch.bfloat16 or not can_pack():
            return self
        return PackedMatrix(self.weight)


class StreamedMatrix(Matrix):
    """A float32 matrix in MKL's arrangement and, for few rows, in oneDNN's: twice the memory."""

    __slots__ = ("_is_by_columns", "_packed")

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight
        self._packed = _reordered(weight.contiguous())
        # Rows that lie together are what MKL reads slowly: an embedding that is the head as well.
        self._is_by_columns = weight.stride(0) == 1

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """See Matrix."""
        if self._is_for_packed(len(x)):
            return _packed_product(x, self._packed, bias)
        return F.linear(x, self.weight, bias)

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See Matrix. Where rows are few the sum is rounded once more than addmm's would be."""
        if self._is_for_packed(len(x)):
            return _packed_product(x, self._packed, None).add_(total)
        return torch.addmm(total, x, self.weight.t())

    def _is_for_packed(self, num_rows: int) -> bool:
        return num_rows > 1 and (num_rows <= _MOST_STREAMED_ROWS or not self._is_by_columns)


class PackedMatrix:
    """A bfloat16 matrix in oneDNN's own arrangement."""

    __slots__ = ("_packed",)

    def __init__(self, weight: torch.Tensor) -> None:
        self._packed = _reordered(weight)

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """See Matrix."""
        return _packed_product(x, self._packed, bias)

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See Matrix. The sum is rounded once more than addmm's would be."""
        return self.product(x).add_(total)


AnyMatrix = Matrix | PackedMatrix | PanelMatrix | Fp8Matrix


def _reordered(weight: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _TYPICAL_ROWS)
    return packed


def _packed_product(
    x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return result


def can_pack() -> bool:
    """Whether this build of torch has oneDNN, and this processor bfloat16 instructions for it."""
    return bool(torch._C._has_mkldnn) and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

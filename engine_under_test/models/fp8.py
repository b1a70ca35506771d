"""Weights of 8 bits: float8_e4m3fn with one float32 scale an output channel.

A channel's largest weight becomes 448, the format's largest number. On a GPU a decode step reads
half the bytes; on a CPU, which multiplies no float8, weights are rounded so and unpacked at once,
which shows what the rounding costs in accuracy and nothing of its speed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

LARGEST = 448.0


class Fp8Weight(NamedTuple):
    """values [out, in] float8_e4m3fn, scales [out, 1] float32."""

    values: torch.Tensor
    scales: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor) -> Fp8Weight:
        """Round weight [out, in]; its relative error is at most 2^-4 for all but tiny weights."""
        wide = weight.float()
        scales = wide.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12) / LARGEST
        return cls((wide / scales).to(torch.float8_e4m3fn), scales)

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        """[out, in] again."""
        return (self.values.float() * self.scales).to(dtype)


class Fp8Matrix:
    """See Matrix; on a GPU."""

    __slots__ = ("_weight",)

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = Fp8Weight.of(weight)

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """See Matrix."""
        from engine_under_test.kernels.fp8 import MAX_ROWS, fp8_linear

        if len(x) > MAX_ROWS:
            return F.linear(x, self._weight.unpacked(x.dtype), bias)
        y = fp8_linear(x, *self._weight)
        return y if bias is None else y.add_(bias)

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See Matrix."""
        return self.product(x).add_(total)

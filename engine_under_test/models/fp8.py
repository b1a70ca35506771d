"""Weights of 8 bits: float8_e4m3fn with one float32 scale an output channel.

A channel's largest weight becomes 448, the format's largest number. With the Triton kernels (on a
GPU) weights are stored so, rounded as they arrive, and a decode step reads half the bytes; without
them, on a CPU, which multiplies no float8, they are rounded so and unpacked at once, which shows
what the rounding costs in accuracy and nothing of its speed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

LARGEST = 448.0
EightBits = Literal["stored", "rounded"]  # in float8, or what float8 would keep in a wider type


class Fp8Weight(NamedTuple):
    """values [..., out, in] float8_e4m3fn, scales [..., out, 1] float32."""

    values: torch.Tensor
    scales: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor) -> Fp8Weight:
        """Round weight [..., out, in]; its error is at most 2^-4 of all but tiny weights."""
        wide = weight.float()
        scales = wide.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-12) / LARGEST
        return cls((wide / scales).to(torch.float8_e4m3fn), scales)

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights again."""
        return (self.values.float() * self.scales).to(dtype)


class Fp8Matrix:
    """See Matrix; multiplied by a Triton kernel. weight: what the loader fills."""

    __slots__ = ("weight",)

    def __init__(self, num_out: int, num_in: int, device: torch.device) -> None:
        self.weight = Fp8Weight(
            torch.empty(num_out, num_in, dtype=torch.float8_e4m3fn, device=device),
            torch.empty(num_out, 1, device=device),
        )

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """See Matrix."""
        from engine_under_test.kernels.fp8 import MAX_ROWS, fp8_linear

        values, scales = self.weight
        if len(x) > MAX_ROWS:  # every float8 is a bfloat16: what is scaled is the product
            y = F.linear(x, values.to(x.dtype)).mul_(scales.view(-1).to(x.dtype))
        else:
            y = fp8_linear(x, values, scales)
        return y if bias is None else y.add_(bias)

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See Matrix."""
        return self.product(x).add_(total)

"""Where one tensor of a checkpoint goes, and how it gets there: copied, or rounded to 8 bits.

Rounding happens as a tensor arrives, a block of rows at a time, so that a model never exists in a
wider type than the one it runs in: 70 billion weights of two bytes would leave no GPU room.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .fp8 import Fp8Weight

BLOCK_BYTES = 64 * 2**20  # of rows that are rounded at once, in float32


@dataclass(frozen=True, slots=True)
class WeightSlot:
    """view: of our tensor, in the layout of the checkpoint's, whose shape is `shape`.

    scales: beside a view of float8, one a row.  is_rounded: the view holds, in a wider type, what
    float8 would keep.
    """

    view: torch.Tensor
    shape: tuple[int, ...]
    is_norm: bool = False
    scales: torch.Tensor | None = None
    is_rounded: bool = False

    def put(self, values: torch.Tensor) -> None:
        """Copy values [*shape], of any floating type and device, here."""
        values = values.view(self.view.shape)
        if self.scales is None and not self.is_rounded:
            self.view.copy_(values)
            return
        step = max(1, BLOCK_BYTES // (4 * values[0].numel()))
        for start in range(0, len(values), step):
            rows = slice(start, start + step)
            rounded = Fp8Weight.of(values[rows].to(self.view.device))
            if self.scales is None:
                self.view[rows].copy_(rounded.unpacked(self.view.dtype))
            else:
                self.view[rows].copy_(rounded.values)
                self.scales[rows].copy_(rounded.scales)

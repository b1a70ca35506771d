"""A float32 matrix on one CPU thread as our own product reads it: see compiled/product.py.

It takes 0.55 to 0.6 of MKL's time at 8 to 32 rows and no more at one row and at hundreds, and a
row's result does not depend on the rows beside it. The panels of a model lie behind one another in
the order of use, so that the end of one matrix fetches the beginning of the next.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from engine_under_test.compiled import lanes

FLOAT_BYTES = 4
MOST_LANES = 16
LINE_FLOATS = 16  # panels begin where a cache line does


def min_out() -> int:
    """Columns that a matrix must have: the width of a panel."""
    return 2 * lanes()


class Store:
    """Room for the panels of one model's matrices, one behind another."""

    def __init__(self, shapes: Sequence[Sequence[int]]) -> None:
        """shapes: [out, in] of each matrix. What is never taken takes no memory."""
        num_floats = sum((out + 2 * MOST_LANES) * num_in for out, num_in in shapes)
        num_bytes = FLOAT_BYTES * (num_floats + LINE_FLOATS * len(shapes))
        kind = (
            {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        )
        memory = mmap.mmap(-1, num_bytes, **kind)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # 5 % of a product's time is finding pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        self._floats = torch.from_numpy(np.frombuffer(memory, dtype=np.float32))
        self._end = 0

    def take(self, num_floats: int) -> torch.Tensor:
        """The next so many."""
        start, self._end = self._end, self._end + num_floats
        self._end += -self._end % LINE_FLOATS
        return self._floats[start : start + num_floats]


class PanelMatrix:
    """[out, in] in panels [ceil(out / width), in, width]; the last panel is the last columns."""

    __slots__ = ("_max_rows", "_multiply", "_num_in", "_num_out", "_panels")

    def __init__(self, weight: torch.Tensor, store: Store, num_lanes: int | None = None) -> None:
        """weight [out, in], out >= min_out(); it is copied.  num_lanes: those of lanes()."""
        from engine_under_test.compiled import product

        num_lanes = num_lanes or lanes()
        width = product.VECTORS * num_lanes
        self._multiply = partial(product.multiply, num_lanes, product.MAX_ROWS[num_lanes])
        self._num_out, self._num_in = weight.shape
        num_panels = -(-self._num_out // width)
        self._panels = store.take(num_panels * width * self._num_in)
        self._panels = self._panels.view(num_panels, self._num_in, width)
        for p, panel in enumerate(self._panels):
            start = min(p * width, self._num_out - width)
            panel.copy_(weight[start : start + width].t())

    @property
    def weight(self) -> torch.Tensor:
        """[out, in], unpacked: a copy."""
        num_last = self._num_out - (len(self._panels) - 1) * self._panels.shape[2]
        rows = self._panels.transpose(1, 2)
        return torch.cat([rows[:-1].flatten(0, 1), rows[-1][-num_last:]])

    def product(self, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """See Matrix."""
        return self._product(x, bias, 0)

    def add_product(self, total: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """See Matrix. The sum is rounded once more than a fused one would be."""
        if total.stride(1) != 1:
            total = total.contiguous()
        return self._product(x, total, total.stride(0))

    def _product(self, x: torch.Tensor, addend: torch.Tensor | None, ld: int) -> torch.Tensor:
        if x.stride(1) != 1:
            x = x.contiguous()
        num_rows = len(x)
        out = x.new_empty(num_rows, self._num_out)
        scratch = x.new_empty(num_rows * self._num_in + MOST_LANES)
        self._multiply(
            num_rows,
            self._num_in,
            self._num_out,
            x.data_ptr(),
            x.stride(0) * FLOAT_BYTES,
            self._panels.data_ptr(),
            out.data_ptr(),
            self._num_out * FLOAT_BYTES,
            0 if addend is None else addend.data_ptr(),
            ld * FLOAT_BYTES,
            scratch.data_ptr(),
        )
        return out

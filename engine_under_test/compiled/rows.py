"""What a decoder layer does to single rows between its products: float32, one pass, one thread."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from .attention import FAST, exp
from .host import compiled

_f = np.float32
_ROWS = numba.float32[:, ::1]


@compiled(numba.void(_ROWS, _ROWS), fastmath=FAST)
def silu_mul(gate_up: Any, out: Any) -> None:
    """out [T, F] = silu(gate) * up of gate_up [T, 2 * F]."""
    num = out.shape[1]
    for i in range(len(out)):
        gate, up, to = gate_up[i, :num], gate_up[i, num:], out[i]
        for j in range(num):
            # Beyond 87 the result is 0 or all of gate within float32's least normal number.
            to[j] = gate[j] / (_f(1) + exp(min(max(-gate[j], _f(-87)), _f(87)))) * up[j]


@compiled(numba.void(_ROWS, numba.float32[::1], numba.float32, _ROWS), fastmath=FAST)
def rms_norm(x: Any, weight: Any, eps: Any, out: Any) -> None:
    """out = x / sqrt(mean(x^2) + eps) * weight, over rows of x [T, D]; weight [D]."""
    for i in range(len(out)):
        row, to = x[i], out[i]
        total = _f(0)
        for j in range(len(row)):
            total += row[j] * row[j]
        scale = _f(1) / np.sqrt(total / _f(len(row)) + eps)
        for j in range(len(row)):
            to[j] = row[j] * scale * weight[j]

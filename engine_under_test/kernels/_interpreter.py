"""Where there is no GPU, kernels are interpreted: decided before Triton is imported.

Triton reads TRITON_INTERPRET when a kernel is decorated, its own library's at its import; every
kernel module imports this first.
"""

from __future__ import annotations

import os
import sys

import torch

if not torch.cuda.is_available() and "triton" not in sys.modules:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # "0": to compile for a GPU that is elsewhere

import triton.language as tl


def is_interpreted() -> bool:
    """Whether kernels run on the CPU, one operation at a time."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def sum_type(dtype: torch.dtype) -> tl.dtype:
    """The type that sums over tensors of this dtype are kept in."""
    return tl.float64 if dtype == torch.float64 else tl.float32

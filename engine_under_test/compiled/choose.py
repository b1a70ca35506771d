"""For which models loops are compiled: numba starts in a second, which small ones never earn."""

from __future__ import annotations

import torch

from engine_under_test.config import ModelConfig

from .host import lanes

CACHED_BYTES = 64 * 2**20  # weights up to this stay in the last-level cache between steps


def suits(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the compiled loops are to run this model.

    float32 on a CPU they are written for, weights that come from memory at every step, and torch
    told to use one thread, as they do. Compiles them, or reads them from the disk, when first so.
    """
    if dtype != torch.float32 or device.type != "cpu" or torch.get_num_threads() != 1:
        return False
    if config.costs("float32").streamed_bytes <= CACHED_BYTES or not lanes():
        return False
    try:
        from . import attention, product, rows  # noqa: F401
    except Exception:  # a compiler fails in many ways, and torch computes as well
        return False
    return True

"""For which models loops are compiled: attention for all, products and rows for those that stream.

numba starts in 0.7 s. Attention earns them back in any server, for torch gathers the cache and pads
sequences of unequal length; products of weights that stay in the cache are torch's as quickly.
"""

from __future__ import annotations

import torch

from engine_under_test.model_config import ModelConfig

from .host import lanes

CACHED_BYTES = 64 * 2**20  # weights up to this stay in the last-level cache between steps


def suits_attention(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether attention is to run on the compiled loops.

    float32 on a CPU they are written for, and torch told to use one thread, as they do. Compiles
    them, or reads them from the disk, when first so.
    """
    if dtype != torch.float32 or device.type != "cpu" or torch.get_num_threads() != 1:
        return False
    if not lanes():
        return False
    try:
        from . import attention  # noqa: F401
    except Exception:  # a compiler fails in many ways, and torch computes as well
        return False
    return True


def suits(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether all of this model is to: its weights come from memory at every step."""
    if config.costs("float32").streamed_bytes <= CACHED_BYTES:
        return False
    if not suits_attention(dtype, device):
        return False
    try:
        from . import product, rows  # noqa: F401
    except Exception:
        return False
    return True

"""Which backend runs where: SDPA or compiled loops on a CPU, Triton on a GPU, unless told else."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from engine_under_test.compiled import suits_attention
from engine_under_test.config import AttentionName
from engine_under_test.errors import ConfigError
from engine_under_test.model_config import ModelConfig

from .base import AttentionBackend
from .compiled import CompiledBackend
from .sdpa import SdpaBackend


def resolve_attention(requested: AttentionName, device: torch.device) -> AttentionName:
    """'sdpa' or 'triton'. Raises ConfigError for what this device or installation cannot run."""
    if requested == "auto":
        requested = "sdpa" if device.type == "cpu" else "triton"
    if requested == "sdpa" and device.type != "cpu":
        raise ConfigError(
            "attention 'sdpa' runs on a CPU only", do="use --attention triton on a GPU"
        )
    if requested == "triton" and importlib.util.find_spec("triton") is None:
        raise ConfigError(
            "attention 'triton' needs Triton",
            why="it is not installed",
            do="pip install triton, or use --device cpu --attention sdpa",
        )
    return requested


def make_backend(
    name: AttentionName,
    config: ModelConfig,
    num_blocks: int,
    block_size: int,
    dtype: torch.dtype,
    device: torch.device,
) -> AttentionBackend[Any]:
    """name: resolved."""
    if name == "sdpa":
        if suits_attention(dtype, device) and CompiledBackend.can_run(config):
            return CompiledBackend(config, num_blocks, block_size)
        return SdpaBackend(config, num_blocks, block_size, dtype)
    from .triton_paged import TritonBackend

    return TritonBackend(config, num_blocks, block_size, dtype, device)

"""Which device computes, and how what the host knows gets there without anybody waiting."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch

from .config import DEFAULT_KV_CACHE_BYTES, DeviceName
from .errors import ConfigError

CPU = torch.device("cpu")


def resolve_device(requested: DeviceName) -> torch.device:
    """'auto' is a GPU where torch sees one. Raises ConfigError where 'cuda' is not there."""
    has_gpu = torch.cuda.is_available()
    if requested == "cuda" and not has_gpu:
        raise ConfigError(
            "there is no GPU for device 'cuda'",
            why="this torch is built without CUDA"
            if torch.version.cuda is None
            else "torch sees no GPU",
            do="use --device cpu, or install a torch with CUDA",
        )
    return torch.device("cuda") if has_gpu and requested != "cpu" else CPU


def default_cache_bytes(device: torch.device) -> int:
    """Of keys and values, where no setting says: on a GPU all but a tenth that steps work in."""
    if device.type == "cpu":
        return DEFAULT_KV_CACHE_BYTES
    num_free, num_total = torch.cuda.mem_get_info(device)
    return max(num_free - num_total // 10, 2**20)


def to_device(values: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """A tensor of values there; on a GPU through pinned memory, without waiting for the copy."""
    tensor = torch.from_numpy(values)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)

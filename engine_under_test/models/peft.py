"""A LoRA adapter in PEFT's directory format: adapter_config.json and adapter_model.safetensors.

Whatever the engine would silently compute differently is refused by name: other methods, trained
biases, replaced modules, adapters of embeddings, ranks beyond the configured one.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch

from engine_under_test.errors import ModelError
from engine_under_test.model_config import ModelConfig

from .checkpoint import digest_files, read_json, read_tensors
from .lora import Factors, LoraAdapter, Part, targets

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "lora_bias": (False, None),
    "trainable_token_indices": (None,),
    "use_qalora": (False, None),
}
_NAME = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight")


def read_adapter(path: Path, name: str, config: ModelConfig, max_rank: int) -> LoraAdapter:
    """Read one adapter of a model of that shape. Raises ModelError, naming what is wrong."""
    if not path.is_dir():
        raise ModelError(f"adapter directory {path.name} does not exist", where=str(path.parent))
    settings = read_json(path / CONFIG)
    for key, values in NEUTRAL.items():
        if key in settings and settings[key] not in values:
            raise ModelError(
                f"{key} = {settings[key]!r} is not supported in an adapter",
                where=str(path / CONFIG),
                do="train or convert it as plain LoRA over linear layers",
            )
    files = [path / WEIGHTS]
    if not files[0].is_file():
        raise ModelError(f"{WEIGHTS} is missing", where=str(path))
    rank, scale = _rank_and_scale(settings, path)
    if rank > max_rank:
        raise ModelError(
            f"the adapter's rank {rank} exceeds the engine's {max_rank}",
            where=str(path / CONFIG),
            do=f"serve with --max-lora-rank {rank}",
        )
    halves = _read_halves(files, path, config, rank)
    layers: list[dict[str, Factors]] = [{} for _ in range(config.num_layers)]
    for (layer, module), pair in halves.items():
        if len(pair) != 2:
            raise ModelError(f"{module} of layer {layer} has only one of A and B", where=str(path))
        layers[layer][module] = Factors(pair["A"], pair["B"].double() * scale)
    return LoraAdapter(name, digest_adapter(path)[:32], rank, tuple(layers))


def digest_adapter(path: Path) -> str:
    """SHA-256 over both of its files."""
    return digest_files([path / CONFIG, path / WEIGHTS])


def _rank_and_scale(settings: dict[str, Any], path: Path) -> tuple[int, float]:
    """r, and lora_alpha / r (rank-stabilised: / sqrt(r), Kalajdzievski 2023)."""
    try:
        rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
        return rank, alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(
            f"{CONFIG} holds no usable r and lora_alpha", where=str(path), why=repr(error)
        ) from error


def _read_halves(
    files: list[Path], path: Path, config: ModelConfig, rank: int
) -> dict[tuple[int, str], dict[str, torch.Tensor]]:
    parts: dict[str, Part] = {p.module: p for row in targets(config).values() for p in row}
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for name, _, tensor in read_tensors(files):
        match = _NAME.fullmatch(name)
        part = parts.get(match[2]) if match else None
        if match is None or part is None or int(match[1]) >= config.num_layers:
            raise ModelError(
                f"{name} is not an adapter of a layer of this model",
                where=str(path / WEIGHTS),
                do=f"adapt only {', '.join(parts)}",
            )
        expected = (rank, part.num_in) if match[3] == "A" else (part.num_out, rank)
        if tuple(tensor.shape) != expected:
            raise ModelError(
                f"{name} is {[*tensor.shape]}, not {[*expected]}",
                where=str(path / WEIGHTS),
                why="the adapter was trained for a model of another shape",
            )
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
    if not halves:
        raise ModelError("the adapter is empty", where=str(path / WEIGHTS))
    return halves

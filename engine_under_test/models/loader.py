"""From an EngineConfig to a model with weights: from disk, or random at a named shape.

The dtype `auto` is a fixed rule and never timed: two runs on one machine must compute the same.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from engine_under_test.attention import resolve_attention
from engine_under_test.compiled import suits
from engine_under_test.config import AttentionName, EngineConfig
from engine_under_test.device import CPU, resolve_device
from engine_under_test.errors import ConfigError, ModelError
from engine_under_test.model_config import ModelConfig

from .checkpoint import digest_files, read_config, read_tensors, verify_checksums, weight_files
from .fp8 import EightBits
from .gguf_file import GgufFile
from .llama import Llama
from .ops import CompiledOps, LayerOps, TorchOps
from .peft import digest_adapter, read_adapter
from .shapes import SHAPES

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
BF16_MIN_PARAMS = 50_000_000  # below it float32 is faster even with bf16 matrix units
MAX_NAMED_TENSORS = 5
MAX_MERGED_RANK = 4096  # merged, an adapter costs nothing at any rank
Tensors = Iterable[tuple[str, Path, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run. digest() hashes the weight files when first asked for."""

    model: Llama
    dtype_name: str
    max_model_len: int
    attention: AttentionName
    digest: Callable[[], str]


def load_model(config: EngineConfig) -> LoadedModel:
    """Read or make the weights. Raises ModelError or ConfigError, naming what is wrong."""
    if config.model_dir is not None:
        return _from_disk(config, config.model_dir)
    assert config.shape is not None
    return _random(config, config.shape)


def resolve_dtype(requested: str, num_params: int, device: torch.device = CPU) -> str:
    """'auto' is bfloat16 on a GPU, and where the CPU has units for it and the model is large."""
    if requested != "auto":
        return requested
    if device.type != "cpu":
        return "bfloat16"
    return "bfloat16" if num_params >= BF16_MIN_PARAMS and _has_amx_bf16() else "float32"


class _Checkpoint(NamedTuple):
    """What is on disk; tensors are read one after another, when they are asked for."""

    shape: ModelConfig
    tensors: Tensors
    digest: Callable[[], str]


def _from_disk(config: EngineConfig, model_dir: Path) -> LoadedModel:
    found = _open(model_dir)
    if config.merged_adapter is not None:
        found = _merged(found, config.merged_adapter)
    loaded = _empty(config, found.shape, found.digest)
    _fill(loaded.model, found.tensors, model_dir)
    loaded.model.pack()
    return loaded


def _open(model_dir: Path) -> _Checkpoint:
    if model_dir.is_file():
        file = GgufFile(model_dir)
        shape = replace(ModelConfig.from_hf_dict(file.config()), rope_scaling=file.rope_factors())
        return _Checkpoint(shape, file.tensors(), lambda: digest_files([model_dir]))
    if not model_dir.is_dir():
        raise ModelError(f"model directory {model_dir} does not exist", do="check --model")
    verify_checksums(model_dir)
    shape = ModelConfig.from_hf_dict(read_config(model_dir))
    files = weight_files(model_dir)
    return _Checkpoint(
        shape, read_tensors(files), lambda: digest_files([model_dir / "config.json", *files])
    )


def _random(config: EngineConfig, name: str) -> LoadedModel:
    """Normal weights of deviation 1/sqrt(inputs): activations and logits keep unit scale."""
    if name not in SHAPES:
        close = difflib.get_close_matches(name, SHAPES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(SHAPES)}"
        raise ConfigError(f"shape {name!r} is unknown", do=hint)
    shape = SHAPES[name]
    if config.num_layers is not None:
        shape = replace(shape, num_layers=config.num_layers)
    device = resolve_device(config.device)
    identity = f"random {shape} seed {config.seed}"
    if device != CPU:  # whose generator draws other numbers
        identity += f" on {device.type}"
    loaded = _empty(config, shape, lambda: hashlib.sha256(identity.encode()).hexdigest())
    generator = torch.Generator(device).manual_seed(config.seed)
    for _, slot in loaded.model.slots():
        if slot.is_norm:
            slot.view.fill_(1.0)
        else:
            values = torch.empty(slot.shape, device=device)
            values.normal_(0, slot.shape[-1] ** -0.5, generator=generator)
            slot.put(values)
    loaded.model.pack()
    return loaded


def _empty(config: EngineConfig, shape: ModelConfig, digest: Callable[[], str]) -> LoadedModel:
    device = resolve_device(config.device)
    attention = resolve_attention(config.attention, device)
    dtype_name = resolve_dtype(config.dtype, shape.num_params, device)
    max_model_len = config.resolve_max_model_len(shape)
    eight_bits: EightBits | None = None
    if config.quantization == "fp8":
        eight_bits = "stored" if attention == "triton" else "rounded"
    dtype = DTYPES[dtype_name]
    ops = _ops(attention, is_compiled=suits(shape, dtype, device))
    model = Llama(shape, max_model_len, dtype, device, ops, eight_bits)
    return LoadedModel(
        model, dtype_name, max_model_len, attention, _of_quantized(digest, config.quantization)
    )


def _of_quantized(digest: Callable[[], str], how: str | None) -> Callable[[], str]:
    if how is None:
        return digest
    return lambda: hashlib.sha256(f"{digest()} {how}".encode()).hexdigest()


def _ops(attention: AttentionName, is_compiled: bool) -> LayerOps:
    if attention == "sdpa":
        return CompiledOps() if is_compiled else TorchOps()
    from .triton_ops import TritonOps

    return TritonOps()


def _fill(model: Llama, tensors: Tensors, where: Path) -> None:
    """Copy every tensor to its slot; report all that is missing, unexpected or mis-shaped."""
    slots = dict(model.slots())
    faults = []
    for name, file, tensor in tensors:
        if name.endswith("rotary_emb.inv_freq") or (
            name == "lm_head.weight" and model.config.is_tied
        ):
            continue  # derived from the configuration, or a second copy
        slot = slots.pop(_slot_name(name), None)
        if slot is None:
            faults.append(f"{name} in {file.name} is unexpected (or there twice)")
        elif tuple(tensor.shape) != slot.shape:
            faults.append(f"{name} in {file.name} is {[*tensor.shape]}, not {[*slot.shape]}")
        elif not tensor.is_floating_point():
            faults.append(f"{name} in {file.name} holds {tensor.dtype}")
        else:
            slot.put(tensor)
    faults += [f"{name} is missing" for name in slots]
    if faults:
        shown = faults[:MAX_NAMED_TENSORS]
        if len(faults) > len(shown):
            shown.append(f"and {len(faults) - len(shown)} more")
        raise ModelError(
            "the weights do not fit the configuration",
            where=str(where),
            why="; ".join(shown),
            do="check that the configuration belongs to these weights",
        )


def _merged(base: _Checkpoint, path: Path) -> _Checkpoint:
    """W + BA in every adapted module: the adapter at base speed, and the only one."""
    adapter = read_adapter(path, path.name, base.shape, max_rank=MAX_MERGED_RANK)
    changes = {
        f"model.layers.{i}.{module}.weight": factors
        for i, modules in enumerate(adapter.layers)
        for module, factors in modules.items()
    }

    def tensors() -> Iterator[tuple[str, Path, torch.Tensor]]:
        for name, file, tensor in base.tensors:
            factors = changes.get(_slot_name(name))
            is_as_told = factors is not None and tensor.shape == (
                len(factors.b), factors.a.shape[1]
            )  # fmt: skip
            if factors is not None and is_as_told and tensor.is_floating_point():
                tensor = tensor.double() + factors.b @ factors.a.double()
            yield name, file, tensor

    def digest() -> str:
        parts = base.digest() + digest_adapter(path)
        return hashlib.sha256(parts.encode()).hexdigest()

    return base._replace(tensors=tensors(), digest=digest)


def _slot_name(name: str) -> str:
    """Of a tensor; a directory of a bare decoder, as for embeddings, leaves the first part out."""
    return name if name.startswith(("model.", "lm_head.")) else f"model.{name}"


def _has_amx_bf16() -> bool:
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False

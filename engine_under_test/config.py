"""Within which limits an engine runs and how it is set up. No torch; the model: model_config.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from .errors import ConfigError
from .model_config import DTYPE_BYTES, ModelConfig, Quantization
from .request import Pooling
from .spec_config import SpecConfig

DTypeName = Literal["auto", "float32", "bfloat16", "float64"]
DeviceName = Literal["auto", "cpu", "cuda"]
AttentionName = Literal["auto", "sdpa", "triton"]
DEFAULT_KV_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Limits of one engine. Give model_dir (a directory or GGUF file) or shape (random weights).

    max_model_len None: what the model was trained for.  num_blocks wins over kv_cache_bytes;
    neither: 512 MiB (on a GPU what a step leaves), or less where every
    sequence at full length needs less.
    long_prefill_threshold: most tokens of one sequence in one step; None: no limit but the budget.
    seed: of random weights, and of the seeds drawn for requests that bring none.
    spec: speculation; None: off.
    pooling: what an embedding is made of: the hidden state of the last or first (cls) token, or the
    mean of all; None: what the model directory says, else the last.
    device auto: a GPU where there is one.  attention auto: Triton's kernels on a GPU, else SDPA.
    """

    model_dir: Path | None = None
    shape: str | None = None
    num_layers: int | None = None  # of a named shape: fewer or more layers than it has
    merged_adapter: Path | None = None  # a PEFT directory added to the weights for good, at load
    seed: int = 0
    dtype: DTypeName = "auto"
    device: DeviceName = "auto"
    attention: AttentionName = "auto"
    quantization: Quantization | None = None  # of the layers' matrices, at load
    overlap: bool | None = None  # launch a step before the one before it is booked; None: on a GPU
    graphs: bool | None = None  # run decode steps as captured graphs; None: on a GPU
    max_model_len: int | None = None
    block_size: int = 16
    num_blocks: int | None = None
    kv_cache_bytes: int | None = None
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 512
    long_prefill_threshold: int | None = None
    enable_prefix_caching: bool = True
    max_waiting: int = 1024
    num_threads: int = 1
    spec: SpecConfig | None = None
    pooling: Pooling | None = None
    max_loras: int = 4  # different adapters in one step
    max_lora_rank: int = 16

    def __post_init__(self) -> None:
        if (self.model_dir is None) == (self.shape is None):
            raise ConfigError("give either a model directory or a named shape", do="--model DIR")
        if self.merged_adapter is not None and self.model_dir is None:
            raise ConfigError("an adapter merges into weights from disk, not into random ones")
        if self.num_layers is not None and self.shape is None:
            raise ConfigError("num_layers changes a named shape only, not weights from disk")
        if self.dtype != "auto" and self.dtype not in DTYPE_BYTES:
            raise ConfigError(f"dtype {self.dtype!r} is unknown", do=f"use {[*DTYPE_BYTES]}")
        if self.pooling not in (None, *get_args(Pooling)):
            raise ConfigError(
                f"pooling {self.pooling!r} is unknown", do="use 'last', 'mean' or 'cls'"
            )
        counts = ("block_size", "max_num_seqs", "max_num_batched_tokens", "max_waiting")
        for name in (*counts, "num_threads", "max_loras", "max_lora_rank"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        optional = ("max_model_len", "kv_cache_bytes", "long_prefill_threshold", "num_layers")
        for name in optional:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.num_blocks is not None and self.num_blocks < 2:
            raise ConfigError("num_blocks must be at least 2: block 0 is padding")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ConfigError(
                f"a step of {self.max_num_batched_tokens} tokens cannot serve "
                f"{self.max_num_seqs} sequences",
                why="every running sequence needs one token a step",
                do="raise max_num_batched_tokens or lower max_num_seqs",
            )

    def resolve_max_model_len(self, model: ModelConfig) -> int:
        """The context window in tokens. Raises ConfigError beyond the model's own."""
        if self.max_model_len is not None and self.max_model_len > model.max_position:
            raise ConfigError(
                f"max_model_len {self.max_model_len} exceeds the model's {model.max_position}"
            )
        return self.max_model_len or model.max_position

    def resolve_overlap(self, device: str) -> bool:
        """device: a type, cpu or cuda. On a CPU there is nothing that a step could overlap."""
        return device != "cpu" if self.overlap is None else self.overlap

    def resolve_graphs(self, attention: str, device: str) -> bool:
        """attention: resolved. Raises ConfigError where graphs are asked for and cannot be."""
        if self.graphs and attention != "triton":
            raise ConfigError(
                f"graphs need attention 'triton', not {attention!r}",
                why="only its kernels run on grids that are known beforehand",
            )
        return device != "cpu" if self.graphs is None else self.graphs

    def resolve_num_blocks(
        self,
        model: ModelConfig,
        dtype: str,
        extra_bytes_per_token: int = 0,
        default_bytes: int = DEFAULT_KV_CACHE_BYTES,
    ) -> int:
        """Blocks of the cache, the padding block included.

        extra_bytes_per_token: what a draft model keeps beside the target's keys and values.
        default_bytes: of the cache at most, where neither setting says.
        """
        if self.num_blocks is not None:
            return self.num_blocks
        token_bytes = model.costs(dtype).kv_bytes_per_token + extra_bytes_per_token
        block_bytes = token_bytes * self.block_size
        if self.kv_cache_bytes is not None:
            if self.kv_cache_bytes < 2 * block_bytes:
                raise ConfigError(
                    f"kv_cache_bytes {self.kv_cache_bytes} is less than two blocks",
                    why=f"one block takes {block_bytes} bytes",
                )
            return self.kv_cache_bytes // block_bytes
        full = self.max_num_seqs * -(-self.resolve_max_model_len(model) // self.block_size)
        return 1 + max(1, min(full, default_bytes // block_bytes))

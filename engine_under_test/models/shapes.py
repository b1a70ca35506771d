"""Named model shapes that run with random weights: speed without a download.

Widths and depths are those of the published checkpoints; `debug` is the smallest model with every
feature of the family, for tests and for trying a setting in seconds.
"""

from __future__ import annotations

from engine_under_test.model_config import Llama3Rope, ModelConfig

_LLAMA_31_ROPE = Llama3Rope(8.0, 1.0, 4.0, 8192)
_LLAMA_32_ROPE = Llama3Rope(32.0, 1.0, 4.0, 8192)

SHAPES: dict[str, ModelConfig] = {
    "debug": ModelConfig(
        architecture="llama",
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        max_position=2048,
        is_tied=True,
    ),
    "small": ModelConfig(
        architecture="llama",
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=688,
        num_layers=6,
        num_heads=4,
        num_kv_heads=2,
        head_dim=64,
        max_position=8192,
        is_tied=True,
    ),
    "llama-1b": ModelConfig(
        architecture="llama",
        vocab_size=128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_layers=16,
        num_heads=32,
        num_kv_heads=8,
        head_dim=64,
        max_position=131_072,
        rope_theta=500_000.0,
        rope_scaling=_LLAMA_32_ROPE,
        is_tied=True,
    ),
    "llama-8b": ModelConfig(
        architecture="llama",
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        max_position=131_072,
        rope_theta=500_000.0,
        rope_scaling=_LLAMA_31_ROPE,
    ),
    "llama-70b": ModelConfig(
        architecture="llama",
        vocab_size=128_256,
        hidden_size=8192,
        intermediate_size=28_672,
        num_layers=80,
        num_heads=64,
        num_kv_heads=8,
        head_dim=128,
        max_position=131_072,
        rope_theta=500_000.0,
        rope_scaling=_LLAMA_31_ROPE,
    ),
}

# A shape of its own name that runs with weights of 8 bits unless told otherwise: at two bytes each
# the largest leaves no GPU room for a cache. --layers N takes as many of its layers as fit.
FP8_SHAPES = {"llama-70b-fp8-layers": "llama-70b"}

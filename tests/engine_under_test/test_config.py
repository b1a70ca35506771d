"""Derived costs and limits, by hand; settings that cannot work are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.errors import ConfigError, EngineError
from engine_under_test.model_config import ModelConfig
from engine_under_test.models import SHAPES


def test_costs_of_the_published_shapes() -> None:
    one, eight = SHAPES["llama-1b"].costs("bfloat16"), SHAPES["llama-8b"].costs("bfloat16")
    # A 1B layer: 2048 * (32 + 2 * 8 + 32) * 64 + 3 * 2048 * 8192 = 60,817,408; lm_head 262,668,288.
    assert one.streamed_bytes == 2 * (16 * 60_817_408 + 262_668_288)
    assert one.kv_bytes_per_token == 32 * 1024  # 2 * 16 layers * 8 heads * 64 * 2 bytes
    assert eight.kv_bytes_per_token == 128 * 1024
    assert eight.streamed_bytes == pytest.approx(15.01e9, rel=1e-3)
    assert eight.flops_per_token == eight.streamed_bytes  # two flops and two bytes an element
    assert eight.flops_per_context_token == 4 * 32 * 32 * 128
    assert one.num_params == 1_235_746_816  # tied: the embedding counts once
    assert eight.num_params == pytest.approx(8.03e9, rel=1e-3)
    assert SHAPES["llama-70b"].costs("bfloat16").kv_bytes_per_token == 320 * 1024


def test_num_blocks_comes_from_bytes_or_from_what_all_sequences_could_use() -> None:
    model = SHAPES["debug"]  # 2 * 2 layers * 2 heads * 16 * 4 bytes = 512 a token
    assert model.costs("float32").kv_bytes_per_token == 512
    config = EngineConfig(shape="debug", kv_cache_bytes=100 * 16 * 512)
    assert config.resolve_num_blocks(model, "float32") == 100
    config = EngineConfig(shape="debug", max_num_seqs=4, max_model_len=33)
    assert config.resolve_num_blocks(model, "float32") == 1 + 4 * 3
    config = EngineConfig(shape="debug", num_blocks=7, kv_cache_bytes=10**9)
    assert config.resolve_num_blocks(model, "float32") == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either a model directory or a named shape"),
        ({"shape": "debug", "model_dir": Path("x")}, "either a model directory or a named shape"),
        ({"model_dir": Path("x"), "num_layers": 2}, "num_layers changes a named shape only"),
        ({"shape": "debug", "dtype": "float16"}, "dtype 'float16' is unknown"),
        ({"shape": "debug", "block_size": 0}, "block_size must be at least 1"),
        ({"shape": "debug", "kv_cache_bytes": 0}, "kv_cache_bytes must be at least 1"),
        ({"shape": "debug", "num_blocks": 1}, "num_blocks must be at least 2"),
        ({"shape": "debug", "max_waiting": 0}, "max_waiting must be at least 1"),
        ({"shape": "debug", "max_num_seqs": 9, "max_num_batched_tokens": 8}, "cannot serve 9"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EngineConfig(**settings)


def test_limits_beyond_the_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_model_len 4096 exceeds the model's 2048"):
        EngineConfig(shape="debug", max_model_len=4096).resolve_max_model_len(SHAPES["debug"])
    config = EngineConfig(shape="debug", kv_cache_bytes=512)
    with pytest.raises(ConfigError, match="less than two blocks"):
        config.resolve_num_blocks(SHAPES["debug"], "float32")


def test_rope_is_read_from_both_generations_of_config_json() -> None:
    base = {
        "architectures": ["Qwen2ForCausalLM"],
        "vocab_size": 10,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "eos_token_id": 7,
    }
    old = ModelConfig.from_hf_dict({**base, "rope_theta": 1e6})
    new = ModelConfig.from_hf_dict(
        {**base, "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}
    )
    assert old == new
    assert (old.rope_theta, old.has_qkv_bias, old.has_out_bias) == (1e6, True, False)
    assert (old.eos_ids, old.num_kv_heads, old.head_dim) == ((7,), 2, 4)


def test_an_error_renders_its_four_parts() -> None:
    error = EngineError("it broke", where="here", why="so", do="mend it")
    assert error.render() == "error: it broke\n  where: here\n  why:   so\n  do:    mend it"

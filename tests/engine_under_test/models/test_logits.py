"""Our forward pass against transformers', for every architecture, whole and in every chunking."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from engine_under_test.attention import SdpaBackend
from engine_under_test.batch import RowTable, build_batch
from engine_under_test.config import EngineConfig
from engine_under_test.models import load_model
from engine_under_test.models.llama import Llama
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request, SamplingParams

NUM_TOKENS = 12
BLOCK_SIZE = 4
SMALL = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {}),
    "llama-tied": (
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {"tie_word_embeddings": True},
    ),
    "llama-biased": (
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {"attention_bias": True},
    ),
    "llama3-rope": (
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {"rope_parameters": LLAMA3_ROPE},
    ),
    "llama-wide-heads": (
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {"head_dim": 16},
    ),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {"head_dim": 16}),
}


@pytest.fixture(scope="module", params=MODELS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of one architecture, norms and biases off their defaults too."""
    config_class, model_class, extra = MODELS[request.param]
    torch.manual_seed(1)
    model = model_class(config_class(**SMALL, **extra))
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.3 * noise if parameter.dim() == 1 else 0.25 * noise)
    path = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(path)
    return path


def prompt() -> list[int]:
    return torch.randint(0, 97, (NUM_TOKENS,), generator=torch.Generator().manual_seed(5)).tolist()


def exact_rms_norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    """transformers' norm without its detour through float32, which would hide errors below 1e-5."""
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon)
    return x * scale * module.weight


def exact_norms(model: Any) -> None:
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(exact_rms_norm, module)


def oracle(path: Path, dtype: torch.dtype) -> torch.Tensor:
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    if dtype == torch.float64:
        exact_norms(model)
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([prompt()])).logits[0]
    return logits


def ours(model: Llama, chunks: tuple[int, ...]) -> torch.Tensor:
    """Logits of all tokens, computed chunk after chunk through the paged cache."""
    attention = SdpaBackend(model.config, 8, BLOCK_SIZE, model.dtype)
    table = RowTable(1, 8, BLOCK_SIZE)
    r = Request("r", prompt(), SamplingParams(), block_ids=[5, 2, 7])  # scattered on purpose
    logits = []
    with torch.inference_mode():
        for num_new in chunks:
            seq = ScheduledSeq(r, num_new, is_sampled=False)
            batch = build_batch([seq], np.array([table.sync(r)]), table)
            logits.append(model.logits(model.forward(batch, attention, attention.build(batch))))
            r.num_computed += num_new
    return torch.cat(logits)


CHUNKINGS = (
    (12,),
    (1,) * 12,
    (5, 7),
    (4, 4, 4),
    (11, 1),
    (1, 11),
    (3, 1, 1, 6, 1),
    (2, 2, 2, 2, 2, 2),
    (7, 1, 4),
)


def test_float32_logits_match_transformers(checkpoint: Path) -> None:
    model = load_model(EngineConfig(model_dir=checkpoint, dtype="float32")).model
    expected = oracle(checkpoint, torch.float32)
    for chunks in CHUNKINGS:
        torch.testing.assert_close(ours(model, chunks), expected, rtol=1e-4, atol=1e-4)


def test_float64_logits_match_tightly_in_every_chunking(checkpoint: Path) -> None:
    model = load_model(EngineConfig(model_dir=checkpoint, dtype="float64")).model
    expected = oracle(checkpoint, torch.float64)
    whole = ours(model, (12,))
    torch.testing.assert_close(whole, expected, rtol=1e-11, atol=1e-11)
    for chunks in CHUNKINGS:
        torch.testing.assert_close(ours(model, chunks), whole, rtol=1e-12, atol=1e-12)


def test_bfloat16_runs_close_to_float32(checkpoint: Path) -> None:
    expected = ours(load_model(EngineConfig(model_dir=checkpoint, dtype="float32")).model, (12,))
    got = ours(load_model(EngineConfig(model_dir=checkpoint, dtype="bfloat16")).model, (5, 7))
    scale = float(expected.std())
    assert float((got - expected).abs().mean()) < 0.1 * scale

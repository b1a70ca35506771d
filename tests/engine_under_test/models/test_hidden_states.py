"""Embeddings are transformers' last hidden states, pooled: by family, in chunks, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import embed
from engine_under_test.request import Pooling

from .test_logits import MODELS, SMALL, exact_norms

PROMPTS = [
    torch.randint(0, 97, (n,), generator=torch.Generator().manual_seed(n)).tolist()
    for n in (1, 5, 30, 61)
]


@pytest.mark.parametrize("family", ["llama-tied", "qwen2", "qwen3"])
def test_they_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    config_class, model_class, extra = MODELS[family]
    torch.manual_seed(1)
    oracle: Any = model_class(config_class(**SMALL, **extra)).double()
    with torch.no_grad():
        for parameter in oracle.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.3 * noise if parameter.dim() == 1 else 0.25 * noise)
    oracle.save_pretrained(tmp_path)
    body = transformers.AutoModel.from_pretrained(tmp_path, dtype=torch.float64)
    exact_norms(body)
    core = EngineCore(
        EngineConfig(
            model_dir=tmp_path,
            dtype="float64",
            num_blocks=60,
            block_size=4,
            max_num_seqs=4,
            max_num_batched_tokens=16,
        )
    )
    poolings: tuple[Pooling, ...] = ("last", "mean", "cls")
    for pooling in poolings:
        for prompt, vector in zip(PROMPTS, embed(core, PROMPTS, pooling), strict=True):
            with torch.inference_mode():
                hidden = body(torch.tensor([prompt])).last_hidden_state[0]
            wanted = {"last": hidden[-1], "mean": hidden.mean(0), "cls": hidden[0]}[pooling]
            np.testing.assert_allclose(vector, wanted.numpy(), rtol=1e-10, atol=1e-10)

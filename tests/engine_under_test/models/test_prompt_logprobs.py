"""Log-probabilities of prompts are transformers' own, however cut and whoever ran beside.

float64 against float64 with an exact norm on both sides; float32 as it comes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.request import Request, SamplingParams, TokenLogprob
from engine_under_test.spec_config import SpecConfig

from .test_logits import SMALL, exact_norms

PROMPTS = [
    torch.randint(0, 97, (n,), generator=torch.Generator().manual_seed(n)).tolist()
    for n in (1, 2, 30, 61, 90)
]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.25 if parameter.dim() > 1 else 1.0))
    path = tmp_path_factory.mktemp("scored")
    model.save_pretrained(path)
    return path


def oracle(path: Path, dtype: torch.dtype, prompt: list[int]) -> torch.Tensor:
    """[n, V] log-probabilities behind each token."""
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
    if dtype == torch.float64:
        exact_norms(model)
    with torch.inference_mode():
        return torch.as_tensor(model(torch.tensor([prompt])).logits[0].log_softmax(dim=-1))


def scores(core: EngineCore, prompts: list[list[int]]) -> list[list[TokenLogprob]]:
    """Every prompt's rows, all prompts at once, with unscored company."""
    found: dict[str, list[TokenLogprob]] = {}
    for n, prompt in enumerate(prompts):
        params = SamplingParams(12, temperature=0, prompt_logprobs=4, logprobs=1)
        core.add(Request(f"scored{n}", prompt, params))
        core.add(Request(f"free{n}", prompt[::-1], SamplingParams(20, temperature=0)))
    while core.has_work:
        for output in core.step():
            assert not output.error
            found.setdefault(output.request_id, []).extend(output.prompt_logprobs or [])
    core.check_integrity()
    assert not any(rows for name, rows in found.items() if name.startswith("free"))
    return [found[f"scored{n}"] for n in range(len(prompts))]


@pytest.mark.parametrize(
    ("dtype", "limits"),
    [
        ("float64", {}),
        ("float64", {"max_num_batched_tokens": 10}),
        ("float64", {"long_prefill_threshold": 1}),
        ("float64", {"num_blocks": 40, "max_num_batched_tokens": 16}),
        ("float64", {"spec": SpecConfig("ngram", 3, ngram_min=1)}),
        ("float32", {"long_prefill_threshold": 7}),
    ],
    ids=["whole", "chunks", "token by token", "preempted", "speculation", "float32"],
)
def test_they_are_those_of_transformers(
    model_dir: Path, dtype: Any, limits: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"num_blocks": 300, "block_size": 4, "max_num_seqs": 10, **limits}
    core = EngineCore(EngineConfig(model_dir=model_dir, dtype=dtype, **settings))
    found = scores(core, PROMPTS)
    if "num_blocks" in limits:
        assert core.stats().num_preemptions > 0
    torch_dtype = torch.float64 if dtype == "float64" else torch.float32
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for prompt, rows in zip(PROMPTS, found, strict=True):
        assert [row.token_id for row in rows] == prompt[1:]
        expected = oracle(model_dir, torch_dtype, prompt)
        for n, row in enumerate(rows):
            told = expected[n]
            assert row.logprob == pytest.approx(float(told[row.token_id]), abs=tolerance)
            assert row.rank == 1 + int((told > told[row.token_id] + tolerance).sum())
            best = told.topk(4)
            assert [value for _, value in row.top] == pytest.approx(
                best.values.tolist(), abs=tolerance
            )
            assert [token for token, _ in row.top] == best.indices.tolist()


def test_long_prompts_are_scored_a_few_tokens_at_a_time(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = EngineCore(EngineConfig(model_dir=model_dir, dtype="float64", num_blocks=40))
    whole = scores(core, PROMPTS[-1:])
    monkeypatch.setattr("engine_under_test.logprobs.SCORED_TOK", 7)
    for a, b in zip(scores(core, PROMPTS[-1:])[0], whole[0], strict=True):
        assert (a.token_id, a.rank) == (b.token_id, b.rank)
        assert a.logprob == pytest.approx(b.logprob, abs=1e-12)

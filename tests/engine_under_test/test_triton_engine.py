"""The whole engine on the Triton kernels, interpreted: tokens equal those of the SDPA backend.

In float64, so that equal means equal; with every feature of the family, chunked prompts, prefix
hits, preemption, drafts, and decode steps in padded buckets as on a GPU, where they are captured.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from engine_under_test.batch import RowTable, Span, lay_out
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.device import CPU
from engine_under_test.errors import ConfigError
from engine_under_test.models import SHAPES
from engine_under_test.request import NO_TOKENS, FloatArray, Request, SamplingParams
from engine_under_test.spec_config import SpecConfig

pytest.importorskip("triton", reason="Triton is not installed")
from engine_under_test.attention import SdpaBackend
from engine_under_test.attention.triton_paged import TritonBackend
from engine_under_test.models.llama import Llama
from engine_under_test.models.triton_ops import TritonOps


def run(**settings: object) -> tuple[dict[str, list[int]], EngineCore]:
    """Six requests in little room: greedy, drawn, filtered, penalised, with log-probabilities."""
    rng = random.Random(1)
    core = EngineCore(
        EngineConfig(
            shape="debug", num_layers=1, seed=3, dtype="float64", max_model_len=128, block_size=8,
            num_blocks=9, max_num_seqs=3, max_num_batched_tokens=24,
            **settings,  # type: ignore[arg-type]
        )
    )  # fmt: skip
    stem = [rng.randrange(512) for _ in range(20)]
    extras: list[dict[str, object]] = [
        {"temperature": 0.0}, {"temperature": 1.0}, {"temperature": 0.8, "top_p": 0.7},
        {"temperature": 1.3, "top_k": 5}, {"temperature": 1.0, "repetition_penalty": 1.3},
        {"temperature": 0.0, "logprobs": 2},
    ]  # fmt: skip
    tokens: dict[str, list[int]] = {}
    for i, extra in enumerate(extras):
        prompt = stem[: rng.choice((0, 9, 20))] + [rng.randrange(512) for _ in range(5 + 3 * i)]
        params = SamplingParams(max_tokens=6, seed=i, **extra)  # type: ignore[arg-type]
        core.add(Request(f"r{i}", prompt, params))
        for output in core.step():
            tokens.setdefault(output.request_id, []).extend(output.new_token_ids)
    while core.has_work:
        for output in core.step():
            tokens.setdefault(output.request_id, []).extend(output.new_token_ids)
        core.check_integrity()
    return tokens, core


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs one program after another: contexts are cut in few parts."""
    monkeypatch.setattr("engine_under_test.kernels.attention.NUM_PROGRAMS", 8)


@pytest.fixture(scope="module")
def expected() -> dict[str, list[int]]:
    tokens, core = run()
    assert core.stats().num_preemptions > 0
    assert core.stats().num_prefix_hit_tokens > 0
    assert {len(t) for t in tokens.values()} == {6}
    return tokens


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("graphs", [False, True])
def test_tokens_equal_those_of_the_sdpa_backend(
    expected: dict[str, list[int]], graphs: bool, overlap: bool
) -> None:
    tokens, core = run(attention="triton", graphs=graphs, overlap=overlap)
    assert tokens == expected
    assert (core._runner.num_ahead > 3) == overlap or not overlap
    if graphs:
        assert core._runner.graphs is not None
        assert core._runner.graphs.num_replays > 3


def test_drafts_run_in_buckets_of_one_and_k_tokens(expected: dict[str, list[int]]) -> None:
    spec = SpecConfig("ngram", num_drafts=3, ngram_min=1, ngram_max=2)
    tokens, core = run(attention="triton", graphs=True, overlap=True, spec=spec)
    assert tokens == expected
    assert core.stats().num_draft_tokens > 0


def test_embeddings_beside_a_chat_equal_those_of_the_sdpa_backend() -> None:
    """In chunks, launched ahead; a step whose sequences do not all draw is no graph's."""
    found: list[dict[str, FloatArray]] = []
    tokens = []
    for extra in ({}, {"attention": "triton", "graphs": True, "overlap": True}):
        core = EngineCore(
            EngineConfig(
                shape="debug", num_layers=1, seed=3, dtype="float64", num_blocks=20,
                max_num_seqs=3, max_num_batched_tokens=10, **extra,  # type: ignore[arg-type]
            )
        )  # fmt: skip
        core.add(chat := Request("chat", [1, 2], SamplingParams(6, temperature=0.0)))
        for length in (1, 13):
            core.add(Request(f"last{length}", [9] * length, NO_TOKENS, pooling="last"))
            core.add(Request(f"mean{length}", [9] * length, NO_TOKENS, pooling="mean"))
        found.append({})
        while core.has_work:
            for output in core.step():
                if output.embedding is not None:
                    found[-1][output.request_id] = output.embedding
        tokens.append(chat.token_ids)
        if extra:
            assert core._runner.graphs is not None
            assert core._runner.graphs.num_replays > 0
    assert tokens[0] == tokens[1]
    assert len(found[0]) == 4
    for name, vector in found[0].items():
        np.testing.assert_allclose(found[1][name], vector, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("features", ["plain", "qk-norm", "biased"])
def test_hidden_states_equal_those_of_the_sdpa_backend(features: str) -> None:
    from dataclasses import replace

    shape = replace(
        SHAPES["debug"],
        has_qk_norm=features == "qk-norm",
        has_qkv_bias=features == "biased",
        has_out_bias=features == "biased",
    )
    generator = torch.Generator().manual_seed(0)
    models = [Llama(shape, 64, torch.float64, CPU, ops) for ops in (None, TritonOps())]
    for (_, one), (_, other) in zip(models[0].slots(), models[1].slots(), strict=True):
        values = torch.randn(one.shape, generator=generator) / one.shape[-1] ** 0.5
        one.view.copy_(values.view(one.view.shape))
        other.view.copy_(values.view(other.view.shape))
    table = RowTable(2, 8, 4)
    for row, blocks in enumerate(([3, 9, 1, 7], [2, 8, 4, 6])):
        r = Request(str(row), [1], SamplingParams(), block_ids=blocks)
        assert table.sync(r) == row
    hidden = []
    for model, backend in (
        (models[0], SdpaBackend(shape, 10, 4, torch.float64)),
        (models[1], TritonBackend(shape, 10, 4, torch.float64, CPU)),
    ):
        for spans in (
            [Span(0, [5, 6, 7, 8, 9], 1), Span(0, list(range(20, 29)), 1)],
            [Span(5, [11], 1), Span(9, [12], 1)],
        ):
            batch = lay_out(spans, np.arange(2), table)
            hidden.append(model.forward(batch, backend, backend.build(batch)))
            hidden.append(model.logits(hidden[-1]))
    for one, other in zip(hidden[:4], hidden[4:], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-11, atol=1e-11)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="graphs need attention 'triton'"):
        EngineCore(EngineConfig(shape="debug", graphs=True))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no GPU"):
            EngineCore(EngineConfig(shape="debug", device="cuda"))

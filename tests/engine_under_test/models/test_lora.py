"""Adapters beside the base weights equal adapters merged into them, alone and mixed, in float64."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import ModelError
from engine_under_test.model_config import ModelConfig
from engine_under_test.models import LoraAdapter, read_adapter
from engine_under_test.models.checkpoint import read_config
from engine_under_test.request import Request, SamplingParams
from engine_under_test.spec_config import SpecConfig

SMALL = {
    "vocab_size": 151,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": None,
}
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# name: rank, alpha, modules, extra settings
ADAPTERS: dict[str, tuple[int, float, tuple[str, ...], dict[str, Any]]] = {
    "whole": (4, 8.0, ALL, {}),
    "attention": (8, 8.0, ("q_proj", "v_proj"), {}),
    "stable": (3, 4.0, ("k_proj", "up_proj", "down_proj"), {"use_rslora": True}),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(
                1 + 0.3 * torch.randn_like(parameter)
                if parameter.dim() == 1
                else 0.25 * torch.randn_like(parameter)
            )
    path = tmp_path_factory.mktemp("base")
    model.double().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random adapters, strong enough to change every answer."""
    folder = tmp_path_factory.mktemp("adapters")
    weights = load_file(base / "model.safetensors")
    for seed, (name, (rank, alpha, modules, extra)) in enumerate(ADAPTERS.items()):
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        for key, weight in weights.items():
            module = key.removesuffix(".weight")
            if module.rpartition(".")[2] in modules:
                for half, shape in (("A", (rank, weight.shape[1])), ("B", (len(weight), rank))):
                    values = 0.3 * torch.randn(*shape, generator=generator, dtype=torch.float64)
                    tensors[f"base_model.model.{module}.lora_{half}.weight"] = values
        write_adapter(folder / name, tensors, rank, alpha, **extra)
    return folder


def write_adapter(
    path: Path, tensors: dict[str, torch.Tensor], rank: int, alpha: float, **extra: Any
) -> None:
    path.mkdir()
    save_file(tensors, path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", **extra}
    (path / "adapter_config.json").write_text(json.dumps(settings))


def merged(base: Path, adapters: Path, name: str, into: Path) -> Path:
    """W + scale BA, written as a checkpoint of its own: the definition, from the files."""
    rank, alpha, _, extra = ADAPTERS[name]
    scale = alpha / (rank**0.5 if extra.get("use_rslora") else rank)
    weights = load_file(base / "model.safetensors")
    halves = load_file(adapters / name / "adapter_model.safetensors")
    for key in weights:
        a = halves.get(f"base_model.model.{key.removesuffix('.weight')}.lora_A.weight")
        if a is not None:
            b = halves[f"base_model.model.{key.removesuffix('.weight')}.lora_B.weight"]
            weights[key] = weights[key] + scale * (b @ a)
    into.mkdir()
    save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    (into / "config.json").write_text((base / "config.json").read_text())
    return into


def core(path: Path, **settings: Any) -> EngineCore:
    limits = {"max_num_seqs": 8, "max_num_batched_tokens": 24, "block_size": 4, "num_blocks": 80}
    return EngineCore(EngineConfig(model_dir=path, dtype="float64", **{**limits, **settings}))


def load(base: Path, adapters: Path, name: str) -> LoraAdapter:
    return read_adapter(
        adapters / name, name, ModelConfig.from_hf_dict(read_config(base)), max_rank=16
    )


PARAMS = SamplingParams(max_tokens=12, temperature=1.0, seed=5)


def run(engine: EngineCore, requests: list[Request]) -> list[list[int]]:
    for r in requests:
        engine.add(r)
    while engine.has_work:
        for output in engine.step():
            assert not output.error
        engine.check_integrity()
    return [r.token_ids[r.num_prompt :] for r in requests]


def prompts(num: int, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    stem = [rng.randrange(151) for _ in range(9)]
    return [stem + [rng.randrange(151) for _ in range(rng.randint(1, 20))] for _ in range(num)]


def test_a_mixed_batch_equals_merged_weights_one_by_one(
    base: Path, adapters: Path, tmp_path: Path
) -> None:
    loaded = {name: load(base, adapters, name) for name in ADAPTERS}
    names = [None, "whole", "attention", "stable", "whole", None, "stable", "attention"]
    asked = prompts(len(names))
    mixed = run(
        core(base),
        [
            Request(f"r{i}", list(p), PARAMS, adapter=loaded[n] if n else None)
            for i, (n, p) in enumerate(zip(names, asked, strict=True))
        ],
    )
    homes = {n: merged(base, adapters, n, tmp_path / n) for n in ADAPTERS}
    answers: dict[str | None, list[int]] = {}
    for i, (name, prompt) in enumerate(zip(names, asked, strict=True)):
        alone = core(homes[name] if name else base, enable_prefix_caching=False)
        (expected,) = run(alone, [Request("alone", list(prompt), PARAMS)])
        assert mixed[i] == expected, f"request {i} with adapter {name}"
        answers[name] = run(core(homes[name] if name else base), [Request("a", asked[0], PARAMS)])[
            0
        ]
    assert len(set(map(tuple, answers.values()))) == 4, "an adapter that changes nothing"


def test_adapters_and_speculation_go_together(base: Path, adapters: Path) -> None:
    """Verifications of several tokens beside single ones, each with its own adapter."""
    loaded = {name: load(base, adapters, name) for name in ADAPTERS}
    names = [None, "whole", "attention", "stable", "whole", None]
    looped = SamplingParams(max_tokens=24, temperature=0.3, seed=5)
    told, stats = [], None
    for spec in (None, SpecConfig("ngram", 3)):
        engine = core(base, spec=spec)
        requests = [
            Request(f"r{i}", list(p) * 2, looped, adapter=loaded[n] if n else None)
            for i, (n, p) in enumerate(zip(names, prompts(len(names)), strict=True))
        ]
        told.append(run(engine, requests))
        stats = engine.stats()
    assert told[0] == told[1]
    assert stats is not None
    assert stats.num_draft_tokens > stats.num_accepted_tokens > 0


def test_an_adapter_merged_at_load_equals_merged_weights(
    base: Path, adapters: Path, tmp_path: Path
) -> None:
    (prompt,) = prompts(1)
    for name in ADAPTERS:
        home = merged(base, adapters, name, tmp_path / name)
        (expected,) = run(core(home), [Request("a", list(prompt), PARAMS)])
        engine = core(base, merged_adapter=adapters / name)
        assert run(engine, [Request("a", list(prompt), PARAMS)]) == [expected]
        assert engine.weights_digest != core(base).weights_digest


@pytest.mark.parametrize("max_loras", [1, 2])
def test_at_most_max_loras_adapters_run_in_a_step_and_all_end(
    base: Path, adapters: Path, max_loras: int
) -> None:
    loaded = [None, *(load(base, adapters, name) for name in ADAPTERS)]
    asked = prompts(16, seed=1)
    engine = core(base, max_loras=max_loras)
    requests = [
        Request(f"r{i}", list(p), PARAMS, adapter=loaded[i % 4]) for i, p in enumerate(asked)
    ]
    for r in requests:
        engine.add(r)
    most = 0
    while engine.has_work:
        engine.step()
        running = {r.adapter.key for r in engine._scheduler.running if r.adapter is not None}
        most = max(most, len(running))
        engine.check_integrity()
    assert most == max_loras
    roomy = run(
        core(base),
        [Request(r.request_id, r.prompt_ids, PARAMS, adapter=r.adapter) for r in requests],
    )
    assert [r.token_ids[r.num_prompt :] for r in requests] == roomy


def test_base_requests_pass_a_held_adapter_and_adapters_do_not(base: Path, adapters: Path) -> None:
    whole, attention = (load(base, adapters, n) for n in ("whole", "attention"))
    engine = core(base, max_loras=1)
    order = [("first", whole), ("held", attention), ("late", whole), ("base", None)]
    for name, adapter in order:
        engine.add(Request(name, [1, 2, 3], PARAMS, adapter=adapter))
    engine.step()
    assert [r.request_id for r in engine._scheduler.running] == ["first", "base"]
    started: list[str] = []
    while engine.has_work:
        engine.step()
        started += [r.request_id for r in engine._scheduler.running if r.request_id not in started]
    assert started == ["first", "base", "held", "late"]


def test_no_adapter_finds_the_blocks_of_another(base: Path, adapters: Path) -> None:
    whole, attention = (load(base, adapters, n) for n in ("whole", "attention"))
    engine, prompt = core(base), list(range(21))
    for adapter, expected in ((None, 0), (whole, 0), (attention, 0), (None, 20), (whole, 20)):
        r = Request("r", list(prompt), PARAMS, adapter=adapter)
        run(engine, [r])
        assert r.timings.cached_tokens == expected
    spelt = Request("r", list(prompt), PARAMS, cache_salt=whole.key)
    run(engine, [spelt])
    assert spelt.timings.cached_tokens == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora = True is not supported"),
        ({"bias": "all"}, "bias = 'all' is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"r": 0}, "no usable r and lora_alpha"),
        ({"r": 32}, "rank 32 exceeds the engine's 16"),
        ({"r": 2}, r"down_proj.lora_A.weight is \[4, 80\], not \[2, 80\]"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused_by_name(
    base: Path, adapters: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    tensors = load_file(adapters / "whole" / "adapter_model.safetensors")
    values = dict(settings)
    rank, alpha = values.pop("r", 4), values.pop("alpha", 8.0)
    write_adapter(tmp_path / "bad", tensors, rank, alpha, **values)
    with pytest.raises(ModelError, match=message):
        load(base, tmp_path, "bad")


def test_adapters_of_other_models_and_halves_are_named(
    base: Path, adapters: Path, tmp_path: Path
) -> None:
    tensors = load_file(adapters / "whole" / "adapter_model.safetensors")
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    half = {k: v for k, v in tensors.items() if k != first}
    write_adapter(tmp_path / "half", half, 4, 8.0)
    with pytest.raises(ModelError, match="only one of A and B"):
        load(base, tmp_path, "half")
    write_adapter(tmp_path / "deep", {first.replace(".0.", ".2."): tensors[first]}, 4, 8.0)
    with pytest.raises(ModelError, match="is not an adapter of a layer of this model"):
        load(base, tmp_path, "deep")
    write_adapter(tmp_path / "none", {}, 4, 8.0)
    with pytest.raises(ModelError, match="the adapter is empty"):
        load(base, tmp_path, "none")
    with pytest.raises(ModelError, match="does not exist"):
        load(base, tmp_path, "nowhere")

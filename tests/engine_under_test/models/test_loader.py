"""What can be wrong with a model directory is said by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine_under_test.config import EngineConfig
from engine_under_test.errors import ConfigError, ModelError
from engine_under_test.models import load_model, loader, resolve_dtype
from engine_under_test.models.llama import Llama

CONFIG = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model"
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG)).save_pretrained(path)
    return path


def load(path: Path) -> Llama:
    return load_model(EngineConfig(model_dir=path)).model


def edit_tensors(path: Path, **changes: torch.Tensor | None) -> None:
    file = path / "model.safetensors"
    tensors = load_file(file)
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        if tensor is None:
            del tensors[key]
        else:
            tensors[key] = tensor
    save_file(tensors, file)


def edit_config(path: Path, **changes: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def write_checksums(path: Path) -> None:
    files = ("config.json", "model.safetensors")
    lines = [f"{hashlib.sha256((path / f).read_bytes()).hexdigest()}  {f}\n" for f in files]
    (path / "SHA256SUMS").write_text("".join(lines))


def test_a_sharded_checkpoint_loads_like_a_single_file(model_dir: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    model = transformers.LlamaForCausalLM.from_pretrained(model_dir)
    model.save_pretrained(sharded, max_shard_size="30KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    for (_, a), (_, b) in zip(load(model_dir).slots(), load(sharded).slots(), strict=True):
        assert torch.equal(a.view, b.view)
    next(sharded.glob("model-00002*")).unlink()
    with pytest.raises(ModelError, match=r"weight file model-00002.* is missing"):
        load(sharded)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__norm__weight": None}, "model.norm.weight is missing"),
        ({"model__extra__weight": torch.ones(2)}, "model.extra.weight .* is unexpected"),
        ({"model__norm__weight": torch.ones(31)}, r"model.norm.weight .* is \[31\], not \[32\]"),
        ({"model__norm__weight": torch.ones(32, dtype=torch.int64)}, "holds torch.int64"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    model_dir: Path, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    edit_tensors(model_dir, **changes)
    with pytest.raises(ModelError, match=message):
        load(model_dir)


def test_many_faults_are_counted_not_listed(model_dir: Path) -> None:
    edit_config(model_dir, num_hidden_layers=4)
    with pytest.raises(ModelError, match="and 13 more"):
        load(model_dir)


def test_a_truncated_file_is_named_with_and_without_checksums(model_dir: Path) -> None:
    write_checksums(model_dir)
    load(model_dir)
    file = model_dir / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        load(model_dir)
    (model_dir / "SHA256SUMS").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        load(model_dir)


def test_one_flipped_bit_is_found_by_the_checksum(model_dir: Path) -> None:
    write_checksums(model_dir)
    file = model_dir / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model.safetensors is damaged[\s\S]*SHA-256"):
        load(model_dir)


def test_a_listed_file_that_is_gone_or_elsewhere_is_refused(model_dir: Path) -> None:
    (model_dir / "SHA256SUMS").write_text("00  vocab.json\n")
    with pytest.raises(ModelError, match=r"vocab\.json is listed in SHA256SUMS but missing"):
        load(model_dir)
    (model_dir / "SHA256SUMS").write_text("00  ../../etc/passwd\n")
    with pytest.raises(ModelError, match="leads out of the model directory"):
        load(model_dir)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "architecture MambaForCausalLM is not supported"),
        ({"architectures": None}, "architecture unnamed is not supported"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2}}, "rope type 'yarn'"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"mlp_bias": True}, "mlp_bias = True"),
        ({"use_sliding_window": True}, "use_sliding_window = True"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3"),
        ({"num_attention_heads": 0, "head_dim": None}, r"config\.json holds a wrong value"),
        ({"vocab_size": "many"}, r"config\.json holds a wrong value"),
        ({"hidden_size": None}, r"config\.json holds a wrong value"),
    ],
)
def test_what_the_engine_does_not_compute_is_refused_by_name(
    model_dir: Path, changes: dict[str, Any], message: str
) -> None:
    edit_config(model_dir, **changes)
    with pytest.raises(ModelError, match=message):
        load(model_dir)


def test_missing_and_malformed_files_are_named(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model directory .*nowhere does not exist"):
        load(tmp_path / "nowhere")
    (model_dir / "model.safetensors").rename(tmp_path / "away")
    with pytest.raises(ModelError, match=r"weight file model\.safetensors is missing"):
        load(model_dir)
    (model_dir / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not readable JSON"):
        load(model_dir)
    (model_dir / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load(model_dir)


def test_end_of_sequence_ids_come_from_the_generation_config(model_dir: Path) -> None:
    (model_dir / "generation_config.json").write_text('{"eos_token_id": [4, 5]}')
    assert load(model_dir).config.eos_ids == (4, 5)


def test_the_digest_tells_weights_apart_and_repeats(model_dir: Path) -> None:
    first = load_model(EngineConfig(model_dir=model_dir)).digest()
    assert first == load_model(EngineConfig(model_dir=model_dir)).digest()
    edit_tensors(model_dir, model__norm__weight=torch.full((32,), 2.0))
    assert first != load_model(EngineConfig(model_dir=model_dir)).digest()


def test_random_weights_repeat_by_seed_and_differ_between_seeds() -> None:
    def embedding(seed: int) -> torch.Tensor:
        return load_model(EngineConfig(shape="debug", seed=seed)).model.embedding

    assert torch.equal(embedding(1), embedding(1))
    assert not torch.equal(embedding(1), embedding(2))
    with pytest.raises(ConfigError, match="did you mean 'llama-8b'"):
        load_model(EngineConfig(shape="llama-8"))


def test_dtype_auto_is_bfloat16_for_large_models_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has_amx, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(loader, "_has_amx_bf16", lambda has_amx=has_amx: has_amx)
        assert resolve_dtype("auto", 50_000_000) == expected
        assert resolve_dtype("auto", 49_999_999) == "float32"


def test_dtype_auto_is_float32_below_fifty_million_parameters() -> None:
    assert resolve_dtype("auto", 49_000_000) == "float32"
    assert resolve_dtype("float64", 10**10) == "float64"

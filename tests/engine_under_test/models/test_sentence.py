"""A sentence-transformers directory gives the vectors that it says, or is refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import ModelError
from engine_under_test.generate import embed
from engine_under_test.models.sentence import VectorRule, vector_rule

from .test_logits import exact_norms

OURS = "sentence_transformers.models"
MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
WIDTH = 32


def module(kind: str, path: str) -> dict[str, Any]:
    return {"idx": 0, "name": "0", "path": path, "type": kind if "." in kind else f"{OURS}.{kind}"}


PLAIN = [module("Transformer", ""), module("Pooling", "1_Pooling")]
WHOLE = [*PLAIN, module("Normalize", "2_Normalize")]


def flags(*modes: str, width: int = WIDTH) -> dict[str, Any]:
    """As sentence-transformers has long written them."""
    return {"word_embedding_dimension": width, "include_prompt": True} | {
        f"pooling_mode_{mode}": mode in modes for mode in MODES
    }


def write(folder: Path, modules: object, pooling: object, name: str = "1_Pooling") -> Path:
    (folder / name).mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"hidden_size": WIDTH}))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))
    if pooling is not None:
        (folder / name / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("modules", "pooling", "rule"),
    [
        (WHOLE, flags("cls_token"), VectorRule("cls", True)),
        (WHOLE, flags("mean_tokens"), VectorRule("mean", True)),
        (WHOLE, flags("lasttoken"), VectorRule("last", True)),
        (PLAIN, flags("lasttoken"), VectorRule("last", False)),
        (PLAIN, {"embedding_dimension": WIDTH, "pooling_mode": "mean"}, VectorRule("mean", False)),
        (WHOLE, {"pooling_mode": ["cls"]}, VectorRule("cls", True)),
        ([module("sentence_transformers.base.modules.Transformer", ""), *PLAIN[1:]],
         flags("mean_tokens"), VectorRule("mean", False)),
        (None, flags("mean_tokens"), VectorRule("mean", True)),  # without a list: length 1
        (None, None, VectorRule("last", True)),
    ],
)  # fmt: skip
def test_what_a_directory_says(
    tmp_path: Path, modules: object, pooling: object, rule: VectorRule
) -> None:
    assert vector_rule(write(tmp_path / "m", modules, pooling)) == rule


def test_an_option_wins_over_the_pooling_and_not_over_the_length(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", PLAIN, flags("max_tokens"))
    assert vector_rule(folder, "mean") == VectorRule("mean", False)
    assert vector_rule(None, "cls") == VectorRule("cls", True)
    assert vector_rule(None) == vector_rule(tmp_path / "one.gguf") == VectorRule("last", True)


@pytest.mark.parametrize(
    ("modules", "pooling", "said"),
    [
        (WHOLE, flags("max_tokens"), "pooling by max_tokens is not computed"),
        (WHOLE, flags("cls_token", "mean_tokens"), "pooling by cls_token and mean_tokens is not"),
        (WHOLE, flags(), "pooling by no mode at all is not computed"),
        (WHOLE, {"pooling_mode": "weightedmean"}, "pooling by weightedmean is not computed"),
        (WHOLE, flags("mean_tokens", width=31),
         "the pooling is of 31 numbers, the model's hidden states have 32"),
        ([*PLAIN, module("Dense", "2_Dense")], flags("mean_tokens"),
         f"the module '{OURS}.Dense' is not computed"),
        ([module("their_code.Transformer", ""), *PLAIN[1:]], flags("mean_tokens"),
         "the module 'their_code.Transformer' is not computed"),
        ([WHOLE[0], WHOLE[2], WHOLE[1]], flags("mean_tokens"),
         "modules Transformer, Normalize, Pooling in this order are not computed"),
        (PLAIN[:1], flags("mean_tokens"), "modules Transformer in this order are not computed"),
        ([module("Transformer", "0_Transformer"), *PLAIN[1:]], flags("mean_tokens"),
         "the weights of this model lie in its folder '0_Transformer'"),
        ([PLAIN[0], module("Pooling", "../1_Pooling")], flags("mean_tokens"),
         "the path '../1_Pooling' of the pooling leads out of the directory"),
        (WHOLE, None, "config.json is missing"),
        ({"a": 1}, flags("mean_tokens"), "modules.json is not a JSON list"),
        ([], flags("mean_tokens"), "modules.json is no list of modules"),
        (["x"], flags("mean_tokens"), "modules.json is no list of modules"),
        (WHOLE, ["mean"], "config.json is not a JSON object"),
    ],
)  # fmt: skip
def test_what_is_not_computed_is_refused_by_name(
    tmp_path: Path, modules: object, pooling: object, said: str
) -> None:
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        vector_rule(write(tmp_path / "m", modules, pooling))
    assert caught.value.where.startswith(str(tmp_path))


@pytest.mark.parametrize("mode", ["cls_token", "mean_tokens", "lasttoken"])
def test_vectors_are_those_of_the_directory_by_an_independent_hand(
    tmp_path: Path, mode: str
) -> None:
    """Hidden states of transformers in float64, pooled by numpy; the weights are named as
    sentence-transformers saves them, without the first part of their names."""
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        vocab_size=61, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        tie_word_embeddings=True,
    )  # fmt: skip
    whole = transformers.LlamaForCausalLM(config).double().eval()
    exact_norms(whole)
    folder = tmp_path / "model"
    whole.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("model."): t for name, t in tensors.items() if "lm_head" not in name}
    save_file(bare, folder / "model.safetensors")
    (folder / "modules.json").write_text(json.dumps(PLAIN))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags(mode)))
    prompts = [[5, 9, 2, 60, 7] * 7, [1], [30, 31]]
    core = EngineCore(
        EngineConfig(
            model_dir=folder, dtype="float64", num_blocks=64, max_num_seqs=8,
            max_num_batched_tokens=16,  # the long one in three chunks
        )
    )  # fmt: skip
    found = embed(core, prompts, vector_rule(folder).pooling)
    for prompt, vector in zip(prompts, found, strict=True):
        with torch.inference_mode():
            hidden = whole.model(torch.tensor([prompt])).last_hidden_state[0].numpy()
        by_hand = {
            "cls_token": hidden[0], "mean_tokens": hidden.sum(0) / len(prompt),
            "lasttoken": hidden[-1],
        }[mode]  # fmt: skip
        np.testing.assert_allclose(vector, by_hand, rtol=1e-10, atol=1e-10)

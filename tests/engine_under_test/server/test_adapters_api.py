"""Adapters by name in `model`, loaded and unloaded over HTTP, from one folder only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from safetensors.torch import save_file

from engine_under_test.errors import ModelError

from .conftest import Server, Start

NUM_LAYERS, WIDTH = 2, 64  # of the shape `debug`


def write(path: Path, seed: int, rank: int = 4) -> None:
    """An adapter of q_proj and o_proj."""
    path.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"base_model.model.model.layers.{i}.self_attn.{m}.lora_{half}.weight": torch.randn(
            *(rank, WIDTH) if half == "A" else (WIDTH, rank), generator=generator
        )
        for i in range(NUM_LAYERS)
        for m in ("q_proj", "o_proj")
        for half in "AB"
    }
    save_file(tensors, path / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank}
    (path / "adapter_config.json").write_text(json.dumps(settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "adapters" / "poet", 1)
    write(tmp_path / "adapters" / "more" / "clerk", 2)
    write(tmp_path / "elsewhere", 3)
    return tmp_path / "adapters"


def post(server: Server, verb: str, **body: Any) -> Any:
    return server.request("POST", f"/v1/{verb}_lora_adapter", body)


def test_adapters_of_the_folder_are_models(start: Start, folder: Path) -> None:
    server = start(adapters=folder, dtype="float64")
    assert [m.id for m in server.client.models.list()] == ["debug", "poet"]
    assert server.client.models.retrieve("poet").parent == "debug"  # type: ignore[attr-defined]
    base, poet = server.chat(), server.chat(model="poet")
    assert (base.model, poet.model) == ("debug", "poet")
    assert base.choices[0].message.content != poet.choices[0].message.content
    assert poet.usage.prompt_tokens_details.cached_tokens == 0
    with pytest.raises(openai.NotFoundError, match="'clerk' does not exist"):
        server.chat(model="clerk")


def test_loading_and_unloading(start: Start, folder: Path) -> None:
    server = start(adapters=folder, dtype="float64")
    poet = server.chat(model="poet").choices[0].message.content
    assert post(server, "load", lora_name="clerk", lora_path="more/clerk").status == 200
    assert server.chat(model="clerk").choices[0].message.content != poet
    taken = post(server, "load", lora_name="clerk", lora_path="poet")
    assert (taken.status, taken.json["error"]["param"]) == (400, "lora_name")
    assert post(server, "unload", lora_name="clerk").status == 200
    assert post(server, "unload", lora_name="clerk").status == 404
    with pytest.raises(openai.NotFoundError):
        server.complete(model="clerk")
    # another adapter under the old name: the cache knows them apart
    path = str(folder / "poet")
    assert post(server, "load", lora_name="clerk", lora_path=path).status == 200
    assert server.chat(model="clerk").choices[0].message.content == poet


def test_a_request_keeps_the_adapter_that_is_unloaded(start: Start, folder: Path) -> None:
    server = start(adapters=folder, dtype="float64")
    wanted = {"model": "poet", "max_tokens": 200, "extra_body": {"ignore_eos": True}}
    expected = server.complete(**wanted).choices[0].text
    stream = server.complete(**wanted, stream=True)
    text = next(stream).choices[0].text
    assert post(server, "unload", lora_name="poet").status == 200
    assert text + "".join(chunk.choices[0].text for chunk in stream) == expected


@pytest.mark.parametrize("path", ["../elsewhere", "poet/../../elsewhere", "/etc", "link"])
def test_nothing_outside_the_folder_is_read(start: Start, folder: Path, path: str) -> None:
    (folder / "link").symlink_to(folder.parent / "elsewhere")
    (folder / "link" / "adapter_config.json").rename(folder.parent / "elsewhere" / "away")
    server = start(adapters=folder)
    reply = post(server, "load", lora_name="x", lora_path=path)
    assert (reply.status, reply.json["error"]["param"]) == (403, "lora_path")


def test_without_a_folder_nothing_loads(server: Server) -> None:
    reply = post(server, "load", lora_name="x", lora_path="poet")
    assert reply.status == 403
    assert "--adapters DIR" in reply.json["error"]["message"]


def test_what_does_not_fit_is_a_400_that_says_why(start: Start, folder: Path) -> None:
    server = start(adapters=folder)
    write(folder / "more" / "wide", 4, rank=32)
    reply = post(server, "load", lora_name="wide", lora_path="more/wide")
    assert reply.status == 400
    assert "--max-lora-rank 32" in reply.json["error"]["message"]
    for body in ({}, {"lora_name": 3, "lora_path": "poet"}, {"lora_name": "x", "lora_path": "\0"}):
        assert post(server, "load", **body).status == 400
    with pytest.raises(ModelError, match="does not exist"):
        start(adapters=folder / "nowhere")

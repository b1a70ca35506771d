"""The engine in a process of its own answers as the one in a thread does, and ends with its server.

Plain, streamed, constrained and adapted answers are compared whole; what fails over there is told
over here.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.engine_process import ProcessDriver
from engine_under_test.errors import ModelError
from engine_under_test.server.build import ModelSource, ServerOptions, build

from .conftest import Server, Start, starting
from .test_adapters_api import write

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
SETTINGS: dict[str, Any] = {"num_blocks": 128, "dtype": "float64", "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters")
    write(path / "poet", 1)
    return path


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[tuple[Server, Server]]:
    """The same engine in a thread and in a process."""
    with starting() as begin:
        yield (
            begin(adapters=folder, **SETTINGS),
            begin(adapters=folder, is_process=True, **SETTINGS),
        )


def child_of(server: Server) -> psutil.Process:
    driver = server.state.engine._driver
    assert isinstance(driver, ProcessDriver)
    return psutil.Process(driver._child.pid)


def test_answers_are_those_of_the_thread(pair: tuple[Server, Server]) -> None:
    for fields in (
        {},
        {"temperature": 0.0, "logprobs": True, "top_logprobs": 2},
        {"n": 2, "temperature": 1.3, "top_p": 0.8},
        {"response_format": FORM, "max_tokens": 40},
        {"model": "poet"},
        {"model": "poet", "seed": 8},  # by its key: the weights have crossed already
        {"stop": ["e"]},
    ):
        one, other = (server.chat(**fields) for server in pair)
        assert one.choices == other.choices, fields
        assert one.usage == other.usage
    for model in ("debug", "poet"):
        texts = ["Once", "upon a time " * 9]
        vectors = [s.client.embeddings.create(model=model, input=texts) for s in pair]
        assert vectors[0].data == vectors[1].data
        assert vectors[0].usage == vectors[1].usage


def test_streams_timings_and_metrics_cross_over(pair: tuple[Server, Server]) -> None:
    texts = []
    for server in pair:
        chunks = list(server.complete(stream=True))
        texts.append("".join(c.choices[0].text for c in chunks if c.choices))
    assert texts[0] == texts[1]
    body = {"model": "debug", "prompt": "Once", "max_tokens": 5, "seed": 1}
    reply = pair[1].request("POST", "/v1/completions", body, x_harness_timings="1")
    timings = reply.json["timings"]
    assert timings["output_tokens"] == 5
    assert timings["decode_steps"] == 4
    assert 0 < timings["scheduled_ns"] <= timings["first_ns"] <= timings["last_ns"]
    assert pair[1].metric("vllm:generation_tokens_total") >= 5
    assert pair[1].request("GET", "/health").status == 200
    models = [server.request("GET", "/v1/models/debug").json["engine"] for server in pair]
    assert models[0]["weights_digest"] == models[1]["weights_digest"]


def test_a_refused_grammar_is_a_400_that_names_its_keyword(pair: tuple[Server, Server]) -> None:
    form = {**FORM, "json_schema": {"name": "n", "schema": {**SCHEMA, "pattern": "("}}}
    bad = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"uniqueItems": True}}}
    for response_format in (form, bad):
        messages = []
        for server in pair:
            with pytest.raises(openai.BadRequestError) as raised:
                server.chat(response_format=response_format)
            messages.append(raised.value.message)
        assert messages[0] == messages[1]


def test_an_abort_frees_blocks_over_there(start: Start, slow: Path) -> None:
    server = start(is_process=True, fault_plan=slow, **SETTINGS)
    stream = server.complete(stream=True, max_tokens=1500)
    next(iter(stream))
    assert server.metric("vllm:num_requests_running") == 1
    stream.close()
    server.wait_until(lambda: server.metric("vllm:kv_cache_usage_perc") == 0)


def test_a_child_that_dies_is_told(start: Start, slow: Path) -> None:
    server = start(is_process=True, fault_plan=slow, **SETTINGS)
    child = child_of(server)
    stream = server.complete(stream=True, max_tokens=1500)
    next(iter(stream))
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="process ended"):
        for _ in stream:
            pass
    # the stream may be told before the server's own state is
    server.wait_until(lambda: server.request("GET", "/health").status == 503)
    assert json.loads(server.request("POST", "/v1/completions", {"prompt": "x"}).body)["error"]


def test_what_loading_refuses_is_raised_here() -> None:
    config = EngineConfig(model_dir=Path("nowhere"), device="cpu")
    source = ModelSource("bad", shape="debug")  # whose tokenizer is there
    with pytest.raises(ModelError, match="nowhere does not exist"):
        build(source, config, ServerOptions(is_process=True))


def test_a_stopped_server_leaves_no_child() -> None:
    with starting() as begin:
        child = child_of(begin(is_process=True, **SETTINGS))
        assert child.is_running()
    assert not child.is_running()

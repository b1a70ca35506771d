"""/v1/embeddings over real sockets: the official client as the oracle of shapes and encodings.

That vectors are right is tested beside the core (test_embeddings.py), against which they are held
here.
"""

from __future__ import annotations

import base64
import http.client
import json
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import ModelError
from engine_under_test.generate import embed
from engine_under_test.request import Pooling
from engine_under_test.server.app import App
from engine_under_test.server.build import ModelSource, ServerOptions, build, find_model
from engine_under_test.server.embeddings import EmbeddingBody, rendered
from engine_under_test.server.errors import ApiError
from engine_under_test.tokenizer import Tokenizer

from .conftest import Reply, Server, Start, running
from .test_adapters_api import write

TEXTS = ["Once upon a time", "there was", "a", "Once upon a time there was a fox. " * 4]
WIDTH = 64  # of the shape `debug`


def post(server: Server, body: object, **headers: str) -> Reply:
    return server.request("POST", "/v1/embeddings", body, **headers)


def expected(texts: list[str], pooling: Pooling = "last", dimensions: int = WIDTH) -> list[Any]:
    """Unit vectors of the core alone, which is another one."""
    core = EngineCore(EngineConfig(shape="debug", dtype="float64", num_blocks=64))
    ids = [Tokenizer.of_bytes().encode(text, add_special_tokens=True) for text in texts]
    vectors = [v[:dimensions] for v in embed(core, ids, pooling)]
    return [v / np.linalg.norm(v) for v in vectors]


def vectors_of(reply: Reply) -> list[list[float]]:
    assert reply.status == 200, reply.body
    return [row["embedding"] for row in reply.json["data"]]


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_official_client_gets_unit_vectors_in_either_encoding(
    server: Server, encoding: Any
) -> None:
    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1", api_key="unused", max_retries=0,
        _strict_response_validation=encoding == "float",  # its types do not know its own base64
    )  # fmt: skip
    named = {} if encoding is None else {"encoding_format": encoding}  # None: base64, decoded
    answer = client.embeddings.create(model="debug", input=TEXTS, user="me", **named)
    client.close()
    assert (answer.object, answer.model) == ("list", "debug")
    assert [(row.object, row.index) for row in answer.data] == [
        ("embedding", n) for n in range(len(TEXTS))
    ]
    num_tok = sum(len(text.encode()) for text in TEXTS)  # a token a byte
    assert answer.usage.model_dump() == {"prompt_tokens": num_tok, "total_tokens": num_tok}
    for row, wanted in zip(answer.data, expected(TEXTS), strict=True):
        got = row.embedding
        if encoding == "base64":
            assert isinstance(got, str)
            got = np.frombuffer(base64.b64decode(got), dtype="<f4").tolist()
        assert got == wanted.astype(np.float32).tolist()  # exactly: float64 behind, float32 shown
        assert np.linalg.norm(got) == pytest.approx(1, abs=1e-6)


def test_every_field_of_the_body_has_a_test_here() -> None:
    assert set(EmbeddingBody.model_fields) == {
        "model", "input", "dimensions", "encoding_format",
        "add_special_tokens", "priority", "cache_salt",
    }  # fmt: skip


def test_text_and_token_ids_one_or_many_are_the_same_inputs(server: Server) -> None:
    ids = [server.state.tokenizer.encode(text, add_special_tokens=True) for text in TEXTS]
    many = vectors_of(post(server, {"input": TEXTS}))
    assert vectors_of(post(server, {"input": ids})) == many
    for n, text in enumerate(TEXTS):
        assert vectors_of(post(server, {"input": text})) == many[n : n + 1]
        assert vectors_of(post(server, {"input": ids[n]})) == many[n : n + 1]
    assert vectors_of(post(server, {"input": [TEXTS[0]] * 3})) == many[:1] * 3


def test_fewer_dimensions_are_the_first_normalised_anew(server: Server) -> None:
    for dimensions in (1, 7, WIDTH):
        body = {"input": TEXTS[:2], "dimensions": dimensions}
        wanted = [v.astype(np.float32).tolist() for v in expected(TEXTS[:2], "last", dimensions)]
        assert vectors_of(post(server, body)) == wanted
        assert all(len(v) == dimensions for v in wanted)


def test_fields_that_change_no_vector(server: Server) -> None:
    (plain,) = vectors_of(post(server, {"input": TEXTS[3]}))
    for fields in (
        {"priority": -3, "cache_salt": "mine"},
        {"model": "debug", "add_special_tokens": False, "user": "me", "metadata": {"a": "b"}},
        {"dimensions": None, "encoding_format": None, "input": TEXTS[3], "frobnicate": 1},
    ):
        assert vectors_of(post(server, {"input": TEXTS[3], **fields})) == [plain]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "input", "input: Field required"),
    ({"input": None}, "input", "input: Field required"),
    ({"input": ""}, "input", "'input' is empty"),
    ({"input": []}, "input", "'input' is empty"),
    ({"input": [[]]}, "input", "'input' is empty"),
    ({"input": ["a", ""]}, "input", "'input.1' is empty"),
    ({"input": [[1], [2], []]}, "input", "'input.2' is empty"),
    ({"input": 7}, "input", "input.text:"),
    ({"input": {"a": 1}}, "input", "input.text:"),
    ({"input": [True]}, "input", "input.texts.0:"),
    ({"input": [1.5]}, "input", "input.texts.0:"),
    ({"input": ["a", 1]}, "input", "input.texts.1:"),
    ({"input": [1, "a"]}, "input", "input.ids.1:"),
    ({"input": [[1], [2, -1]]}, "input", "input.ids lists.1.1:"),
    ({"input": [["a"]]}, "input", "input.ids lists.0.0:"),
    ({"input": [1, 512]}, "input", "'input': token id 512 is outside the vocabulary of 512"),
    ({"input": [[1], [512]]}, "input", "'input.1': token id 512"),
    ({"input": [10**30]}, "input", "outside the vocabulary"),
    ({"input": "x" * 2049}, "input", "'input' has 2049."),
    ({"input": ["a", "x" * 2049]}, "input", "'input.1' has 2049."),
    ({"input": [[1], [1] * 2049]}, "input", "'input.1' has 2049."),
    ({"input": [1] * 5000}, "input", "has at least 5000."),
    ({"input": ["a", "x" * 10**6]}, "input", "'input.1' has at least "),
    ({"input": ["x" * 2000] * 200}, "input", "the inputs have at least 302000 tokens together"),
    ({"input": ["a"] * 2050}, "input", "'input' has 2050 items; a request may have 2048"),
    ({"input": "a", "dimensions": 0}, "dimensions", "dimensions:"),
    ({"input": "a", "dimensions": 65}, "dimensions", "'dimensions' 65 is more than the 64"),
    ({"input": "a", "dimensions": 10**30}, "dimensions", "dimensions"),
    ({"input": "a", "dimensions": "8"}, "dimensions", "dimensions:"),
    ({"input": "a", "dimensions": 2.5}, "dimensions", "dimensions:"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format", "encoding_format:"),
    ({"input": "a", "add_special_tokens": 1}, "add_special_tokens", "add_special_tokens:"),
    ({"input": "a", "priority": "high"}, "priority", "priority:"),
    ({"input": "a", "cache_salt": 3}, "cache_salt", "cache_salt:"),
    ({"input": "a", "model": 3}, "model", "model:"),
    ({"input": "a", "truncate_prompt_tokens": 4}, "truncate_prompt_tokens", "not supported"),
    ({"input": "a\ud800"}, "input", "half a surrogate pair"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param", "message"), BAD, ids=[f"{n}-{row[1]}" for n, row in enumerate(BAD)]
)
def test_a_bad_field_is_named_and_nothing_is_computed(
    server: Server, body: dict[str, Any], param: str, message: str
) -> None:
    before = server.metric("vllm:prompt_tokens_total")
    reply = post(server, body)
    error = reply.json["error"]
    assert (reply.status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert message in error["message"]
    assert len(reply.body) < 400
    is_too_long = "has 2049" in message or "has at least" in message
    assert (error["code"] == "context_length_exceeded") is is_too_long
    assert server.metric("vllm:prompt_tokens_total") == before


def test_the_window_is_for_the_input_alone(server: Server) -> None:
    reply = post(server, {"input": ["x" * 2048, "y"]})
    assert len(vectors_of(reply)) == 2
    assert reply.json["usage"]["prompt_tokens"] == 2049


def test_http_is_refused_as_on_the_other_routes(server: Server, start: Start) -> None:
    reply = server.request("GET", "/v1/embeddings")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert post(server, b"{").status == 400
    assert post(server, b"[]").status == 400
    assert post(server, b"", Content_Length=str(2**40)).status == 413
    assert post(server, b"x", Content_Encoding="gzip").status == 415
    assert post(server, {"input": "a", "model": "gpt-9"}).json["error"]["code"] == "model_not_found"
    guarded = start(api_key="secret", is_strict=True)
    assert post(guarded, {"input": "a"}).status == 401
    allowed = {"Authorization": "Bearer secret"}
    assert post(guarded, {"input": "a"}, **allowed).status == 200
    assert post(guarded, {"input": "a", "frobnicate": 1}, **allowed).json["error"]["param"] == (
        "frobnicate"
    )


def test_what_the_engine_cannot_hold_is_refused_and_what_waits_is_counted(
    start: Start, slow: Path
) -> None:
    small = start(num_blocks=4)
    error = post(small, {"input": ["a", "x" * 60]}).json["error"]
    assert (error["param"], small.metric("vllm:num_requests_running")) == ("input", 0)
    assert "exceeds the KV cache of 48" in error["message"]
    full = start(max_num_seqs=1, max_waiting=2, fault_plan=slow)
    running = full.complete(max_tokens=2000, stream=True)
    next(iter(running))
    threads = [
        threading.Thread(target=lambda text=text: post(full, {"input": text})) for text in "ab"
    ]
    for thread in threads:
        thread.start()
    full.wait_until(lambda: full.metric("vllm:num_requests_waiting") == 2)
    with pytest.raises(openai.RateLimitError):
        full.client.embeddings.create(model="debug", input="c")
    running.close()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


def test_chats_and_embeddings_share_steps_and_change_nothing_for_each_other(start: Start) -> None:
    """Four streams and four batches of inputs at once, on a cache that cannot hold them all."""
    server = start(num_blocks=24, max_num_seqs=8, max_num_batched_tokens=32, dtype="float64")
    texts = [f"{n} {TEXTS[3][:70]}" for n in range(6)]
    wanted = [v.astype(np.float32).tolist() for v in expected(texts)]
    chats = [server.chat(seed=n, max_tokens=30).choices[0].message.content for n in range(4)]
    told: dict[int, str] = {}
    found: dict[int, list[list[float]]] = {}

    def talk(n: int) -> None:
        chunks = server.chat(seed=n, max_tokens=30, stream=True)
        told[n] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    def ask(n: int) -> None:
        found[n] = vectors_of(post(server, {"input": texts[n:] + texts[:n]}))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4) for work in (talk, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [told[n] for n in range(4)] == chats
    for n in range(4):
        np.testing.assert_allclose(found[n], wanted[n:] + wanted[:n], atol=2e-7)
    assert server.metric("engine:embeddings_total") == 4 * 6
    assert server.metric("vllm:request_success_total") == 4 * 6 + 8
    assert server.metric("vllm:kv_cache_usage_perc") == 0
    assert server.state.engine.num_live == 0


def test_counters_and_timings_know_what_an_embedding_is(start: Start) -> None:
    server = start(long_prefill_threshold=50)
    body = {"input": [TEXTS[3], "b"]}
    assert "timings" not in post(server, body).json
    reply = post(server, body, x_harness_timings="1")
    t, num_tok = reply.json["timings"], reply.json["usage"]["prompt_tokens"]
    assert t["received_ns"] <= t["admitted_ns"] <= t["scheduled_ns"] < t["first_ns"]
    assert (t["first_ns"], t["decode_ms"]) == (t["last_ns"], 0)
    engine_ms = t["queue_ms"] + t["prefill_ms"]
    assert engine_ms == pytest.approx((t["last_ns"] - t["admitted_ns"]) / 1e6, abs=1e-6)
    assert (t["prompt_tokens"], t["decode_steps"]) == (num_tok, 0)
    assert (t["cached_tokens"], t["prefill_steps"]) == (num_tok // 16 * 16, 2)
    assert server.metric("engine:embeddings_total") == 4
    assert server.metric("vllm:prompt_tokens_total") == 2 * num_tok
    assert server.metric("vllm:generation_tokens_total") == 0
    assert server.metric("vllm:e2e_request_latency_seconds_count") == 4
    assert server.metric("vllm:time_to_first_token_seconds_count") == 0


@pytest.mark.parametrize("num_read", [0, 1])
def test_a_client_that_leaves_frees_its_blocks(start: Start, slow: Path, num_read: int) -> None:
    server = start(fault_plan=slow, max_num_batched_tokens=64, max_num_seqs=2)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    body = {"input": [f"{n} {'x' * 1900}" for n in range(20)]}
    connection.request("POST", "/v1/embeddings", json.dumps(body))
    server.wait_until(lambda: server.metric("vllm:kv_cache_usage_perc") > 0)
    server.wait_until(lambda: server.metric("engine:embeddings_total") >= num_read)
    connection.close()
    server.wait_until(lambda: server.state.engine.num_live == 0)
    server.wait_until(lambda: server.metric("vllm:kv_cache_usage_perc") == 0)
    assert server.metric("engine:embeddings_total") < 20
    assert len(vectors_of(post(server, {"input": "after"}))) == 1


def test_a_server_of_means_says_so_and_adapters_have_their_own(
    start: Start, tmp_path: Path
) -> None:
    write(tmp_path / "poet", 1)
    server = start(num_blocks=128, dtype="float64", pooling="mean", adapters=tmp_path)
    means = [v.astype(np.float32) for v in expected(TEXTS, "mean")]
    for _ in range(2):  # the second time everything is in the cache
        got = vectors_of(post(server, {"input": TEXTS}))
        np.testing.assert_allclose(got, means, atol=1e-7)
    poet = post(server, {"input": TEXTS, "model": "poet"})
    assert poet.json["model"] == "poet"
    assert all(np.abs(np.subtract(vectors_of(poet), means)).max(axis=1) > 1e-3)
    told = server.request("GET", "/v1/models/debug").json["engine"]
    assert told["embeddings"] == {
        "pooling": "mean", "is_normalized": True, "dimensions": WIDTH, "max_inputs": 2048,
        "max_input_tokens": 300_000,
    }  # fmt: skip
    assert told["flags"]["pooling"] == "mean"


def test_faults_hit_embeddings_too(start: Start, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    for fault, status, is_whole in (
        ({"error": {"rate": 1.0, "status": 503}}, 503, True),
        ({"error": {"rate": 1.0, "status": 500, "at": "mid-stream"}}, 500, True),
        ({"truncate": {"rate": 1.0, "kind": "cut_bytes"}}, 200, False),
    ):
        plan.write_text(json.dumps(fault))
        reply = post(start(fault_plan=plan), {"input": TEXTS})
        assert (reply.status, reply.is_whole) == (status, is_whole)
        assert "x-harness-fault-hit" in reply.headers


def test_a_long_answer_is_whole_and_in_order(start: Start) -> None:
    """Some 1.3 MB, more than one write; every input's vector at its index."""
    server = start(dtype="float64", num_blocks=512)
    texts = [f"input {n}" for n in range(1000)]
    rows = post(server, {"input": texts}).json["data"]
    assert [row["index"] for row in rows] == list(range(1000))
    some = [0, 1, 500, 999]
    wanted = [v.astype(np.float32) for v in expected([texts[n] for n in some])]
    np.testing.assert_allclose([rows[n]["embedding"] for n in some], wanted, atol=1e-7)


def test_vectors_are_rendered_exactly_or_refused() -> None:
    vector = np.array([3.0, 0.0, -4.0, 1e-40], dtype=np.float32)
    assert json.loads(rendered(vector, None, "float"))[:3] == [
        struct.unpack("<f", struct.pack("<f", x))[0] for x in (0.6, 0, -0.8)
    ]
    assert json.loads(rendered(vector, 2, "float")) == [1.0, 0.0]
    packed = base64.b64decode(json.loads(rendered(vector, None, "base64")))
    assert struct.unpack("<4f", packed) == tuple(json.loads(rendered(vector, None, "float")))
    assert json.loads(rendered(np.zeros(2, np.float32), None, "float")) == [0, 0]
    huge = np.array([3e38, 3e38], dtype=np.float32)  # its square is no float32
    assert json.loads(rendered(huge, None, "float")) == pytest.approx([0.5**0.5] * 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(ApiError) as raised:
            rendered(np.array([1.0, bad], dtype=np.float32), None, "base64")
        assert (raised.value.status, raised.value.code) == (500, "engine_error")


@pytest.mark.parametrize("is_normalized", [True, False])
def test_a_directory_says_how_its_vectors_are_made(tmp_path: Path, is_normalized: bool) -> None:
    """The trained model, with the files of sentence-transformers beside its weights."""
    shipped = find_model("tiny").directory
    assert shipped is not None
    for file in shipped.iterdir():
        (tmp_path / file.name).symlink_to(file)
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(kinds[: 2 + is_normalized])
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    config = EngineConfig(model_dir=tmp_path, dtype="float64", num_blocks=64)
    state = build(ModelSource("s", directory=tmp_path), config, ServerOptions("s"))
    with running(App(state)) as port:
        server = Server(state, port)
        rows = vectors_of(post(server, {"input": TEXTS}))
        short = vectors_of(post(server, {"input": TEXTS, "dimensions": 5}))
        told = server.request("GET", "/v1/models/s").json["engine"]
        server.client.close()
    assert (told["embeddings"]["pooling"], told["flags"]["pooling"]) == ("cls", "cls")
    assert told["embeddings"]["is_normalized"] is is_normalized
    core = EngineCore(config)
    ids = [state.tokenizer.encode(text, add_special_tokens=True) for text in TEXTS]
    for got, few, vector in zip(rows, short, embed(core, ids, "cls"), strict=True):
        for found, wanted in ((got, vector), (few, vector[:5])):
            length = np.linalg.norm(wanted) if is_normalized else 1.0
            np.testing.assert_allclose(found, wanted / length, rtol=2e-7, atol=1e-12)


def test_a_directory_that_asks_for_more_than_the_engine_computes_is_not_served(
    tmp_path: Path,
) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "config.json").write_text('{"hidden_size": 64}')
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    config = EngineConfig(model_dir=tmp_path)
    with pytest.raises(ModelError, match="pooling by max_tokens is not computed"):
        build(ModelSource("s", directory=tmp_path), config, ServerOptions("s"))

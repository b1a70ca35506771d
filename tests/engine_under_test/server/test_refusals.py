"""What is refused, how it is said, and what the refusal names."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import openai
import pytest

USER = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"stop": ["a", ""]}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages"),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
        ({"logit_bias": {"99999": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        *(({"logit_bias": {key: 1}}, "logit_bias") for key in (" 5 ", "1_0", "05", "\u0663", "")),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"echo": True}, "echo"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"stop_token_ids": [99999]}, "stop_token_ids"),
        ({"stop_token_ids": [10**30]}, "stop_token_ids"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"self": 1}, "temperature": -1}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"messages": [None] * 9}, "messages"),
    ],
)
def test_a_bad_field_is_named(server: Any, fields: dict[str, Any], param: str) -> None:
    reply = server.request("POST", "/v1/chat/completions", {"messages": USER, **fields})
    assert reply.status == 400
    error = reply.json["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}},
        {"tools": [], "tool_choice": "auto"},
        {"echo": False, "user": "me", "metadata": {"a": "b"}, "best_of": 1},
        {"temperature": None, "stop": None, "logit_bias": None},
        {"top_k": -1},
        {"top_k": 10**30, "priority": 10**30},
        {"chat_template_kwargs": {"self": 1}},
        {"temperature": 1e-300},
    ],
)
def test_neutral_values_are_served(server: Any, fields: dict[str, Any]) -> None:
    body = {"messages": USER, "max_tokens": 2, **fields}
    assert server.request("POST", "/v1/chat/completions", body).status == 200


def test_images_are_refused_by_their_place(server: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:,"}}
    with pytest.raises(openai.BadRequestError, match=r"messages\.0\.content\.0.*image_url") as e:
        server.chat(messages=[{"role": "user", "content": [part]}])
    assert e.value.code == "unsupported_content"


def test_overlong_prompts_say_how_long_they_are(server: Any) -> None:
    window = server.state.model.max_model_len
    with pytest.raises(openai.BadRequestError, match=f"{window} tokens") as raised:
        server.complete(prompt="x" * window)
    assert (raised.value.code, raised.value.param) == ("context_length_exceeded", "prompt")
    with pytest.raises(openai.BadRequestError, match=f"{window + 1} tokens"):
        server.complete(prompt="x" * (window - 5), max_tokens=6)
    assert server.complete(prompt="x" * (window - 5), max_tokens=5).usage.completion_tokens == 5


def test_half_a_surrogate_pair_is_no_text_wherever_it_stands(start: Any) -> None:
    half = "x" * 99 + "\ud800"  # json.dumps sends the escape, which is valid JSON
    server = start(is_strict=True)
    for body, param in (
        ({"messages": [{"role": "user", "content": half}]}, "messages"),
        ({"messages": [{"role": half, "content": ""}]}, "messages"),
        ({"messages": USER, "cache_salt": half}, "cache_salt"),
        ({"messages": USER, "stop": half}, "stop"),
        ({"messages": USER, "model": half}, "model"),
        ({"messages": USER, half: 1}, half),
    ):
        reply = server.request("POST", "/v1/chat/completions", body)
        assert (reply.status, reply.json["error"]["param"]) == (400, param)
    whole = {"messages": [{"role": "user", "content": "\U0001f388 and a literal \\ud800"}]}
    assert server.request("POST", "/v1/chat/completions", {**whole, "max_tokens": 1}).status == 200


def test_more_sequences_than_may_ever_wait_are_refused_for_good(start: Any) -> None:
    server = start(max_waiting=8)
    with pytest.raises(openai.BadRequestError, match=r"9 prompts .* the 8 sequences") as raised:
        server.complete(prompt=["x"] * 9)
    assert raised.value.param == "prompt"
    with pytest.raises(openai.BadRequestError) as raised:
        server.complete(prompt=["x"] * 3, n=3)
    assert raised.value.param == "n"
    assert len(server.complete(prompt=["x"] * 4, n=2).choices) == 8


def test_a_prompt_larger_than_the_cache_is_named(start: Any) -> None:
    server = start(num_blocks=4)
    with pytest.raises(openai.BadRequestError, match="exceeds the KV cache of 48") as raised:
        server.complete(prompt="x" * 60)
    assert raised.value.param == "prompt"


@pytest.mark.parametrize(
    ("prompt", "where"),
    [
        (7, "prompt.text"),
        ([1] * 1000 + ["a"], "prompt.ids.1000"),
        (["a", *[1] * 1000], "prompt.texts.1"),
        ([True], "prompt.texts.0"),
        ([[1], "a"], "prompt.ids lists.1"),
        ([[1], [2, -1]], "prompt.ids lists.1.1"),
    ],
)
def test_the_first_wrong_item_of_a_prompt_is_named_and_no_other(
    server: Any, prompt: Any, where: str
) -> None:
    reply = server.request("POST", "/v1/completions", {"prompt": prompt})
    error = reply.json["error"]
    assert (reply.status, error["param"]) == (400, "prompt")
    assert error["message"].startswith(where + ":")
    assert len(error["message"]) < 200


def test_many_faults_are_counted_not_listed(server: Any) -> None:
    body = {"messages": USER, "logit_bias": {str(n): "x" for n in range(200)}}
    message = server.request("POST", "/v1/chat/completions", body).json["error"]["message"]
    assert message.endswith("and 195 more")


@pytest.mark.parametrize("prompt", ["", [], [1, 99999]])
def test_unusable_prompts(server: Any, prompt: Any) -> None:
    with pytest.raises(openai.BadRequestError, match=r"prompt|vocabulary"):
        server.complete(prompt=prompt)


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"[" * 100_000, b"\xff"])
def test_bodies_that_are_no_json_object(server: Any, body: bytes) -> None:
    reply = server.request("POST", "/v1/chat/completions", body)
    assert reply.status == 400
    assert "JSON" in reply.json["error"]["message"]


def test_unknown_fields_warn_once_or_fail_when_strict(
    server: Any, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"messages": USER, "max_tokens": 1, "frobnicate": 1}
    for _ in range(2):
        assert server.request("POST", "/v1/chat/completions", body).status == 200
    assert [r.getMessage() for r in caplog.records if "frobnicate" in r.getMessage()] == [
        "unknown request field 'frobnicate' ignored (said once)"
    ]
    reply = start(is_strict=True).request("POST", "/v1/chat/completions", body)
    assert (reply.status, reply.json["error"]["param"]) == (400, "frobnicate")


def test_unknown_models_and_paths(server: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9") as raised:
        server.chat(model="gpt-9")
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        server.client.models.retrieve("gpt-9")
    assert server.request("GET", "/v1/nothing").status == 404
    for method, path, allow in (
        ("GET", "/v1/chat/completions", "POST"),
        ("OPTIONS", "/v1/completions", "POST"),
        ("DELETE", "/v1/models/tiny", "GET, HEAD"),
    ):
        reply = server.request(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allow)
        assert reply.json["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models"])
def test_head_is_get_without_the_body(server: Any, path: str) -> None:
    reply = server.request("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_a_body_that_says_it_is_too_long_is_not_waited_for(server: Any) -> None:
    reply = server.request("POST", "/v1/completions", b"", Content_Length=str(2**40))
    assert reply.status == 413
    assert str(2**40) in reply.json["error"]["message"]


def test_a_compressed_body_is_told_apart_from_bad_json(server: Any) -> None:
    body = gzip.compress(b'{"prompt": "a", "max_tokens": 1}')
    reply = server.request("POST", "/v1/completions", body, Content_Encoding="gzip")
    assert (reply.status, reply.json["error"]["code"]) == (415, "unsupported_media_type")
    assert "content-encoding: gzip" in reply.json["error"]["message"]


def test_a_key_guards_the_api(start: Any) -> None:
    server = start(api_key="secret")
    assert server.chat(max_tokens=1).usage.completion_tokens == 1
    for key in ("wrong", "ünlatin"):
        reply = server.request(
            "GET", "/v1/models", Authorization=f"Bearer {key}".encode().decode("latin-1")
        )
        assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key")
        assert reply.headers["www-authenticate"] == "Bearer"
    for given, status in (("bearer secret", 200), ("secret", 401), ("Basic secret", 401)):
        assert server.request("GET", "/v1/models", Authorization=given).status == status
    assert server.request("POST", "/v1/chat/completions", {}).status == 401
    assert server.request("GET", "/health").status == 200


def test_a_full_queue_says_when_to_come_back(start: Any, slow: Path) -> None:
    server = start(max_num_seqs=1, max_waiting=1, fault_plan=slow)
    running = server.complete(max_tokens=2000, stream=True)
    next(iter(running))  # it runs, so the next one waits
    thread = threading.Thread(target=server.complete)
    thread.start()
    server.wait_until(lambda: server.metric("vllm:num_requests_waiting") == 1)
    with pytest.raises(openai.RateLimitError) as raised:
        server.complete()
    assert raised.value.code == "queue_full"
    assert int(raised.value.response.headers["retry-after"]) >= 1
    running.close()
    thread.join(120)
    assert not thread.is_alive()

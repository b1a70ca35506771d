"""The official client as the oracle of shapes: every route, every field, whole and streamed.

The client validates each answer against its own types. Every field of a body has values here (a new
field without one fails the test), and what a stream adds up to is the whole answer. What a field
means is tested in the files beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from engine_under_test.server.protocol import ChatBody, CompletionBody, StreamOptions

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
NAMED = {"type": "function", "function": {"name": "now"}}
SHORT = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "short", "schema": SHORT}}
TOOLS: dict[str, Any] = {"tools": [WEATHER, NOW], "max_tokens": 400}
# Field -> bodies that use it. Values that cannot stand alone bring what they need.
BOTH: dict[str, list[dict[str, Any]]] = {
    "model": [{"model": "debug"}],
    "stream": [{}],  # every body is asked for whole and streamed
    "stream_options": [{}],  # has a test of its own below
    "n": [{"n": 3}],
    "seed": [{"seed": 2**62}, {"seed": -5}],
    "stop": [{"stop": "e"}, {"stop": ["e", "zz"]}],
    "stop_token_ids": [{"stop_token_ids": [101, 115]}],
    "temperature": [{"temperature": 0}, {"temperature": 1.7}],
    "top_p": [{"top_p": 0.4}],
    "top_k": [{"top_k": 5}],
    "min_p": [{"min_p": 0.2}],
    "presence_penalty": [{"presence_penalty": 1.5}],
    "frequency_penalty": [{"frequency_penalty": -1.5}],
    "repetition_penalty": [{"repetition_penalty": 1.3}],
    "logit_bias": [{"logit_bias": {"97": 50, "98": -100}}],
    "min_tokens": [{"min_tokens": 4}],
    "ignore_eos": [{"ignore_eos": True}],
    "priority": [{"priority": -3}],
    "cache_salt": [{"cache_salt": "mine"}],
    "response_format": [
        {"response_format": {"type": "text"}},
        {"response_format": FORMAT, "max_tokens": 200},
        {"response_format": {"type": "json_object", "schema": SHORT}, "max_tokens": 200},
    ],
    "max_tokens": [{"max_tokens": 3}],
}
CHAT: dict[str, list[dict[str, Any]]] = {
    **BOTH,
    "messages": [
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "parts"}]}]},
    ],
    "max_completion_tokens": [{"max_completion_tokens": 3}],
    "logprobs": [{"logprobs": True}],
    "top_logprobs": [{"logprobs": True, "top_logprobs": 4, "n": 2}],
    "add_generation_prompt": [{"add_generation_prompt": False}],
    "chat_template_kwargs": [{"chat_template_kwargs": {"style": "brief"}}],
    "tools": [{"tools": [WEATHER, NOW]}],
    "tool_choice": [
        {**TOOLS, "tool_choice": "required", "n": 2},
        {**TOOLS, "tool_choice": NAMED},
        {"tools": [WEATHER], "tool_choice": "none"},
        {
            **TOOLS,
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [NAMED]},
            },
        },
    ],
    "parallel_tool_calls": [{**TOOLS, "tool_choice": "required", "parallel_tool_calls": False}],
}
COMPLETION: dict[str, list[dict[str, Any]]] = {
    **BOTH,
    "prompt": [{"prompt": ["Once", "Twice"]}, {"prompt": [72, 105]}, {"prompt": [[72], [105, 1]]}],
    "logprobs": [{"logprobs": 3}],
    "echo": [{"echo": True}, {"echo": True, "max_tokens": 0}],
    "add_special_tokens": [{"add_special_tokens": False}],
}
STANDARD = {  # what the client takes by name; the rest goes into extra_body
    "model", "n", "seed", "stop", "temperature", "top_p", "presence_penalty", "frequency_penalty",
    "logit_bias", "max_tokens", "messages", "max_completion_tokens", "logprobs", "top_logprobs",
    "tools", "parallel_tool_calls", "prompt", "echo",
}  # fmt: skip


@pytest.fixture(scope="module")
def strict(server: Any) -> Iterator[openai.OpenAI]:
    """The official client, which takes nothing that is not of its own types."""
    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{server.port}/v1", api_key="unused", max_retries=0,
        _strict_response_validation=True,
    )  # fmt: skip
    yield client
    client.close()


def cases(table: dict[str, list[dict[str, Any]]]) -> list[Any]:
    rows = [(name, n, body) for name, bodies in table.items() for n, body in enumerate(bodies)]
    return [pytest.param(body, id=f"{name}-{n}") for name, n, body in rows]


def arguments(body: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """As the client wants them."""
    fields = {"model": "debug", "max_tokens": 12, "seed": 7, **defaults, **body}
    if "max_completion_tokens" in fields:
        del fields["max_tokens"]
    named = {k: v for k, v in fields.items() if k in STANDARD}
    rest = {k: v for k, v in fields.items() if k not in STANDARD}
    return {**named, **({"extra_body": rest} if rest else {})}


def test_every_field_of_every_body_has_values_here() -> None:
    assert set(CHAT) == set(ChatBody.model_fields)
    assert set(COMPLETION) == set(CompletionBody.model_fields)
    assert set(StreamOptions.model_fields) == {
        "include_usage", "continuous_usage_stats", "include_obfuscation",
    }  # fmt: skip


@pytest.mark.parametrize("body", cases(CHAT))
def test_a_chats_stream_adds_up_to_the_whole_answer(
    strict: openai.OpenAI, body: dict[str, Any]
) -> None:
    wanted = arguments(body, messages=[{"role": "user", "content": "Tell me a tale"}])
    whole = strict.chat.completions.create(**wanted)
    chunks = list(
        strict.chat.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )
    )
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    assert chunks[-1].choices == []
    told, ours = chunks[-1].usage, whole.usage
    assert told is not None
    assert ours is not None
    assert (told.prompt_tokens, told.completion_tokens) == (
        ours.prompt_tokens,
        ours.completion_tokens,
    )
    for choice in whole.choices:
        deltas = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert deltas[0].delta.role == "assistant"
        text = "".join(d.delta.content or "" for d in deltas)
        assert text == (choice.message.content or "")
        assert [d.finish_reason for d in deltas if d.finish_reason] == [choice.finish_reason]
        calls: dict[int, tuple[str, str]] = {}
        for piece in (p for d in deltas for p in d.delta.tool_calls or ()):
            assert piece.function is not None
            name, so_far = calls.get(piece.index, ("", ""))
            calls[piece.index] = (
                name + (piece.function.name or ""),
                so_far + (piece.function.arguments or ""),
            )
        assert list(calls.values()) == [
            (call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ]
        rows = [row for d in deltas if d.logprobs for row in d.logprobs.content or ()]
        assert rows == ((choice.logprobs and choice.logprobs.content) or [])


@pytest.mark.parametrize("body", cases(COMPLETION))
def test_a_completions_stream_adds_up_to_the_whole_answer(
    server: Any, strict: openai.OpenAI, body: dict[str, Any]
) -> None:
    wanted = arguments(body, prompt="Once")
    whole = strict.completions.create(**wanted)
    # Not by the strict client: its types know no null finish_reason, which OpenAI's chunks have.
    chunks = list(
        server.client.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    for choice in whole.choices:
        parts = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert "".join(p.text for p in parts) == choice.text
        assert [p.finish_reason for p in parts if p.finish_reason] == [choice.finish_reason]
        for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            streamed = [v for p in parts if p.logprobs for v in getattr(p.logprobs, field)]
            assert streamed == (getattr(choice.logprobs, field) if choice.logprobs else [])


@pytest.mark.parametrize("options", [{"include_usage": True, "include_obfuscation": True}, {}])
def test_usage_in_every_chunk_grows_to_the_last(
    strict: openai.OpenAI, options: dict[str, Any]
) -> None:
    chunks = list(
        strict.chat.completions.create(
            model="debug", messages=[{"role": "user", "content": "x"}], max_tokens=9, stream=True,
            stream_options={**options, "continuous_usage_stats": True},  # type: ignore[typeddict-unknown-key]
        )
    )  # fmt: skip
    counts = [c.usage.completion_tokens for c in chunks if c.usage is not None]
    assert len(counts) == len(chunks)
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 9)


def test_models_are_listed_and_found(strict: openai.OpenAI) -> None:
    (model,) = strict.models.list().data
    assert (model.id, model.object) == ("debug", "model")
    assert strict.models.retrieve("debug").id == "debug"
    with pytest.raises(openai.NotFoundError):
        strict.models.retrieve("other")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("audio/transcriptions", "POST"), ("responses", "POST"),
        ("batches", "GET"), ("chat/completions", "GET"), ("models", "POST"),
    ],
)  # fmt: skip
def test_what_is_no_route_says_so_in_openais_shape(server: Any, path: str, method: str) -> None:
    reply = server.request(method, f"/v1/{path}", {} if method == "POST" else None)
    error = reply.json["error"]
    assert reply.status in (404, 405)
    assert {"message", "type", "param", "code"} == set(error)

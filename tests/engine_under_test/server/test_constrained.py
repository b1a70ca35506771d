"""Constrained answers through the official client: forms of the request, streams, refusals."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest
from pydantic import BaseModel

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "maximum": 99}},
    "required": ["kind", "age"],
    "additionalProperties": False,
}
FORMATS = [
    {"type": "json_schema", "json_schema": {"name": "pet", "schema": SCHEMA, "strict": True}},
    {"type": "json_object", "schema": SCHEMA},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"enum": [1, 22]}, "b": {"type": "boolean"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
TOOLS = [WEATHER, ADD, NOW]
PARAMETERS = {t["function"]["name"]: t["function"].get("parameters") for t in TOOLS}


def check_calls(calls: Any) -> list[str]:
    """Names of the calls; their arguments validate."""
    for call in calls:
        assert call.type == "function"
        assert call.id.startswith("call_")
        schema = PARAMETERS[call.function.name] or {"const": {}}
        jsonschema.validate(json.loads(call.function.arguments), schema)
    return [call.function.name for call in calls]


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("is_streaming", [False, True])
def test_an_answer_has_the_schema_in_either_spelling(
    server: Any, wanted: dict[str, Any], is_streaming: bool
) -> None:
    fields = {"response_format": wanted, "max_tokens": 200, "n": 3}
    whole = server.chat(**fields)
    assert len({c.message.content for c in whole.choices}) > 1
    for choice in whole.choices:
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)
    if is_streaming:
        texts = ["", "", ""]
        for chunk in server.chat(**fields, stream=True):
            (choice,) = chunk.choices
            texts[choice.index] += choice.delta.content or ""
        assert texts == [c.message.content for c in whole.choices]


def test_any_object_is_a_json_object(server: Any) -> None:
    """Random weights babble, so most answers are cut; a cut one says so and is no object yet."""
    wanted = {"type": "json_object"}
    answer = server.chat(response_format=wanted, n=8, max_tokens=60, temperature=2.0)
    reasons = [c.finish_reason for c in answer.choices]
    for choice in answer.choices:
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict)
        else:
            assert choice.finish_reason == "length"
            assert choice.message.content.lstrip().startswith("{")
    assert "stop" in reasons


def test_text_completions_take_a_schema_too(server: Any) -> None:
    answer = server.complete(max_tokens=200, extra_body={"response_format": FORMATS[0]})
    jsonschema.validate(json.loads(answer.choices[0].text), SCHEMA)


def test_the_clients_own_parser_reads_the_answer(server: Any) -> None:
    class Pet(BaseModel):
        kind: str
        is_old: bool

    answer = server.client.chat.completions.parse(
        model="debug",
        messages=[{"role": "user", "content": "a pet"}],
        response_format=Pet,
        max_tokens=400,
        logit_bias={str(ord('"')): 20},
        seed=1,
    )
    assert isinstance(answer.choices[0].message.parsed, Pet)


@pytest.mark.parametrize("is_parallel", [True, False])
def test_required_calls_are_valid_calls_of_any_function(server: Any, is_parallel: bool) -> None:
    answer = server.chat(
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=is_parallel,
        n=8,
        max_tokens=600,
        temperature=1.5,
    )
    counts, names = set(), set()
    for choice in answer.choices:
        assert choice.message.content is None
        assert choice.finish_reason in ("tool_calls", "length")
        if choice.finish_reason == "tool_calls":
            found = check_calls(choice.message.tool_calls)
            counts.add(len(found))
            names |= set(found)
    assert counts == {1} if not is_parallel else max(counts) > 1
    assert len(names) > 1


@pytest.mark.parametrize("name", ["get_weather", "now"])
def test_a_named_function_is_called_once(server: Any, name: str) -> None:
    choice = {"type": "function", "function": {"name": name}}
    answer = server.chat(tools=TOOLS, tool_choice=choice, max_tokens=300)
    assert check_calls(answer.choices[0].message.tool_calls) == [name]
    assert answer.choices[0].finish_reason == "tool_calls"


def test_streamed_calls_assemble_by_index(server: Any) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required", "max_tokens": 1900, "seed": 2}
    fields["logit_bias"] = {str(ord("<")): 3}  # one call is followed by another
    whole = server.chat(**fields).choices[0].message
    with server.client.chat.completions.stream(
        model="debug", messages=[{"role": "user", "content": "Tell me a tale"}], **fields
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert kinds.count("tool_calls.function.arguments.done") == len(whole.tool_calls) >= 2
    assert kinds.count("tool_calls.function.arguments.delta") > len(whole.tool_calls)
    for streamed, known in zip(message.tool_calls, whole.tool_calls, strict=True):
        assert streamed.function.name == known.function.name
        assert streamed.function.arguments == known.function.arguments
    check_calls(message.tool_calls)


def test_none_hides_the_tools_and_auto_leaves_the_model_free(server: Any) -> None:
    plain = server.chat()
    hidden = server.chat(tools=TOOLS, tool_choice="none")
    assert hidden.choices[0].message.content == plain.choices[0].message.content
    assert hidden.usage.prompt_tokens == plain.usage.prompt_tokens
    free = server.chat(tools=TOOLS)
    assert free.choices[0].message.content  # random weights write no calls


def test_auto_with_a_schema_answers_or_calls(server: Any) -> None:
    answer = server.chat(tools=TOOLS, response_format=FORMATS[0], n=16, max_tokens=600)
    kinds = set()
    for choice in answer.choices:
        if choice.finish_reason == "tool_calls":
            kinds.add("call")
            check_calls(choice.message.tool_calls)
        elif choice.finish_reason == "stop":
            kinds.add("answer")
            jsonschema.validate(json.loads(choice.message.content), SCHEMA)
    assert kinds == {"call", "answer"}


@pytest.mark.parametrize("max_tokens", [1, 5, 12])
def test_an_answer_cut_by_its_limit_says_length(server: Any, max_tokens: int) -> None:
    answer = server.chat(response_format=FORMATS[0], max_tokens=max_tokens)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == max_tokens
    cut = server.chat(tools=TOOLS, tool_choice="required", max_tokens=max_tokens + 30)
    assert cut.choices[0].finish_reason in ("length", "tool_calls")


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (
            {"response_format": {"type": "json_object", "schema": {"not": {}}}},
            "response_format",
            "'not' is not supported",
        ),
        (
            {"response_format": {"type": "json_object", "schema": {"type": "x"}}},
            "response_format",
            "no valid JSON schema",
        ),
        (
            {"response_format": {"type": "json_object", "schema": {"$ref": "http://x/y"}}},
            "response_format",
            "http://x/y",
        ),
        (
            {
                "tool_choice": "required",
                "tools": [
                    NOW,
                    {
                        "type": "function",
                        "function": {"name": "f", "parameters": {"if": {}, "type": "object"}},
                    },
                ],
            },
            "tools",
            "tools.1.function.parameters",
        ),
        ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format", "'grammar'"),
        ({"response_format": {}}, "response_format", "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "must be a JSON schema"),
        ({"tool_choice": "required"}, "tool_choice", "there are none"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "zap"}}},
            "tool_choice",
            "'zap'",
        ),
        ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice", "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "tool_choice"),
        (
            {
                "tools": TOOLS,
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "zap"}}],
                    },
                },
            },
            "tool_choice",
            "'zap'",
        ),
    ],
)
@pytest.mark.parametrize("is_streaming", [False, True])
def test_what_cannot_be_kept_is_a_400_that_names_it(
    server: Any, fields: dict[str, Any], param: str, message: str, is_streaming: bool
) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], **fields, "stream": is_streaming}
    reply = server.request("POST", "/v1/chat/completions", body)
    assert reply.status == 400, reply.body
    assert reply.json["error"]["param"] == param
    assert message in reply.json["error"]["message"]
    assert len(reply.json["error"]["message"]) < 600


@pytest.mark.parametrize("fields", [{"ignore_eos": True}, {"min_tokens": 190}])
def test_a_complete_json_answer_ends_whatever_length_was_asked(
    server: Any, fields: dict[str, Any]
) -> None:
    """The end is withheld only while the grammar leaves anything else to write."""
    answer = server.chat(response_format=FORMATS[0], max_tokens=200, n=3, extra_body=fields)
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)


def test_an_end_is_withheld_where_the_grammar_leaves_a_choice(server: Any) -> None:
    """One digit would do; ten are demanded, or as many as fit."""
    number = {"type": "json_object", "schema": {"type": "integer"}}
    ends = {str(i): 100 for i in server.state.model.eos_ids or server.state.tokenizer.eos_ids}
    short = server.chat(response_format=number, max_tokens=30, logit_bias=ends)
    assert short.usage.completion_tokens <= 3
    for fields, least in (({"min_tokens": 10}, 10), ({"ignore_eos": True}, 30)):
        answer = server.chat(
            response_format=number, max_tokens=30, logit_bias=ends, extra_body=fields
        )
        assert answer.usage.completion_tokens >= least
        assert isinstance(json.loads(answer.choices[0].message.content), int)
    # Offered tools leave the text free, so it goes on for as long as was asked.
    free = server.chat(tools=TOOLS, max_tokens=30, extra_body={"ignore_eos": True})
    assert (free.usage.completion_tokens, free.choices[0].finish_reason) == (30, "length")


@pytest.mark.parametrize("is_streaming", [False, True])
def test_stops_cut_no_answer_that_is_bound_and_no_call(server: Any, is_streaming: bool) -> None:
    """Neither strings nor tokens; in free text they end it as ever."""
    ids = server.state.tokenizer.encode('":{}')
    stops: dict[str, Any] = {"stop": ['"', ":", "kind"], "extra_body": {"stop_token_ids": ids}}
    fields = {"response_format": FORMATS[0], "max_tokens": 200}
    whole = server.chat(**fields).choices[0].message.content
    if is_streaming:
        chunks = list(server.chat(**fields, **stops, stream=True))
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        (choice,) = server.chat(**fields, **stops).choices
        text, reason = choice.message.content, choice.finish_reason
    assert (text, reason) == (whole, "stop")
    jsonschema.validate(json.loads(text), SCHEMA)
    calls = server.chat(tools=TOOLS, tool_choice="required", max_tokens=1500, seed=4, **stops)
    if calls.choices[0].finish_reason == "tool_calls":
        check_calls(calls.choices[0].message.tool_calls)
    letter = server.chat(tools=TOOLS, max_tokens=40, temperature=0).choices[0].message.content[4]
    cut = server.chat(tools=TOOLS, max_tokens=40, temperature=0, stop=[letter]).choices[0]
    assert (cut.finish_reason, letter in cut.message.content) == ("stop", False)


def test_refused_schemas_leave_nothing_behind(start: Any) -> None:
    server = start(max_waiting=2)
    bad = {"type": "json_object", "schema": {"uniqueItems": True}}
    for _ in range(6):
        with pytest.raises(openai.BadRequestError, match="uniqueItems") as raised:
            server.chat(response_format=bad, n=2)
        assert raised.value.code == "unsupported_schema"
    assert server.metric("vllm:num_requests_waiting") == 0
    assert server.state.engine.num_live == 0
    assert server.chat(response_format=FORMATS[0], max_tokens=200).choices[0].message.content

"""Tool calls come out of the stream the same however it was cut, and no text is ever lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_under_test.request import FinishReason, Request, RequestOutput, SamplingParams
from engine_under_test.server.chat import ToolChatDialect
from engine_under_test.server.sequence import Sequence
from engine_under_test.server.sse import Envelope
from engine_under_test.server.tools import (
    CLOSE,
    OPEN,
    CallDelta,
    StopsOutsideCalls,
    ToolCallParser,
)

CALL = OPEN + '{"name": "get_weather", "arguments": {"city": "Köln", "note": "a } \\" b"}}' + CLOSE
OTHER = OPEN + '{"name": "add", "arguments": {"a": [1, {"b": 2}]}}' + CLOSE


def _parse(pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """Content, and (name, arguments) of each call."""
    parser, content, calls = ToolCallParser(), "", []
    for parts in [*map(parser.push, pieces), parser.flush()]:
        content += parts.content
        for delta in parts.calls:
            if delta.name is not None:
                assert delta.index == len(calls)
                calls.append((delta.name, ""))
            name, so_far = calls[delta.index]
            calls[delta.index] = (name, so_far + delta.arguments)
    assert parser.num_calls == len(calls)
    return content, calls


@pytest.mark.parametrize(
    ("text", "content", "names"),
    [
        (CALL, "", ["get_weather"]),
        ("Let me see.\n" + CALL, "Let me see.\n", ["get_weather"]),
        (CALL + "\n" + OTHER, "", ["get_weather", "add"]),
        (CALL + " and then?", "and then?", ["get_weather"]),
        ("1 < 2 <tool", "1 < 2 <tool", []),
        (OPEN + "not json" + CLOSE + "!", OPEN + "not json" + CLOSE + "!", []),
        (OPEN + '{"name": "cut', OPEN + '{"name": "cut', []),
        ("<<tool_call>", "<<tool_call>", []),
    ],
)
def test_calls_and_text_are_told_apart_under_every_cut(
    text: str, content: str, names: list[str]
) -> None:
    for size in (1, 2, 3, 7, len(text)):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        found, calls = _parse(pieces)
        assert found == content
        assert [name for name, _ in calls] == names
        assert calls == _parse([text])[1]  # to the character: no space before the arguments


def test_arguments_are_the_models_own_json() -> None:
    _, calls = _parse(list(CALL + OTHER))
    assert json.loads(calls[0][1]) == {"city": "Köln", "note": 'a } " b'}
    assert json.loads(calls[1][1]) == {"a": [1, {"b": 2}]}


def test_arguments_stream_as_they_come() -> None:
    parser = ToolCallParser()
    assert parser.push(OPEN + '{"name": "f", "argu').calls == []
    assert [d.name for d in parser.push('ments": {"x"').calls] == ["f", None]
    assert parser.push(": 1").calls == [CallDelta(0, None, ": 1")]
    assert parser.push("}}").calls == [CallDelta(0, None, "}")]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.integers(1, 9),
)
def test_any_json_value_is_carried_whole(value: object, size: int) -> None:
    text = f"{OPEN}{json.dumps({'name': 'f', 'arguments': value})}{CLOSE}"
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    content, calls = _parse(pieces)
    assert content == ""
    assert json.loads(calls[0][1]) == value


@given(st.text('<tool_cal>/{}" x', max_size=60), st.integers(1, 9))
def test_text_without_a_call_passes_unchanged(text: str, size: int) -> None:
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert _parse(pieces) == (text, [])


@pytest.mark.parametrize(
    ("stops", "shown", "stop"),
    [
        (["Köln", "}"], "Let me see.\n" + CALL + " so } it", "}"),  # the first outside
        (["see"], "Let me ", "see"),
        (["<tool"], "Let me see.\n" + CALL + " so } it is", None),  # the bracket is none of it
        (["zzz"], "Let me see.\n" + CALL + " so } it is", None),
        ([" is"], "Let me see.\n" + CALL + " so } it", " is"),
    ],
)
def test_stops_are_looked_for_outside_calls_under_every_cut(
    stops: list[str], shown: str, stop: str | None
) -> None:
    text = "Let me see.\n" + CALL + " so } it is"
    if stop == "}":
        shown = shown.removesuffix("} it")
    for size in (1, 2, 3, 7, len(text)):
        checker, out, found = StopsOutsideCalls(stops), "", None
        for i in range(0, len(text), size):
            match = checker.push(text[i : i + size])
            out, found = out + match.text, match.stop
            if found is not None:
                break
        else:
            out += checker.flush()
        assert (out, found) == (shown, stop)


@pytest.mark.parametrize("is_streaming", [False, True])
def test_the_api_words_calls_as_openai_does(server: Any, is_streaming: bool) -> None:
    text = "See: " + CALL + "\n" + OTHER
    tokenizer = server.state.tokenizer
    sequence = Sequence(Request("r", [1], SamplingParams()), 0, tokenizer, [])
    dialect = ToolChatDialect(Envelope("chatcmpl", "debug"), tokenizer)
    ids = tokenizer.encode(text)
    outputs = [RequestOutput("r", [i]) for i in ids]
    marker = RequestOutput("r", tokenizer.encode("<|im_end|>"), finish_reason=FinishReason.STOP)
    deltas = [sequence.push(o, 0) for o in [*outputs, marker]]
    if is_streaming:
        events = "".join(dialect.chunk(sequence, d, None) for d in deltas)
        chunks = [json.loads(e[6:])["choices"][0] for e in events.split("\n\n") if e]
        content = "".join(c["delta"].get("content", "") for c in chunks)
        pieces = [p for c in chunks for p in c["delta"].get("tool_calls", [])]
        names = [p["function"]["name"] for p in pieces if "name" in p["function"]]
        arguments = ["", ""]
        for piece in pieces:
            arguments[piece["index"]] += piece["function"]["arguments"]
        reason = chunks[-1]["finish_reason"]
    else:
        choice = dialect.whole([sequence], {})["choices"][0]
        content, calls = choice["message"]["content"], choice["message"]["tool_calls"]
        names = [c["function"]["name"] for c in calls]
        arguments = [c["function"]["arguments"] for c in calls]
        reason = choice["finish_reason"]
    assert (content, names, reason) == ("See: ", ["get_weather", "add"], "tool_calls")
    assert json.loads(arguments[1]) == {"a": [1, {"b": 2}]}


def test_a_request_with_tools_is_served(server: Any) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    answer = server.chat(tools=[tool], tool_choice="auto")
    assert answer.usage.completion_tokens == 12
    assert answer.choices[0].message.content  # random weights write no calls

"""What counts as a valid call or document, and at which chunk a call was whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.load.answer import Answer
from harness.load.dialects import DIALECTS
from harness.load.expectations import Document, Fitness, ToolCalls
from harness.load.sse import read_events

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "o": {"type": "object"}},
                "required": ["a"],
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]
SCHEMA = {"type": "object", "properties": {"n": {"maximum": 5}}, "required": ["n"]}


def answer(*deltas: dict[str, Any], finish: str = "tool_calls") -> Answer:
    """One chunk a delta, then the finish chunk."""
    chunks = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    body = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"
    found = Answer(DIALECTS["chat"], keep_text=True)
    found.feed(read_events(bytearray(body.encode()), 0, is_final=True), lambda: None)
    return found


def part(index: int | None, arguments: str = "", name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    call: dict[str, Any] = {"function": function}
    return {"tool_calls": [call | ({"index": index} if index is not None else {})]}


def judge(*deltas: dict[str, Any], finish: str = "tool_calls") -> Fitness:
    return ToolCalls(TOOLS, True).judge(answer(*deltas, finish=finish))


def test_stamps_are_of_the_first_argument_and_of_the_first_whole_call() -> None:
    found = judge(
        {"content": "Let me see."},
        part(0, name="add"),
        part(0, '{"o": {}'),  # a closing brace that closes something else
        part(0, ', "a": '),
        part(0, "12}"),
        part(1, "{}", name="now"),
    )
    assert found == Fitness(True, "", first_argument=2, call_done=4)


def test_calls_interleave_by_index_and_the_first_valid_one_counts() -> None:
    found = judge(part(0, '{"a": ', "add"), part(1, "{", "now"), part(1, "}"), part(0, "1}"))
    assert found == Fitness(True, "", 0, 2)


@pytest.mark.parametrize(
    ("deltas", "reason"),
    [
        ([], "holds no tool call"),
        ([{"content": "no"}], "holds no tool call"),
        ([part(0, "{}", "zap")], "call 0: a function that was not offered"),
        ([part(0, '{"a": 1', "add")], "call 0: the arguments are not JSON"),
        ([part(0, '{"a": NaN}', "add")], "call 0: the arguments are not JSON"),
        ([part(0, "[1]", "add")], "call 0: the arguments are no object"),
        ([part(0, '{"a": "secret"}', "add")], "break the schema: 'type' at $.a"),
        (
            [part(0, '{"a": 1}', "add"), part(1, "{}", "add")],
            "call 1: the arguments break the schema: 'required' at $",
        ),
    ],
)
def test_each_fault_is_named_without_a_word_of_the_model(
    deltas: list[dict[str, Any]], reason: str
) -> None:
    found = judge(*deltas)
    assert found.is_fit is False
    assert reason in found.reason
    assert "secret" not in found.reason


def test_one_bad_call_spoils_the_answer_but_not_the_time_of_the_good_one() -> None:
    found = judge(part(0, "{}", "zap"), part(1, '{"a": 1}', "add"))
    assert (found.is_fit, found.first_argument, found.call_done) == (False, 0, 1)


def test_a_cut_answer_is_unfit_and_says_so() -> None:
    found = judge(part(0, '{"a": 1}', "add"), finish="length")
    assert (found.is_fit, found.call_done) == (False, 0)
    assert found.reason == "the answer was cut: finish_reason length"


def test_a_whole_message_without_indices_and_the_old_form_are_read() -> None:
    both = {
        "tool_calls": [
            part(None, "{}", "now")["tool_calls"][0],
            *part(None, '{"a":1}', "add")["tool_calls"],
        ]
    }
    assert judge(both) == Fitness(True, "", 0, 0)
    old = {"function_call": {"name": "now", "arguments": "{}"}}
    assert judge(old, finish="function_call").is_fit is True


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ('{"n": 3}', "stop", ""),
        ('  {"n": 3}\n', "stop", ""),
        ('{"n": 7}', "stop", "breaks the schema: 'maximum' at $.n"),
        ('{"n": ', "stop", "the answer is not JSON"),
        ('```json\n{"n": 3}```', "stop", "the answer is not JSON"),
        ('{"n": 3}', "length", "the answer was cut"),
    ],
)
def test_documents(text: str, finish: str, reason: str) -> None:
    pieces = [{"content": text[i : i + 3]} for i in range(0, len(text), 3)]
    found = Document(SCHEMA).judge(answer(*pieces, finish=finish))
    assert found.is_fit is (reason == "")
    assert reason in found.reason

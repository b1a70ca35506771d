"""What streams say: token-bearing chunks by kind, usage wherever it comes, errors, end marks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.load.answer import Answer
from harness.load.dialects import DIALECTS
from harness.load.sse import read_events


def chat(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    return line({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


def line(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def read(*parts: bytes, api: str = "chat", keep: bool = True) -> Answer:
    answer = Answer(DIALECTS[api], keep)
    answer.feed(read_events(b"".join(parts)), lambda: None)
    return answer


def test_role_only_and_empty_deltas_are_no_tokens() -> None:
    answer = read(chat({"role": "assistant", "content": ""}), chat({"content": "hi"}), DONE)
    assert answer.chunk_bytes == [2]
    assert answer.num_events == 3
    assert answer.first_visible == 0


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_told_beside_text_is_read_whether_the_text_is_kept_or_not(keep: bool) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    answer = read(
        chat({"content": "a"}, perf_metrics={"queue": 1}),
        chat({"content": "b"}, x_groq={"usage": usage}), chat({"content": "c"}, timings={"n": 1}),
        keep=keep,
    )  # fmt: skip
    assert len(answer.chunk_end) == 3
    assert (answer.perf_metrics, answer.timings) == ({"queue": 1}, {"n": 1})
    assert answer.usage == usage


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_a_token_but_not_visible(name: str) -> None:
    answer = read(chat({name: "hm"}), chat({"content": "yes", name: None}), chat({}, "stop"), DONE)
    assert len(answer.chunk_end) == 2
    assert answer.first_visible == 1
    assert answer.num_hidden_bytes == 2
    assert ("".join(answer.visible), "".join(answer.hidden)) == ("yes", "hm")


def test_tool_calls_only() -> None:
    call = {"index": 0, "function": {"name": "get", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"a":1}'}}
    answer = read(chat({"tool_calls": [call]}), chat({"tool_calls": [more]}, "tool_calls"), DONE)
    assert answer.chunk_bytes == [3, 7]
    assert answer.first_visible == -1
    assert answer.first_call == 0
    assert answer.finish == "tool_calls"


def test_refusal_is_visible() -> None:
    assert read(chat({"refusal": "no"})).first_visible == 0


def test_completions_text() -> None:
    answer = read(
        line({"choices": [{"text": "ab", "finish_reason": None}]}),
        line({"choices": [{"text": "", "finish_reason": "length"}]}), DONE, api="completions",
    )  # fmt: skip
    assert answer.chunk_bytes == [2]
    assert answer.finish == "length"


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([chat({"content": "a"}, "stop", usage=USAGE), DONE], USAGE),  # in the finish chunk
        ([chat({"content": "a"}, "stop"), line({"choices": [], "usage": USAGE}), DONE], USAGE),
        ([chat({"content": "a"}, "stop", usage=None), DONE], None),
        ([chat({"content": "a"}, "stop"), DONE], None),
        # after the end mark: counted as an event, not read
        ([chat({"content": "a"}, "stop"), DONE, line({"choices": [], "usage": USAGE})], None),
    ],
)
def test_usage_wherever_it_comes(parts: list[bytes], expected: dict[str, int] | None) -> None:
    answer = read(*parts)
    assert answer.usage == expected
    assert answer.num_events == len(parts)


def test_usage_in_every_chunk_is_kept_by_chunk() -> None:
    steps = [chat({"content": "x"}, usage=USAGE | {"completion_tokens": k}) for k in (1, 4, 5)]
    answer = read(*steps, chat({}, "stop"), DONE)
    assert answer.chunk_usage == [1, 4, 5]
    assert answer.num_usage == 3


def test_error_object_and_error_event() -> None:
    assert read(chat({"content": "a"}), line({"error": {"message": "boom"}})).error == {
        "message": "boom"
    }
    assert read(b"event: error\ndata: plain words\n\n").error == "plain words"


def test_bad_events_are_counted_and_the_rest_is_read() -> None:
    answer = read(chat({"content": "a"}), b"data: {oops\n\n", chat({"content": "b"}, "stop"))
    assert answer.num_bad == 1
    assert answer.chunk_bytes == [1, 1]


def test_an_event_that_joins_to_valid_json_is_still_bad() -> None:
    # `1,2` alone is no JSON value, but joined with commas it would make two
    answer = read(b"data: {},{}\n\n", chat({"content": "a"}, "stop"))
    assert answer.num_bad == 1
    assert answer.chunk_bytes == [1]


def test_invalid_utf8_is_bad_and_split_utf8_is_whole() -> None:
    assert read(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n').num_bad == 1
    answer = read(line({"choices": [{"delta": {"content": "€"}}]}))
    assert answer.chunk_bytes == [3]


@pytest.mark.parametrize("event", [{"choices": "x"}, {"choices": [3]}, {"choices": [{"delta": 7}]}])
def test_other_shapes_are_bad_not_fatal(event: dict[str, Any]) -> None:
    assert read(line(event)).num_bad == 1


def test_fed_in_parts_it_is_the_same() -> None:
    body = b"".join(chat({"content": "w" * (k % 5)}) for k in range(300)) + DONE
    whole, parts = Answer(DIALECTS["chat"], False), Answer(DIALECTS["chat"], False)
    whole.feed(read_events(body), lambda: None)
    base = 0
    for stop in range(0, len(body) + 999, 999):
        events = read_events(body[base:stop], base, is_final=stop >= len(body))
        parts.feed(events, lambda: None)
        base += events.consumed
    assert parts.chunk_end == whole.chunk_end
    assert parts.has_done_mark

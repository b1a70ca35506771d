"""Shapes are a short cut: an answer read with them is the answer read without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.answer import Answer
from harness.load.dialects.chat import Chat
from harness.load.shapes import MOST_LEARNT, MOST_SHAPES, Shapes
from harness.load.sse import Events

TEXT_PATH = ("choices", 0, "delta", "content")
FIELDS = [
    "chunk_end", "chunk_bytes", "chunk_usage", "event_end", "first_visible", "first_call",
    "num_hidden_bytes", "num_bad", "finish", "has_done_mark", "usage", "timings", "perf_metrics",
    "error", "num_usage",
]  # fmt: skip


class NoShapes(Shapes):
    def learn(self, event: bytes) -> None:
        return


def event(text: Any = "hi", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "c-1", "choices": [choice | more.pop("choice", {})], **more}


def read(streams: list[list[bytes]], shapes: Shapes, cut: int = 1_000) -> Iterator[Answer]:
    """Streams one after the other, each fed in parts of `cut` events, with what shapes learn."""
    dialect = Chat()
    dialect.shapes = shapes
    for stream in streams:
        answer = Answer(dialect, keep_text=False)
        for at in range(0, len(stream), cut):
            part = stream[at : at + cut]
            answer.feed(Events(part, list(range(at, at + len(part)))), lambda: None)
        yield answer


def both(streams: list[list[bytes]], cut: int = 1_000) -> None:
    known, unknown = Shapes(TEXT_PATH), NoShapes(TEXT_PATH)
    pairs = zip(read(streams, known, cut), read(streams, unknown, cut), strict=True)
    for quick, slow in pairs:
        for name in FIELDS:
            assert getattr(quick, name) == getattr(slow, name), name


texts = st.text(max_size=6) | st.sampled_from(
    [" hello", 'a "quote"', "line\n", "\\", "é", "\ud83d"]
)
usages = st.none() | st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(0, 30) | st.just(2.0)}
)
values = st.one_of(
    st.builds(event, texts),
    st.builds(lambda t, u: event(t, usage=u), texts, usages),
    st.builds(lambda f: event("z", choice={"finish_reason": f}), st.sampled_from(["", "stop"])),
    st.builds(lambda n: event("x", choice={"index": n}), st.integers(-1, 3)),
    st.builds(lambda t: event(t, choice={"delta": {"role": "assistant", "content": t}}), texts),
    st.builds(lambda t: event(t, choice={"delta": {"reasoning_content": t}}), texts),
    st.builds(lambda x: event("y", x={"logprob": x, "k": [x, "s", True]}), st.floats(-9, 9)),
    st.builds(lambda t: event(t, error=None), texts),
    st.just({"choices": [], "usage": {"completion_tokens": 5}}),
    st.just({"error": {"message": "no"}}),
)  # fmt: skip


def encode(value: dict[str, Any], is_ascii: bool, is_wide: bool) -> bytes:
    separators = (", ", ": ") if is_wide else (",", ":")
    text = json.dumps(value, ensure_ascii=is_ascii, separators=separators)
    return text.encode("utf-8", "surrogatepass")


events = st.builds(encode, values, st.booleans(), st.booleans()) | st.sampled_from(
    [b"[DONE]", b"", b"{", b"null", b'{"id":"c-1"}', b'{"choices":[{"delta":{"content":"\xff"}}]}',
     b'{"id":"c-1","choices":[{"index":0,"delta":{"content":"\xff"},"finish_reason":null}]}',
     b'{"id":"c-1","choices":[{"index":00,"delta":{"content":"a"},"finish_reason":null}]}',
     b'{"id":"\xe2\x82","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}']
)  # fmt: skip


@given(st.lists(st.lists(events, max_size=12), max_size=6), st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_any_streams_read_the_same_with_shapes_and_without(
    streams: list[list[bytes]], cut: int
) -> None:
    both(streams, cut)


def test_shapes_are_used_at_all() -> None:
    shapes = Shapes(TEXT_PATH)
    stream = [json.dumps(event(word, created=7)).encode() for word in ("one", "two")]
    assert shapes.find(stream[0]) is None
    list(read([stream], shapes))
    shape = shapes.find(stream[1])
    assert shape is not None
    texts = shape.read(stream)
    assert texts is not None
    assert texts.sizes == [3, 3]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda good: good.replace(b'"two"', b'"two'),
        lambda good: b"x" + good,
        lambda good: good + b"x",
        lambda good: good + b"\n" + good,  # one event of two lines
        lambda good: good.replace(b"two", b"tw\xff"),
        lambda good: good.replace(b"two", rb"tw\q"),
        lambda good: good.replace(b"two", rb"\u12"),
    ],
)
def test_a_run_with_one_event_that_is_none_is_not_read_as_one(
    spoilt: Callable[[bytes], bytes],
) -> None:
    shapes = Shapes(TEXT_PATH)
    good = [json.dumps(event(word)).encode() for word in ("one", "two", "three")]
    list(read([good], shapes))
    shape = shapes.find(good[0])
    assert shape is not None
    assert shape.read(good) is not None
    assert shape.read([good[0], spoilt(good[1]), good[2]]) is None
    both([good, [good[0], spoilt(good[1]), good[2]]], 2)


@pytest.mark.parametrize("odd", [b"[DONE]", b"{", json.dumps(event("")).encode()])
@pytest.mark.parametrize("place", [0, 1, 40, 63, 64, 99])
def test_one_odd_event_in_a_long_run_changes_nothing(odd: bytes, place: int) -> None:
    good = [json.dumps(event(f"w{k}")).encode() for k in range(100)]
    both([good, [*good[:place], odd, *good[place:]]])


def test_escapes_are_counted_as_what_they_stand_for() -> None:
    shapes = Shapes(TEXT_PATH)
    texts = ("plain", 'a "b"\n', "é", "\U0001f600", "\ud800")
    stream = [json.dumps(event(text)).encode() for text in ("one", *texts)]
    first, second = read([stream] * 2, shapes)
    assert first.chunk_bytes == second.chunk_bytes
    assert second.chunk_bytes == [3, 5, 6, 2, 4, 1]


def test_a_cumulative_count_is_told_and_the_last_usage_kept() -> None:
    shapes = Shapes(TEXT_PATH)
    streams = [
        [json.dumps(event("w", usage={"completion_tokens": n, "prompt_tokens": 3})).encode()
         for n in (1, 2, 5)]
    ] * 2  # fmt: skip
    first, second = read(streams, shapes)
    assert first.chunk_usage == second.chunk_usage == [1, 2, 5]
    assert second.usage == {"completion_tokens": 5, "prompt_tokens": 3}
    assert second.num_usage == 3


@pytest.mark.parametrize(
    "spelled",
    [
        event("a", choice={"finish_reason": "stop"}),
        event("a", x=0.5),
        event("a", x=-1),
        {"choices": [{"delta": {"role": "assistant"}, "finish_reason": None}]},
    ],
)
def test_what_may_mean_something_else_is_no_shape(spelled: dict[str, Any]) -> None:
    shapes = Shapes(TEXT_PATH)
    raw = json.dumps(spelled).encode()
    shapes.learn(raw)
    assert shapes.find(raw) is None


def test_memory_and_effort_are_bounded() -> None:
    shapes = Shapes(TEXT_PATH)
    spelled = [json.dumps(event("a") | {f"k{n}": 1}).encode() for n in range(MOST_LEARNT + 1)]
    for raw in spelled:
        shapes.learn(raw)
    assert [n for n, raw in enumerate(spelled) if shapes.find(raw)] == list(
        range(MOST_LEARNT - MOST_SHAPES, MOST_LEARNT)
    )

"""From bytes and stamps to a row: which stamp an event has, what is uncertain, token counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from harness.load.bodies import ClassPlan
from harness.load.clock import Axis
from harness.load.dialects import DIALECTS
from harness.load.exchange import Arrival, Exchange, Limits
from harness.load.record import Record, RecordContext, absorb, make_records

MS = 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Clocks:
    """REALTIME equals MONOTONIC, so that kernel stamps in these tests are on the axis."""

    now_ns = 1

    def read(self) -> int:
        return self.now_ns


def token(text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


def no_breath() -> None:
    """Nothing else runs."""


class Stream:
    """Feeds an exchange as the connection does: bytes, kernel stamp, read, poll before."""

    def __init__(self) -> None:
        plan = ClassPlan("chat", DIALECTS["chat"], "m", b"", ())
        arrival = Arrival(0, 3, 3, 1 * MS, "measured")
        self.exchange = Exchange(_Owner(), arrival, plan, None, "id")  # type: ignore[arg-type]
        self.exchange.sent_ns = self.exchange.released_ns = 2 * MS
        self.exchange.head_row = 0
        self.exchange.asked_out = 8

    def receive(self, data: bytes, kernel_ms: float, user_ms: float, poll_ms: float) -> None:
        reader = self.exchange.reader
        reader.feed(data)
        offset = reader.body_base + len(reader.body)
        stamps = (int(kernel_ms * MS), int(user_ms * MS), int(poll_ms * MS), offset)
        self.exchange.receives.extend(stamps)

    def chunk(self, data: bytes, kernel_ms: float, user_ms: float, poll_ms: float) -> None:
        self.receive(b"%x\r\n%s\r\n" % (len(data), data), kernel_ms, user_ms, poll_ms)

    def row(self, **context: Any) -> dict[str, Any]:
        return self.record(**context).row

    def record(self, **context: Any) -> Record:
        self.exchange.end_ns = self.exchange.end_ns or 999 * MS
        clocks = Clocks()
        axis = Axis(clocks.read, clocks.read, clocks.read)
        made = RecordContext("run", 0, "it", 0, axis, **context)
        absorb(self.exchange, made, no_breath, is_final=True)
        return next(make_records([self.exchange], made, no_breath, lambda _: ""))


class _Owner:
    limits = Limits(1.0, 1.0, 100 * MS, 50 * MS, 1000 * MS)


@pytest.mark.parametrize(
    ("head", "end_ms"),
    [
        (HEAD, 40),
        (HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 40),
        (HEAD.replace(b"Transfer-Encoding: chunked", b"Connection: close"), 999),
    ],
)
def test_an_answer_ends_with_its_last_byte_unless_the_connection_must_tell(
    head: bytes, end_ms: int
) -> None:
    stream = Stream()
    stream.receive(head, 10, 10.1, 9.9)
    last = token("a", "stop")
    if b"chunked" in head:
        stream.chunk(last, 30, 30.1, 29.9)
        stream.receive(b"0\r\n\r\n", 40, 70.1, 39.9)  # read 30 ms late
    else:
        stream.receive(last, 30, 30.1, 29.9)
        assert stream.exchange.reader.eof()
    assert stream.row()["end_ns"] == end_ms * MS


def test_an_event_takes_the_stamp_of_the_receive_with_its_blank_line() -> None:
    stream = Stream()
    stream.receive(HEAD, 10, 10.1, 9.9)
    first, second = token("a"), token("b", "stop")
    stream.chunk(first[:-1], 20, 20.1, 19.9)  # all but the last line feed
    stream.chunk(first[-1:] + second, 30, 30.1, 29.9)
    stream.receive(b"0\r\n\r\n", 40, 40.1, 39.9)
    row = stream.row()
    assert list(row["chunk_ns"]) == [30 * MS, 30 * MS]
    assert row["first_byte_ns"] == 20 * MS
    assert row["headers_ns"] == 10 * MS
    assert row["end_ns"] == 40 * MS
    assert row["num_coalesced"] == 1
    assert row["num_uncertain"] == 0  # both came within 0.2 ms
    assert row["stamp_source"] == "kernel"


def test_coalesced_chunks_of_a_blocked_hub_are_uncertain() -> None:
    stream = Stream()
    stream.receive(HEAD, 10, 10.1, 9.9)
    stream.chunk(token("a"), 20, 20.1, 19.9)
    # the hub slept 50 ms: two events, stamped with the last one's arrival
    stream.chunk(token("b") + token("c", "stop"), 70, 71, 20.2)
    stream.receive(b"0\r\n\r\n", 80, 80.1, 79.9)
    row = stream.row()
    assert list(row["chunk_uncertain"]) == [False, True, False]  # the last one's stamp is its own
    assert row["first_uncertain"] is False
    # a single event read late is certain: the kernel's stamp is its own
    stream = Stream()
    stream.receive(HEAD, 10, 10.1, 9.9)
    stream.chunk(token("a", "stop"), 30, 71, 20.2)
    stream.receive(b"0\r\n\r\n", 80, 80.1, 79.9)
    row = stream.row()
    assert list(row["chunk_uncertain"]) == [False]
    assert row["recv_lag_max_ns"] == 41 * MS


def test_user_stamps_of_chunks_are_kept_only_when_asked_for() -> None:
    def stream() -> Stream:
        made = Stream()
        made.receive(HEAD, 10, 10.1, 9.9)
        made.chunk(token("a"), 20, 24, 19.9)
        made.chunk(token("b") + token("c", "stop"), 30, 31, 29.9)
        made.receive(b"0\r\n\r\n", 40, 40.1, 39.9)
        return made

    assert stream().row()["chunk_user_ns"] is None
    row = stream().row(keeps_user_stamps=True)
    assert list(row["chunk_ns"]) == [20 * MS, 30 * MS, 30 * MS]
    assert list(row["chunk_user_ns"]) == [24 * MS, 31 * MS, 31 * MS]


def test_without_kernel_stamps_a_late_read_is_uncertain() -> None:
    stream = Stream()
    stream.receive(HEAD, 0, 10.1, 9.9)
    stream.chunk(token("a", "stop"), 0, 71, 20.2)
    stream.receive(b"0\r\n\r\n", 0, 80.1, 79.9)
    row = stream.row()
    assert row["stamp_source"] == "user"
    assert list(row["chunk_uncertain"]) == [True]


def test_first_token_is_not_the_role() -> None:
    stream = Stream()
    stream.receive(HEAD, 10, 10.1, 9.9)
    stream.chunk(token(""), 20, 20.1, 19.9)
    stream.chunk(token("a"), 30, 30.1, 29.9)
    stream.chunk(token("", "stop"), 40, 40.1, 39.9)
    stream.receive(b"0\r\n\r\n", 50, 50.1, 49.9)
    row = stream.row()
    assert (row["first_byte_ns"], row["first_token_ns"]) == (20 * MS, 30 * MS)
    assert row["last_token_ns"] == 30 * MS


def finished(texts: list[str], usage: list[int | None], **context: Any) -> dict[str, Any]:
    """A row of an answer of these chunks; usage: cumulative count beside each, None for none."""
    stream = Stream()
    stream.receive(HEAD, 10, 10.1, 9.9)
    for k, (text, told) in enumerate(zip(texts, usage, strict=True)):
        more = {} if told is None else {"usage": {"prompt_tokens": 5, "completion_tokens": told}}
        finish = "stop" if k == len(texts) - 1 else None
        stream.chunk(token(text, finish, **more), 20 + k, 20.1 + k, 19.9 + k)
    stream.receive(b"0\r\n\r\n", 90, 90.1, 89.9)
    return stream.row(**context)


@pytest.mark.parametrize(
    ("texts", "usage", "source", "n_out", "n_first", "chunk_tok"),
    [
        (["a", "bcd", "e"], [1, 4, 5], "usage_continuous", 5, 1, [1, 3, 1]),
        (["abcd", "ef", ""], [4, 6, 7], "usage_continuous", 7, 4, [4, 2]),  # textless end token
        (["aaaa", "bb"], [None, 6], "usage_final", 6, 4, [4, 2]),  # by bytes
        (["long word", "a"], [None, 2], "usage_final", 2, 1, [1, 1]),  # one a chunk
        (["long word", "a"], [None, 3], "usage_final", 3, 1, [1, 1]),  # and an end token
        (["aa", "bb"], [6, 6], "usage_final", 6, 3, [3, 3]),  # the total in every chunk
        (["aa", "bb"], [None, 0], "absent", None, None, None),  # zero with text
        (["aa", "bb"], [None, None], "absent", None, None, None),
        (["aa", "bb"], [None, 8], "absent", None, None, None),  # echo of the 8 asked for
    ],
)
def test_token_sources(
    texts: list[str], usage: list[int | None], source: str, n_out: int | None,
    n_first: int | None, chunk_tok: list[float] | None,
) -> None:  # fmt: skip
    row = finished(texts, usage)
    assert (row["tok_source"], row["n_out"], row["n_first"]) == (source, n_out, n_first)
    if chunk_tok is None:
        assert row["chunk_tok"] is None
    else:
        np.testing.assert_allclose(row["chunk_tok"], chunk_tok)


def test_tokenizer_and_characters_stand_in_where_usage_is_absent() -> None:
    row = finished(["one two", " three"], [None, None], count_tokens=lambda text: len(text.split()))
    assert (row["tok_source"], row["n_out"]) == ("tokenizer", 3)
    row = finished(["abcd", "efgh"], [None, None], chars_per_token=4.0)
    assert (row["tok_source"], row["n_out"]) == ("characters", 2)


def test_early_parsing_changes_nothing() -> None:
    texts = [f"w{k} " for k in range(300)]

    def stream_of(is_early: bool) -> dict[str, Any]:
        stream = Stream()
        clocks = Clocks()
        context = RecordContext("run", 0, "it", 0, Axis(clocks.read, clocks.read, clocks.read))
        stream.receive(HEAD, 10, 10.1, 9.9)
        for k, text in enumerate(texts):
            event = token(text)
            half = len(event) // 2
            stream.chunk(event[:half], 20 + k, 20.1 + k, 19.9 + k)
            if is_early and k % 37 == 0:
                absorb(stream.exchange, context, lambda: None, is_final=False)
            stream.chunk(event[half:], 20.5 + k, 20.6 + k, 20.4 + k)
        stream.chunk(token("", "stop"), 900, 900.1, 899.9)
        stream.receive(b"0\r\n\r\n", 910, 910.1, 909.9)
        return stream.row()

    whole, early = stream_of(False), stream_of(True)
    for name, value in whole.items():
        np.testing.assert_array_equal(value, early[name], err_msg=name)


def test_a_stream_that_was_parsed_early_is_not_taken_for_stalled() -> None:
    stream = Stream()
    clocks = Clocks()
    context = RecordContext("run", 0, "it", 0, Axis(clocks.read, clocks.read, clocks.read))
    stream.receive(HEAD, 10, 10.1, 9.9)
    for k in range(20):
        stream.chunk(token("a"), 20 + 10 * k, 20.1 + 10 * k, 19.9 + 10 * k)
    absorb(stream.exchange, context, lambda: None, is_final=False)
    # the last token came at 210.1 ms; the limit between tokens is 50 ms
    assert stream.exchange.on_deadline(230 * MS) == int(260.1 * MS)


def test_comments_do_not_count_as_tokens() -> None:
    stream = Stream()
    stream.receive(HEAD, 10, 10.1, 9.9)
    stream.chunk(token("a"), 20, 20.1, 19.9)
    for k in range(10):
        stream.chunk(b": keep-alive\n\n", 30 + k, 30.1 + k, 29.9 + k)
    assert stream.exchange.on_deadline(45 * MS) == int(70.1 * MS)


def test_no_echo_of_a_secret_reaches_a_record() -> None:
    stream = Stream()
    stream.exchange.plan = ClassPlan("chat", DIALECTS["chat"], "m", b"", ("hunter2", "team-7"))
    head = HEAD.replace(b"\r\n\r\n", b"\r\nX-Harness-Fault: hunter2 late\r\n\r\n")
    stream.receive(head, 10, 10.1, 9.9)
    stream.chunk(token("said team-7"), 20, 20.1, 19.9)
    stream.chunk(token("", "hunter2 stops"), 21, 21.1, 20.9)
    error = b'data: {"error": {"message": "no hunter2 in team-7"}}\n\n'
    stream.chunk(error, 22, 22.1, 21.9)
    made = stream.record(keep_text=lambda _: True)
    assert made.row["finish_reason"] == "*** stops"
    assert made.row["fault"] == "*** late"
    assert "no *** in ***" in made.row["error_detail"]
    assert made.sample is not None
    assert made.sample["visible"] == "said ***"

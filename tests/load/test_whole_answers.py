"""Answers that come whole, byte by byte: vectors as lists or packed, words in every format."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import pytest

from harness.load.answer import Answer
from harness.load.classify import classify
from harness.load.dialects import DIALECTS, dialect_of
from harness.load.expectations import Vectors, Words
from harness.load.http1 import ResponseReader
from harness.load.tokens import no_output
from harness.load.usage import read_usage
from harness.scenario.document import TrafficClass

EMBED = DIALECTS["embeddings"]


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def rows(*vectors: Any) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("vectors", "num_dims", "encoding", "problem"),
    [
        ((packed(1, 2, 3), packed(4, 5, 6)), 3, "base64", ""),
        (([1, 2.5], [0, -1]), 2, "float", ""),
        ((packed(1, 2), packed(1)), 0, "", "the vectors are not of one length"),
        ((packed(1, 2), [1, 2]), 0, "", "some vectors are lists, others base64"),
        ((packed(1, math.nan),), 0, "", "vector 0 holds what is no finite number"),
        ((packed(1, math.inf),), 0, "", "vector 0 holds what is no finite number"),
        ((packed(1, 2)[:-3] + "===",), 0, "", "row 0 of 'data' has text that is no base64"),
        ((base64.b64encode(b"12345").decode(),), 0, "", "text that is no base64 of float32"),
        (("not base64!",), 0, "", "text that is no base64 of float32"),
        (("",), 0, "", "text that is no base64 of float32"),
        ((None,), 0, "", "row 0 of 'data' has no vector of numbers"),
        (({"a": 1},), 0, "", "row 0 of 'data' has no vector of numbers"),
    ],
)  # fmt: skip
def test_vectors(vectors: Any, num_dims: int, encoding: str, problem: str) -> None:
    found = EMBED.read_whole(rows(*vectors))
    assert problem in found.problem
    assert bool(found.problem) is bool(problem)
    assert (found.num_dims, found.encoding) == (num_dims, encoding)


@pytest.mark.parametrize("asked", ["float", "base64"])
@pytest.mark.parametrize("given", ["float", "base64"])
def test_vectors_come_as_they_were_asked_for(asked: str, given: str) -> None:
    answer = Answer(EMBED, keep_text=False)
    answer.num_inputs = 1
    answer.whole = EMBED.read_whole(rows([1.0, 2.0] if given == "float" else packed(1, 2)))
    found = Vectors(None, asked).judge(answer)
    assert found.is_fit is (asked == given)
    assert found.reason == (
        "" if asked == given else f"vectors as {given} where {asked} was asked for"
    )


def speech(response_format: str) -> TrafficClass:
    work = {"kind": "audio", "files": ["a.wav"], "response_format": response_format}
    return TrafficClass.model_validate({"name": "speech", "workload": work})


SRT = "1\n00:00:00,000 --> 00:00:01,500\nTwo words.\n\n2\n00:00:01,500 --> 00:00:02,000\n42 more.\n"
VTT = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nTwo words.\n"


@pytest.mark.parametrize(
    ("response_format", "body", "kind", "error", "words"),
    [
        ("json", '{"text":"so"}', "application/json", "", "so"),
        ("verbose_json", '{"text":"so","segments":[]}', "application/json", "", "so"),
        ("json", "so", "text/plain; charset=utf-8", "malformed", ""),
        ("text", "so it is\n", "text/plain; charset=utf-8", "", "so it is\n"),
        ("text", "42\n", "text/plain", "", "42\n"),  # a number that was said
        ("text", "so", "application/json", "", "so"),  # some call everything JSON
        ("text", '{"text":"so"}', "application/json", "malformed", ""),
        ("text", '{"error":{"message":"no"}}', "application/json", "stream_error", ""),
        ("text", "{well}", "text/plain", "", "{well}"),
        ("text", "<html>", "text/html", "malformed", ""),
        ("text", "data: {}\n\n", "text/event-stream", "malformed", ""),
        ("srt", SRT, "application/x-subrip", "", "Two words.\n\n42 more."),
        ("srt", "\ufeff" + SRT, "text/plain", "", "Two words.\n\n42 more."),
        ("vtt", VTT, "text/vtt", "", "\nTwo words."),
    ],
)  # fmt: skip
def test_words(response_format: str, body: str, kind: str, error: str, words: str) -> None:
    reader, raw = ResponseReader(), body.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n\r\n"
    reader.feed(head.encode() + raw)
    answer = Answer(dialect_of(speech(response_format)), keep_text=True)
    answer.feed_whole(raw)
    assert classify(None, reader, answer).error_class == error
    if not error:
        assert answer.whole.text.strip() == words.strip()
        assert Words().judge(answer).is_fit


@pytest.mark.parametrize(
    ("response_format", "body"),
    [("text", " \n"), ("srt", "1\n00:00:00,000 --> 00:00:01,000\n\n"), ("vtt", "WEBVTT\n\n")],
)
def test_a_file_without_a_word_in_its_transcript_is_no_success(
    response_format: str, body: str
) -> None:
    answer = Answer(dialect_of(speech(response_format)), keep_text=True)
    answer.feed_whole(body.encode())
    assert Words().judge(answer).reason == "the transcript is empty"
    answer.feed_whole(b"\xff\xfe\x00")
    assert answer.whole.problem == "the body is not UTF-8 text"


@pytest.mark.parametrize(
    ("usage", "n_in", "n_out", "source"),
    [
        ({"type": "tokens", "input_tokens": 140, "output_tokens": 12, "total_tokens": 152},
         140, 12, "usage_final"),
        ({"type": "duration", "seconds": 9}, None, None, "absent"),
        ({"prompt_tokens": 8, "total_tokens": 8}, 8, None, "usage_final"),
        ({}, None, None, "absent"),
    ],
)  # fmt: skip
def test_a_transcript_that_is_paid_by_the_token_brings_both_counts(
    usage: dict[str, Any], n_in: int | None, n_out: int | None, source: str
) -> None:
    found = read_usage(usage)
    tokens = no_output(found)
    assert (found.n_in, tokens.n_out, tokens.source) == (n_in, n_out, source)
    assert tokens.chunk_tok is None

"""The taxonomy: wire, status, headers and answer become exactly one class."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from harness.load.answer import Answer
from harness.load.classify import classify, retry_after_s
from harness.load.dialects import DIALECTS
from harness.load.faults import (
    ConnectFault,
    MalformedFault,
    TimeoutFault,
    TruncatedFault,
    WireFault,
)
from harness.load.http1 import ResponseReader
from harness.load.redact import redact
from harness.load.sse import read_events
from harness.records import schema

GOOD = (
    b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
SSE = "text/event-stream"


def outcome(
    body: bytes = GOOD, status: int = 200, kind: str = SSE, fault: WireFault | None = None,
    more: str = "",
) -> str:  # fmt: skip
    reader = ResponseReader()
    if status:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}"
        reader.feed(head.encode() + b"\r\n\r\n" + body)
    answer = Answer(DIALECTS["chat"], False)
    if status == 200 and kind == SSE:
        answer.feed(read_events(body), lambda: None)
    found = classify(fault, reader, answer).error_class
    assert found == "" or found in schema.ERROR_CLASSES
    return found


FINISHED = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
TOKEN = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'


def test_success() -> None:
    assert outcome() == ""


@pytest.mark.parametrize(
    ("status", "expected"),
    [(301, "http_4xx"), (400, "http_4xx"), (401, "http_4xx"), (404, "http_4xx"),
     (429, "throttled"), (500, "http_5xx"), (503, "http_5xx")],
)  # fmt: skip
def test_statuses(status: int, expected: str) -> None:
    assert outcome(b"{}", status, "application/json") == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (TOKEN, "truncated"),  # ended cleanly, but without a finish_reason
        (FINISHED, "empty"),
        (TOKEN + b'data: {"error":{"message":"x"}}\n\n', "stream_error"),
        (TOKEN + b"event: error\ndata: x\n\n", "stream_error"),
        (TOKEN + b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n', "stream_error"),
        (TOKEN + b"data: {oops\n\n" + FINISHED, "malformed"),
        (b"", "truncated"),
    ],
)
def test_streams(body: bytes, expected: str) -> None:
    assert outcome(body) == expected


def test_answers_that_are_no_stream() -> None:
    assert outcome(b'{"choices":[]}', kind="application/json") == "malformed"
    assert outcome(b'{"error":{"message":"x"}}', kind="application/json") == "stream_error"
    assert outcome(b"<html>", kind="text/html") == "malformed"
    assert outcome(more="Content-Encoding: gzip\r\n") == "malformed"


def test_wire_faults_and_their_precedence() -> None:
    assert outcome(status=0, fault=ConnectFault("no")) == "connect"
    assert outcome(TOKEN, fault=TruncatedFault("reset")) == "truncated"
    assert outcome(TOKEN, fault=TimeoutFault("idle", "stalled")) == "stalled"
    assert outcome(TOKEN, fault=MalformedFault("chunk")) == "malformed"
    # the server said what was wrong before it broke off
    error = TOKEN + b'data: {"error":"x"}\n\n'
    assert outcome(error, fault=TruncatedFault("reset")) == "stream_error"
    assert outcome(b"{", 503, "application/json", TruncatedFault("reset")) == "http_5xx"


def test_retry_after_in_both_forms() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s("7") == 7.0
    assert retry_after_s("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert retry_after_s("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None
    assert retry_after_s("inf") is None  # a number to Python, none to anyone who waits
    assert retry_after_s("nan") is None
    assert retry_after_s("-5") == 0.0


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://me:secret@other.example/x?key=secret#f", "http://other.example/x"),
        ("/v2/chat", "/v2/chat"),
        ("//other.example/x", "//other.example/x"),
        ("http://[broken", "a URL that is none"),
    ],
)
def test_a_redirect_says_where_it_led_and_no_secret(location: str, shown: str) -> None:
    reader = ResponseReader()
    head = f"HTTP/1.1 308 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    reader.feed(head.encode())
    found = classify(None, reader, Answer(DIALECTS["chat"], False))
    assert found.error_class == "http_4xx"
    assert found.detail == f"status 308: a redirect to {shown}, which is not followed"


def test_details_hold_no_key_and_no_prompt() -> None:
    prompt = json.dumps({"content": "the quick brown fox jumps over the lazy dog"})
    said = "bad request: 'the quick brown fox jumps' for key s3cretvalue and Bearer abc sk-12345678"
    clean = redact(said, ("s3cretvalue",), prompt)
    for secret in ("s3cretvalue", "sk-12345678", "abc", "quick", "brown", "jumps"):
        assert secret not in clean
    assert clean.startswith("bad request:")
    assert len(redact("x" * 1000)) <= 240
    assert redact("a\x1b[31m red\x07 word\x9b") == "a [31m red word"

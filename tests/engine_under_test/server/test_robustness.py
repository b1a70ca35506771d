"""What would hurt a server: its step thread killed, huge bodies, clients that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

import openai
import psutil
import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_under_test.server import requests as server_requests
from engine_under_test.server.body import parse
from engine_under_test.server.errors import ApiError
from engine_under_test.server.escapes import decoded
from engine_under_test.server.json_scan import Size, long_strings, size_of

USER = [{"role": "user", "content": "Tell me a tale"}]
LONG = {"messages": USER, "max_tokens": 1900, "ignore_eos": True}


def open_stream(server: Any, **fields: Any) -> tuple[Any, http.client.HTTPResponse]:
    """A stream that has begun: headers and first event are read."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request(
        "POST", "/v1/chat/completions", json.dumps({**LONG, "stream": True, **fields})
    )
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline().startswith(b"data: ")
    return connection, response


def test_killing_the_step_thread_turns_health_red_and_ends_every_stream(
    start: Any, slow: Path
) -> None:
    server = start(fault_plan=slow)
    opened = [open_stream(server) for _ in range(3)]
    waiting: list[Any] = []
    whole = threading.Thread(
        target=lambda: waiting.append(server.request("POST", "/v1/chat/completions", LONG))
    )
    whole.start()
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 4)
    assert server.request("GET", "/health").status == 200
    thread = server.state.engine._driver._thread
    # The nearest thing to a kill that a thread can get: it ends wherever it is, by no Exception.
    killed = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    assert killed == 1
    for connection, response in opened:
        events = [e for e in response.read().decode().split("\n\n") if e]
        error = json.loads(events[-2].removeprefix("data: "))["error"]
        assert (error["code"], error["type"]) == ("engine_dead", "service_unavailable_error")
        assert events[-1] == "data: [DONE]"
        connection.close()
    whole.join(120)
    assert (waiting[0].status, waiting[0].json["error"]["code"]) == (503, "engine_dead")
    server.wait_until(lambda: server.request("GET", "/health").status == 503)
    reply = server.request("POST", "/v1/chat/completions", LONG)
    assert (reply.status, reply.json["error"]["code"]) == (503, "engine_dead")
    assert server.request("GET", "/metrics").status == 200, "what it counted can still be read"


def test_clients_that_do_not_read_hold_nobody_up_and_no_block(start: Any) -> None:
    server = start(num_blocks=2048)
    expected = server.chat(max_tokens=40).choices[0].message.content
    body = json.dumps(
        {**LONG, "max_tokens": 400, "n": 4, "stream": True, "logprobs": True, "top_logprobs": 20}
    ).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    deaf = []
    for _ in range(3):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(120)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(head % len(body) + body)
        deaf.append(sock)
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 12)
    assert server.chat(max_tokens=40).choices[0].message.content == expected
    # They end without having been read: their blocks are free, what is unsent is bounded.
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 0)
    assert server.metric("vllm:kv_cache_usage_perc") == 0
    assert server.state.engine.num_live == 0
    # One reads after all, and gets the whole answer.
    received = bytearray()
    while not received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
        part = deaf[0].recv(1 << 16)
        assert part, "the answer was cut"
        received += part
    assert received.count(b'"finish_reason":"length"') == 4
    for sock in deaf:
        sock.close()
    assert server.chat(max_tokens=40).choices[0].message.content == expected


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="no such option here")
@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_client_that_never_reads_is_cut_off_and_forgotten(start: Any, is_streaming: bool) -> None:
    """Its answer is finished and nobody wants it: it must not be kept for ever."""
    server = start(num_blocks=2048, write_timeout_s=0.5)
    fields = {**LONG, "max_tokens": 150, "n": 8, "logprobs": True, "top_logprobs": 20}
    body = json.dumps({**fields, "stream": is_streaming}).encode()  # 1.6 MB of answer
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(120)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(head % len(body) + body)
    server.wait_until(lambda: server.app.num_open == 1)
    assert server.chat(max_tokens=5).usage.completion_tokens == 5
    ours = sock.getsockname()[1]

    def is_connected() -> bool:
        found = psutil.Process().net_connections("tcp")
        return any(c.laddr[1] == server.port and c.raddr and c.raddr[1] == ours for c in found)

    assert is_connected()
    server.wait_until(lambda: not is_connected() and server.app.num_open == 0)
    assert server.state.engine.num_live == 0
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            received += len(part)
    assert received < 1_000_000, "what had left the server, and no more"
    assert server.chat(max_tokens=5).usage.completion_tokens == 5
    sock.close()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": "word " * 2_000_000}]}, "messages"),
        ({"messages": USER * 20_000}, "messages"),
        ({"messages": USER * 200_000}, None),
        ({"prompt": [1] * 100_000}, "prompt"),
        (
            {
                "messages": USER,
                "tools": [
                    {"type": "function", "function": {"name": "f", "description": "d" * 2**20}}
                ]
                * 9,
            },
            "tools",
        ),
        ({"messages": USER, "logit_bias": {str(n): 1 for n in range(40_000)}}, "logit_bias"),
        ({"messages": USER, "stop_token_ids": [1] * 300_000}, "stop_token_ids"),
        ({"messages": USER, "stop_token_ids": [1] * 1_000_000}, None),
        (
            {
                "messages": USER,
                "response_format": {"type": "json_object", "schema": {"enum": ["e" * 10**7]}},
            },
            "response_format",
        ),
        ({"messages": USER, **{f"field{n}": n for n in range(40_000)}}, "field0"),
        ({"messages": USER, **{f"field{n}": n for n in range(300_000)}}, None),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_ten_megabytes_are_refused_without_being_worked_through(
    server: Any, fields: dict[str, Any], param: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """param None: it was counted and not even parsed."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the tokenizer saw it")

    monkeypatch.setattr(server.state.tokenizer, "encode", never)
    path = "completions" if "prompt" in fields else "chat/completions"
    reply = server.request("POST", f"/v1/{path}", fields)
    assert (reply.status, reply.json["error"]["param"]) == (400, param)
    assert ("are read: send fewer" in reply.json["error"]["message"]) is (param is None)
    assert len(reply.body) < 500


def test_a_long_text_of_commas_and_brackets_is_no_list(server: Any) -> None:
    """What stands in strings is not counted, whatever is escaped there."""
    text = '\\",:[{' * 100_000
    reply = server.request("POST", "/v1/completions", {"prompt": text})
    assert "maximum context length" in reply.json["error"]["message"]


@given(
    st.recursive(
        st.none() | st.integers() | st.text('\\",:[{}] aé', max_size=8),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('\\",:[{', max_size=3), inner),
    ),
    st.integers(1, 40),
)
def test_values_are_counted_as_the_parser_finds_them(value: object, block: int) -> None:
    def count(item: object) -> Size:
        children = [*item.values()] if isinstance(item, dict) else item
        if not isinstance(children, list):
            return Size(0, 0, 0)
        own = Size(max(len(children) - 1, 0), len(children) * isinstance(item, dict), 1)
        return Size(*map(sum, zip(own, *map(count, children), strict=True)))

    text = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine_under_test.server.json_scan._BLOCK_BYTES", block)
        assert size_of(text) == count(value)


TEXTS = st.text(
    st.sampled_from(
        ["a", "é", "€", "\U0001f388", "\U0010ffff", "\\", '"', "/", "\n", "\x1f", "\ud7ff", "u"]
    )
)


@given(TEXTS, st.integers(16, 40), st.booleans())
def test_a_text_read_in_slices_is_the_text(text: str, size: int, is_ascii: bool) -> None:
    """Wherever slices end: in an escape, between the halves of a pair, in a character."""
    inside = json.dumps(text * 9, ensure_ascii=is_ascii).encode()[1:-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine_under_test.server.escapes.SLICE_BYTES", size)
        patch.setattr("engine_under_test.server.escapes.PAUSE_S", 0)
        assert decoded(inside) == text * 9


@given(st.lists(TEXTS), st.integers(1, 40), st.integers(0, 9))
def test_long_strings_are_found_where_they_are(texts: list[str], block: int, least: int) -> None:
    body = json.dumps({"a": texts, "b": 1}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine_under_test.server.json_scan._BLOCK_BYTES", block)
        found = [body[start:end] for start, end in long_strings(body, least)]
    expected = [json.dumps(text).encode()[1:-1] for text in ("a", *texts, "b")]
    assert found == [text for text in expected if len(text) >= least]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large, every string long, every slice short."""
    for name, value in (
        ("body.UNCOUNTED_BYTES", 0), ("body.MAX_ESCAPES", 0), ("escapes.LONG_BYTES", 8),
        ("escapes.SLICE_BYTES", 24), ("escapes.PAUSE_S", 0), ("escapes.MAX_SHORT_ESCAPES", 50),
    ):  # fmt: skip
        monkeypatch.setattr(f"engine_under_test.server.{name}", value)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"role": "user", "content": "ü\n" * 99}], "n": 1, "ü" * 20: ["é" * 30, None]},
        ["\U0001f388" * 40, {"x": "short\n"}],
        "a text \\ alone " * 9,
    ],
)
def test_a_body_read_in_slices_is_the_body(value: object) -> None:
    assert asyncio.run(parse(bytearray(json.dumps(value).encode()))) == value


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (rb'{"stop": "' + rb"\u00fc" * 9 + rb'\ud83d"}', "'stop' holds half a surrogate pair"),
        (rb'["' + rb"\u00fc" * 9 + rb'\udc00 "]', "holds half a surrogate pair"),
        (rb'{"a": "\n", "b": "' + b"\xff" * 60 + rb'"}', "not valid JSON: 'b'"),
        (rb'{"b": "\u00fc \q and more of it"}', "not valid JSON: 'b'"),
        (rb'{"b": "' + rb"\u00fc" * 9 + rb'"]', "not valid JSON"),
        (b'{"a": [' + rb'"\n",' * 60 + b"1]}", "60 escapes in strings of less than"),
        (rb'{"b": "\u00fc never ends' + rb"\n" * 30, "not valid JSON"),
    ],
)
def test_what_is_wrong_in_a_body_read_in_slices_is_told(body: bytes, message: str) -> None:
    with pytest.raises(ApiError) as raised:
        asyncio.run(parse(bytearray(body)))
    assert raised.value.status == 400
    assert message in raised.value.body["error"]["message"]


def test_no_more_than_a_slice_is_read_at_once(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    longest, from_json = [0], pydantic_core.from_json

    def noted(text: bytes, **named: Any) -> Any:
        assert threading.current_thread().name.startswith("asyncio"), "not on the event loop"
        longest[0] = max(longest[0], len(text))
        return from_json(text, **named)

    monkeypatch.setattr(pydantic_core, "from_json", noted)
    body = b'{"prompt":"' + rb"\u00fc" * 1_600_000 + b'"}'
    reply = server.request("POST", "/v1/completions", body)
    assert "maximum context length" in reply.json["error"]["message"]
    assert 60_000 < longest[0] < 70_000


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"messages":"' + b"\xff" * 10**7 + b'"}', 400, "not valid JSON"),
        (b'{"messages":"\xed\xa0\x80"}', 400, "not valid JSON"),  # a surrogate in UTF-8's clothes
        (b'{"a":' + b"[" * 10**7, 400, "are read"),
        (b'{"a":' + b"[" * 10**4, 400, "not valid JSON"),
        (b"\xef\xbb\xbf[]", 400, "must be a JSON object"),
        (b'{"a":' + b"9" * 10**5 + b"}", 400, ""),
        (b'"' + b"x" * (33 * 2**20) + b'"', 413, "exceeds"),
        (b"", 400, "not valid JSON"),
    ],
    ids=range(8),
)
def test_bodies_that_are_no_requests(server: Any, body: bytes, status: int, message: str) -> None:
    reply = server.request("POST", "/v1/chat/completions", body)
    assert reply.status == status
    assert message in reply.json["error"]["message"]
    assert len(reply.body) < 800


def test_a_prompt_just_inside_the_bound_is_counted_exactly(server: Any) -> None:
    """The quick refusal knows only a lower bound; from there on the tokenizer decides."""
    window = server.state.model.max_model_len
    longest = len("<|endoftext|>")  # the token with most characters
    with pytest.raises(openai.BadRequestError, match=f"at least {window}"):
        server.complete(prompt="x" * window * longest)
    with pytest.raises(openai.BadRequestError, match=f"{window + 5} tokens"):
        server.complete(prompt="x" * (window - 1), max_tokens=6)
    assert server.complete(prompt="x" * (window - 1), max_tokens=1).usage.completion_tokens == 1
    with pytest.raises(openai.BadRequestError, match=f"at least {window}"):
        server.complete(prompt=["x", "<|endoftext|>" * (window - 1) + "x"], max_tokens=1)


def test_log_and_memory_are_not_filled_by_unknown_fields(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    parser = server.state.parser
    monkeypatch.setattr("engine_under_test.server.body_parser.MAX_WARNED", 10)
    for n in range(20):
        body = {"messages": USER, "max_tokens": 1, f"odd{n}": 1}
        assert server.request("POST", "/v1/chat/completions", body).status == 200
    assert len(parser._warned) == 10


def test_long_prompts_leave_the_event_loop(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = server.state.tokenizer.encode

    def noted(*args: Any, **named: Any) -> Any:
        seen.append(threading.current_thread().name)
        return encode(*args, **named)

    monkeypatch.setattr(server.state.tokenizer, "encode", noted)
    monkeypatch.setattr(server_requests, "LONG_PROMPT_CHARS", 50)
    server.complete(prompt="short", max_tokens=1)
    server.complete(prompt="long " * 20, max_tokens=1)
    server.complete(prompt=["short"] * 12, max_tokens=1)  # much text in small parts
    server.client.embeddings.create(model="debug", input=["short"] * 12)
    server.client.embeddings.create(model="debug", input="short")
    assert len(seen) == 2 + 12 + 12 + 1
    assert ["asyncio" in thread for thread in seen] == [False, *[True] * 25, False]

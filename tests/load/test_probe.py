"""The probe names what stands between us and a measurement, and learns what an endpoint takes."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from harness.errors import TargetError, UsageError
from harness.load import TargetFacts, calibrate, probe_target
from harness.load import probe as probe_module
from harness.load._probe_http import Reply
from harness.scenario import Materials
from harness.scenario.document import CalibratedTokens, EstimatedTokens
from harness.testing import ScriptedServer

from .raw_server import end_listening

WORDS = ("alpha", "beta", "gamma", "delta") * 80


def fails(base_url: str, **more: Any) -> TargetError:
    with pytest.raises(TargetError) as caught:
        probe_target(base_url, **more)
    assert caught.value.do
    return caught.value


def whole_request(client: socket.socket) -> bytes:
    """Its body too: who closes with bytes unread resets the connection, and the reply is lost."""
    asked = client.recv(65_536)
    while asked.startswith(b"POST") and not asked.endswith(b"}"):
        asked += client.recv(65_536)
    return asked


@contextmanager
def canned(reply: bytes | None) -> Iterator[str]:
    """A server that gives the same bytes to every request; None: it never answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if reply is None:
                kept.append(client)
                continue
            if whole_request(client):
                client.sendall(reply)
            client.close()

    acceptor = threading.Thread(target=serve, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        end_listening(listener, acceptor)
        for client in kept:
            client.close()


@contextmanager
def hasty(says_close: bool) -> Iterator[str]:
    """Streams one token on each connection and closes it at once, with or without a word of it."""
    line = "Connection: close" if says_close else "Keep-Alive: timeout=5"
    event = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"length"}]}\n\n'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{line}\r\n"
    answer = head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(event), event)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            asked = whole_request(client)
            if asked:
                client.sendall(answer if asked.startswith(b"POST") else http("404 Not Found"))
            client.close()

    acceptor = threading.Thread(target=serve, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        end_listening(listener, acceptor)


def http(status: str, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def test_facts_of_a_full_endpoint() -> None:
    with ScriptedServer({}) as server:
        facts = probe_target(server.base_url)
    assert facts.model == "scripted"
    assert facts.addresses == ("127.0.0.1",)
    assert 0 < facts.rtt_ns < 1_000_000_000
    assert facts.takes_continuous_usage
    assert facts.takes_ignore_eos
    assert facts.dropped == ()
    assert TargetFacts.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(
    ("refused", "dropped"),
    [
        (("ignore_eos",), ("ignore_eos",)),
        (("ignore_eos", "min_tokens"), ("ignore_eos", "min_tokens")),
        (("stream_options.continuous_usage_stats",), ("continuous_usage_stats",)),
        (("stream_options",), ("stream_options", "continuous_usage_stats")),
    ],
)
def test_fields_answered_with_400_are_dropped_and_recorded(
    refused: tuple[str, ...], dropped: tuple[str, ...]
) -> None:
    with ScriptedServer({"http": {"reject_fields": refused}}) as server:
        facts = probe_target(server.base_url)
    assert facts.dropped == dropped
    assert facts.takes_ignore_eos == ("ignore_eos" not in dropped)


def test_max_completion_tokens_where_max_tokens_is_refused() -> None:
    with ScriptedServer({"http": {"reject_fields": ("max_tokens",)}}) as server:
        assert probe_target(server.base_url).uses_max_completion_tokens


def test_continuous_usage_is_believed_when_seen() -> None:
    with ScriptedServer({"usage": {"where": "absent"}}) as server:
        facts = probe_target(server.base_url)
    assert not facts.has_usage
    assert not facts.has_continuous_usage


@pytest.mark.parametrize("says_close", [True, False])
def test_a_server_that_closes_after_each_answer_is_found_out(says_close: bool) -> None:
    with hasty(says_close) as url:
        assert not probe_target(url, model="m").keeps_connections
    with ScriptedServer({}) as server:
        assert probe_target(server.base_url).keeps_connections


def test_completions() -> None:
    with ScriptedServer({}) as server:
        assert probe_target(server.base_url, api="completions").api == "completions"


def test_keys() -> None:
    with ScriptedServer({"api_key": "right"}) as server:
        assert fails(server.base_url).what == "the endpoint wants a key"
        wrong = fails(server.base_url, api_key="wr0ngkey")
        assert "wr0ngkey" not in wrong.render()
        assert probe_target(server.base_url, api_key="right").model == "scripted"


def test_refused_connection_and_unknown_name() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert fails(f"http://127.0.0.1:{port}/v1").what == "the endpoint refused the connection"
    assert "has no address" in fails("http://no-such-host.invalid/v1").what
    with pytest.raises(UsageError):
        probe_target("localhost:8000")


def test_silence_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "HANG_S", 0.3)
    with canned(None) as url:
        error = fails(url)
    assert error.what == "the endpoint does not answer"
    assert "0.3 s" in error.why


@contextmanager
def dripping() -> Iterator[str]:
    """Answers with a byte of headers every 50 ms, for 30 s at most."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with suppress(OSError), client:
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            for _ in range(600):
                client.sendall(b"a")
                time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.mark.slow
def test_an_answer_that_drips_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "HANG_S", 0.4)
    with dripping() as url:
        fault = fails(url)
    assert fault.what == "the endpoint does not answer"
    assert "GET /models" in fault.why


def test_what_the_endpoint_echoes_of_our_secrets_is_hidden() -> None:
    body = b'{"error": "no such key: hunter2-hunter2, team team-of-secrets"}'
    head = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    with canned(head + body) as url:
        fault = fails(url, api_key="hunter2-hunter2", headers={"X-Team": "team-of-secrets"})
    assert "no such key: ***, team ***" in fault.why


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (http("403 Forbidden"), "the key is not allowed here"),
        (http("500 Oops", b"engine died"), "the endpoint failed with 500"),
        (http("200 OK", b"<html>"), "the endpoint does not speak the OpenAI protocol"),
        (http("200 OK", b'{"data": []}'), "no model to ask"),
        (b"SSH-2.0-OpenSSH_9\r\n", "the endpoint does not speak HTTP/1.1"),
        (b"", "the endpoint broke off"),
        (http("429 Slow down"), "the endpoint throttles us before any load"),
    ],
)
def test_other_answers(reply: bytes, what: str) -> None:
    with canned(reply) as url:
        assert fails(url).what == what


def stream(body: bytes, fields: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + fields
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of models gets the same bytes, which are none."""
    monkeypatch.setattr(probe_module, "_model_ids", lambda *_: ("m",))


TOKEN = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n'
ERROR = b'{"error": {"message": "no room"}}'


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (stream(ERROR), "no room"),
        (stream(TOKEN + b"event: error\n" + b'data: {"message": "no room"}\n\n'), "no room"),
        (stream(TOKEN + b"data: " + ERROR + b"\n\n"), "no room"),
        (http("200 OK", ERROR), "no room"),
        (stream(TOKEN, b"Content-Encoding: gzip\r\n"), "content-encoding gzip"),
        (stream(b"data: [DONE]\n\n"), "its stream held no event"),
    ],
)
def test_an_answer_that_no_load_could_use_is_refused_with_its_reason(
    reply: bytes, words: str
) -> None:
    with canned(reply) as url:
        assert words in fails(url).why


def test_a_redirect_names_where_it_leads_without_its_secrets() -> None:
    moved = b"HTTP/1.1 308 Moved\r\nLocation: https://me:pw@other.example/v1?key=s\r\n"
    with canned(moved + b"Content-Length: 0\r\n\r\n") as url:
        error = fails(url)
    assert "https://other.example/v1" in error.do
    assert "pw" not in error.render()
    assert "key=s" not in error.render()


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "body",
    [
        TOKEN.replace(b'{"choices"', b'{\ndata: "choices"'),
        TOKEN.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + TOKEN,
        TOKEN.replace(b"hi", "a\u2028b".encode()),
        b'data: {"choices": [{"delta": "odd"}], "usage": [1]}\n\n',
    ],
)
def test_an_odd_stream_is_read_as_the_load_reads_it(body: bytes) -> None:
    with canned(stream(body)) as url:
        assert not probe_target(url).has_usage


def test_the_served_limits_are_kept_as_far_as_they_are_numbers() -> None:
    def listed(row: Mapping[str, Any]) -> Reply:
        body = json.dumps({"data": [{"id": "other"}, {"id": "m", **row}]}).encode()
        return Reply(200, {}, body)

    own = {"max_model_len": 8192, "engine": {"limits": {"num_blocks": 100, "name": "x"}}}
    limits = probe_module._served_limits(listed(own), "m")
    assert limits == {"max_model_len": 8192, "num_blocks": 100}
    for odd in ({}, {"engine": 3}, {"engine": {"limits": [1]}}, {"max_model_len": -1}):
        assert probe_module._served_limits(listed(odd), "m") == {}
    assert probe_module._served_limits(Reply(200, {}, b"<html>"), "m") == {}
    assert probe_module._served_limits(listed(own), "unknown") == {}


def test_unknown_model_names_those_there_are() -> None:
    with ScriptedServer({"http": {"check_model": True}}) as server:
        error = fails(server.base_url, model="gpt-9")
    assert "gpt-9" in error.what
    assert "scripted" in error.do


def tokens_of(script: Mapping[str, Any], tokens: Any) -> Any:
    with ScriptedServer(script) as server:
        facts = TargetFacts(server.base_url, "scripted")
        materials = Materials(words=WORDS)
        return calibrate(server.base_url, None, None, None, facts, tokens, materials)


def test_calibration_finds_slope_and_template() -> None:
    plan = tokens_of({"tokens": {"prompt_slope": 1.5, "prompt_fixed": 9}}, CalibratedTokens())
    assert plan.kind == "calibrated"
    assert plan.slope_tok_per_word == pytest.approx(1.5, abs=0.02)
    assert plan.fixed_tok == pytest.approx(9, abs=1.5)


def test_calibration_without_usage_is_an_estimate_and_says_so() -> None:
    assert tokens_of({"usage": {"values": "zero"}}, CalibratedTokens()).kind == "estimated"
    given = tokens_of({}, EstimatedTokens(kind="estimated", chars_per_token=3.0))
    assert given.chars_per_token == 3.0


def test_json_nested_beyond_any_use_is_no_crash() -> None:
    with canned(http("200 OK", b"[" * 200_000)) as url:
        assert "does not speak the OpenAI protocol" in fails(url).what


def test_an_endpoint_has_no_hold_on_the_terminal() -> None:
    """Its words are shown; an escape sequence in them would clear or rewrite the screen."""
    with canned(http("503 No", b"\x1b[2J\x1b]0;owned\x07 too busy \xc2\x9b1m")) as url:
        why = fails(url).why
    assert "too busy" in why
    assert not set(why) & {"\x1b", "\x07", "\x9b"}

"""How events are spelled and responses are framed; every liberty a server may take."""

from __future__ import annotations

import json
import ssl
import subprocess
import zlib
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from raw import Reply, ask, connect, read_reply, request_bytes

from harness.testing import ScriptedServer


def sse(server: ScriptedServer, **options: Any) -> bytes:
    return ask(server.port, max_tokens=3, script={"sse": options}).body


def json_of(body: bytes, line_end: bytes = b"\n") -> list[Any]:
    """Data of each event, lines of one event joined, by the letter of the standard."""
    found = []
    for event in body.removeprefix(b"\xef\xbb\xbf").split(line_end * 2):
        lines = [li[5:].removeprefix(b" ") for li in event.split(line_end) if li[:5] == b"data:"]
        if lines and lines != [b"[DONE]"]:
            found.append(json.loads(b"\n".join(lines)))
    return found


@pytest.mark.parametrize(("name", "end"), [("lf", b"\n"), ("cr", b"\r"), ("crlf", b"\r\n")])
def test_line_ends(server: ScriptedServer, name: str, end: bytes) -> None:
    body = sse(server, line_end=name, comments=True, multi_line=True, other_fields=True)
    assert len(json_of(body, end)) == 5
    others = {b"\n", b"\r"} - {end[:1], end[-1:]}
    assert not any(other in body for other in others)
    assert body.endswith(end * 2)


def test_space_bom_comments_fields(server: ScriptedServer) -> None:
    assert sse(server, space=False).startswith(b'data:{"id"')
    assert sse(server, bom=True).startswith(b"\xef\xbb\xbfdata: ")
    assert sse(server, comments=True).count(b"\n: a comment\n") == 5  # and the very first
    body = sse(server, other_fields=True)
    assert all(line in body for line in (b"event: message\n", b"id: 7\n", b"retry: 1000\n"))
    assert len(json_of(sse(server, multi_line=True))) == 5
    assert sse(server, multi_line=True).count(b"\ndata: ") == 10


def test_the_end_of_the_stream(server: ScriptedServer) -> None:
    assert sse(server).endswith(b"data: [DONE]\n\n")
    assert b"[DONE]" not in sse(server, done=False)
    assert sse(server, after_done="and more").endswith(b"data: [DONE]\n\ndata: and more\n\n")
    assert sse(server, last_blank_line=False).endswith(b"data: [DONE]\n")


def test_comments_while_waiting(server: ScriptedServer) -> None:
    script = {"timing": {"ttft": "30ms"}, "sse": {"comment_every": "5ms"}}
    body = ask(server.port, max_tokens=1, script=script).body
    first_token = body.index(b'"content":"the"')
    assert body[:first_token].count(b": still here\n\n") >= 4


def http(server: ScriptedServer, **options: Any) -> Reply:
    return ask(server.port, max_tokens=3, script={"http": options})


@pytest.mark.parametrize("framing", ["chunked", "content_length", "close"])
@pytest.mark.parametrize("sse_options", [{}, {"bom": True, "multi_line": True}])
def test_framings(server: ScriptedServer, framing: str, sse_options: dict[str, Any]) -> None:
    script = {"http": {"framing": framing}, "sse": sse_options}
    reply = ask(server.port, max_tokens=3, script=script)
    assert len(json_of(reply.body)) == 5
    assert reply.ended == ("eof" if framing == "close" else "complete")
    assert ("transfer-encoding" in reply.headers) == (framing == "chunked")
    assert ("content-length" in reply.headers) == (framing == "content_length")
    assert reply.body.endswith(b"[DONE]\n\n")


def test_extensions_trailers_interim(server: ScriptedServer) -> None:
    reply = http(server, chunk_extensions=True, trailers=True, interim=[102, 103])
    assert len(reply.events) == 5
    assert reply.raw.startswith(b"HTTP/1.1 102 ")
    assert b"HTTP/1.1 103 " in reply.raw
    assert reply.raw.endswith(b"\r\n0\r\nx-tail: one\r\nx-more: two\r\n\r\n")
    assert reply.raw.count(b";a=1;b=two\r\n") == 5


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_status_with_an_error_object(server: ScriptedServer, status: int) -> None:
    reply = http(server, status=status)
    assert reply.status == status
    assert json.loads(reply.body)["error"]["code"] == status


def test_retry_after_in_both_forms(server: ScriptedServer) -> None:
    assert http(server, status=429, retry_after="2s").headers["retry-after"] == "2"
    date = http(server, status=429, retry_after="2s", retry_after_form="date")
    assert parsedate_to_datetime(date.headers["retry-after"]).tzinfo is not None


def test_ok_that_is_none(server: ScriptedServer) -> None:
    error = http(server, body="error")
    assert (error.status, "error" in json.loads(error.body)) == (200, True)
    plain = http(server, body="text")
    assert (plain.headers["content-type"], plain.body[:4]) == ("text/plain", b"some")
    whole = http(server, body="json")  # a stream was asked for
    assert whole.headers["content-type"] == "application/json"
    assert json.loads(whole.body)["choices"][0]["message"]["content"] == "the river runs"
    assert http(server, content_type="text/html").headers["content-type"] == "text/html"


def test_error_event_mid_stream(server: ScriptedServer) -> None:
    reply = http(server, error_at=1)
    assert ["error" in event for event in reply.events] == [False, False, True]
    assert b"[DONE]" not in reply.body


def test_uninvited_gzip(server: ScriptedServer) -> None:
    reply = http(server, gzip=True)
    assert reply.headers["content-encoding"] == "gzip"
    unzip = zlib.decompressobj(wbits=31)
    body = unzip.decompress(reply.body)
    assert unzip.eof
    assert len(json_of(body)) == 5


def test_a_proxy_holds_chunks_back(server: ScriptedServer) -> None:
    by_time = {"proxy": {"bytes": 100_000, "time": "500ms"}}
    reply = ask(server.port, max_tokens=50, script={"http": by_time})
    assert len(reply.events) == 52
    assert reply.raw.count(b"\r\n") < 20  # one HTTP chunk holds all
    by_bytes = {"proxy": {"bytes": 1000, "time": "500ms"}}
    reply = ask(server.port, max_tokens=50, script={"http": by_bytes})
    sends = [event["x_script"]["send_ns"] for event in reply.events]
    assert len(set(sends[1:51])) == 50  # stamped before the proxy held them
    assert reply.raw.count(b"\r\n") < 2 * 20 + 20


def test_writes_are_as_small_as_asked(server: ScriptedServer) -> None:
    assert len(http(server, write_bytes=3).events) == 5


def test_expect_100_continue(server: ScriptedServer) -> None:
    data = request_bytes(max_tokens=1, headers={"expect": "100-continue"})
    head, _, body = data.partition(b"\r\n\r\n")
    with connect(server.port) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        sock.sendall(body)
        assert read_reply(sock).status == 200


def test_a_connection_serves_many_or_one(server: ScriptedServer) -> None:
    with connect(server.port) as sock:
        for _ in range(3):
            sock.sendall(request_bytes(max_tokens=1))
            assert read_reply(sock).status == 200
        sock.sendall(request_bytes(max_tokens=1) * 2)  # pipelined: answered in order
        assert read_reply(sock).status == 200
        sock.sendall(request_bytes(max_tokens=1, script={"http": {"keep_alive": False}}))
        while data := sock.recv(65536):
            last = data
        assert last.endswith(b"0\r\n\r\n")


def test_rejected_fields_models_and_headers(server: ScriptedServer) -> None:
    script = {"http": {"reject_fields": ["stream_options.include_usage", "min_tokens"]}}
    assert ask(server.port, max_tokens=1, script=script).status == 200
    assert ask(server.port, max_tokens=1, min_tokens=1, script=script).status == 400
    options = {"include_usage": True}
    refused = ask(server.port, max_tokens=1, stream_options=options, script=script)
    assert refused.status == 400
    assert json.loads(refused.body)["error"]["param"] == "stream_options.include_usage"
    assert ask(server.port, model="b", script={"http": {"check_model": True}}).status == 404
    assert ask(server.port, script={"timing": {"tftt": "1s"}}).status == 400
    assert ask(server.port, messages=[]).status == 400
    assert ask(server.port, max_tokens=0).status == 400


def test_pages(server: ScriptedServer) -> None:
    client = HTTPConnection("127.0.0.1", server.port, timeout=60)
    pages = {}
    for path in ("/health", "/v1/models", "/metrics", "/script/log", "/nothing"):
        client.request("GET", path)
        response = client.getresponse()
        pages[path] = (response.status, response.read())
    client.close()
    assert [status for status, _ in pages.values()] == [200, 200, 200, 200, 404]
    assert json.loads(pages["/v1/models"][1])["data"][0]["id"] == "scripted"
    assert b"scripted_requests_total " in pages["/metrics"][1]
    rows = json.loads(pages["/script/log"][1])
    assert len(rows) == len(server.requests)
    assert rows[-1]["due_ns"] == list(server.requests[-1].due_ns)


def test_key() -> None:
    with ScriptedServer({"api_key": "k1", "timing": {"ttft": "1ms"}}) as server:
        assert ask(server.port, max_tokens=1).status == 401
        bearer = {"authorization": "Bearer k1"}
        assert ask(server.port, max_tokens=1, headers=bearer).status == 200


def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    with ScriptedServer({"timing": {"ttft": "1ms"}}, tls=(cert, key)) as server:
        trusting = ssl.create_default_context(cafile=str(cert))
        data = request_bytes(max_tokens=4)
        body = data.partition(b"\r\n\r\n")[2]
        client = HTTPSConnection("127.0.0.1", server.port, context=trusting, timeout=60)
        client.request("POST", "/v1/chat/completions", body)
        assert client.getresponse().read().endswith(b"[DONE]\n\n")
        client.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            HTTPSConnection("127.0.0.1", server.port, timeout=60).request("GET", "/health")
        framing = {"x-script": '{"http": {"framing": "close"}}'}
        client.request("POST", "/v1/chat/completions", body, framing)
        assert client.getresponse().read().endswith(b"[DONE]\n\n")
        client.close()

"""A client of bare sockets: what came over the wire, byte for byte, and nothing interpreted."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """head: status line and fields as they came. body: the rest, chunk framing taken off."""

    status: int
    headers: dict[str, str]
    raw: bytes
    body: bytes
    pieces: tuple[bytes, ...]
    ended: str  # "complete", "eof" or "reset"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Plain-spelled JSON events."""
        lines = self.body.decode().split("\n\n")
        found = [line.removeprefix("data: ") for line in lines if line.startswith("data: {")]
        return [json.loads(line) for line in found]


def request_bytes(
    *,
    path: str = "/v1/chat/completions",
    script: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    **body: Any,
) -> bytes:
    prompt: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three"}]}
    if path == "/v1/completions":
        prompt = {"prompt": "one two three"}
    payload = json.dumps({"model": "scripted", "stream": True} | prompt | body).encode()
    fields = {"host": "x", "content-length": str(len(payload))} | (headers or {})
    if script is not None:
        fields["x-script"] = json.dumps(script)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + payload


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def ask(port: int, **kwargs: Any) -> Reply:
    """One request on its own connection."""
    with connect(port) as sock:
        sock.sendall(request_bytes(**kwargs))
        return read_reply(sock)


def read_reply(sock: socket.socket) -> Reply:
    """Read until the framing says the reply is over, or the connection does."""
    raw, pieces, ended = b"", [], "complete"
    while not _is_whole(raw):
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            ended = "reset"
            break
        if not data:
            ended = "eof"
            break
        pieces.append(data)
        raw += data
    return _parse(raw, tuple(pieces), ended)


def _split(raw: bytes) -> tuple[bytes, bytes]:
    head, _, rest = raw.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head, _, rest = rest.partition(b"\r\n\r\n")
    return head, rest


def _fields(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


def _is_whole(raw: bytes) -> bool:
    head, rest = _split(raw)
    fields = _fields(head)
    if "content-length" in fields:
        return len(rest) >= int(fields["content-length"])
    return "transfer-encoding" in fields and unchunk(rest)[1]


def unchunk(data: bytes) -> tuple[bytes, bool]:
    """The chunks' contents, and whether the last one and its trailers are there."""
    body = b""
    while True:
        line, newline, rest = data.partition(b"\r\n")
        if not newline:
            return body, False
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return body, rest == b"\r\n" or rest.endswith(b"\r\n\r\n")
        if len(rest) < size + 2:
            return body + rest[:size], False
        body, data = body + rest[:size], rest[size + 2 :]


def _parse(raw: bytes, pieces: tuple[bytes, ...], ended: str) -> Reply:
    if not raw:
        return Reply(0, {}, raw, b"", pieces, ended)
    head, rest = _split(raw)
    fields = _fields(head)
    body = unchunk(rest)[0] if "transfer-encoding" in fields else rest
    return Reply(int(head.split()[1]), fields, raw, body, pieces, ended)


def settled(log: Any) -> Any:
    """The log once it is closed: that happens after the last byte, so a client may be earlier."""
    end_s = time.monotonic() + 60
    while log.outcome == "running" and time.monotonic() < end_s:
        time.sleep(0.005)
    return log


def http_chunks(raw: bytes) -> list[bytes]:
    """The chunks of a chunked body as they were framed, however the reads fell."""
    body, found = raw.split(b"\r\n\r\n", 1)[1], []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            break
        found.append(body[:length])
        body = body[length + 2 :]
    return found

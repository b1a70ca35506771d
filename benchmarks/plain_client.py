"""A third opinion: one blocking socket, one request at a time, a clock read after each recv.

Nothing of the harness is used. It reads what `constant_server` sends, no more: events are counted
by their blank line, HTTP framing and JSON are not looked at.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer by CLOCK_MONOTONIC: right before the send, right after the read of each token."""

    request_id: str
    sent_ns: int
    token_ns: tuple[int, ...]


def ask(port: int, num_requests: int, num_tok: int) -> list[Seen]:
    """num_requests one after another on one connection to 127.0.0.1."""
    message = {"role": "user", "content": "a plain client asks"}
    body = json.dumps({"stream": True, "max_tokens": num_tok, "messages": [message]}).encode()
    seen = []
    with socket.create_connection(("127.0.0.1", port), 30) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for k in range(num_requests):
            name = f"plain-{k}"
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: {name}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            request = head.encode() + body
            sent_ns = time.monotonic_ns()
            link.sendall(request)
            seen.append(Seen(name, sent_ns, _read(link, num_tok)))
    return seen


def _read(link: socket.socket, num_tok: int) -> tuple[int, ...]:
    """When each of the first num_tok events had come; reads to the end of the answer."""
    data = b""
    stamps: list[int] = []
    while not data.endswith(b"\r\n0\r\n\r\n"):
        part = link.recv(65_536)
        now_ns = time.monotonic_ns()
        if not part:
            raise ConnectionError("the server closed in the middle of an answer")
        data += part
        num_new = min(num_tok, data.count(b"\n\n")) - len(stamps)
        stamps += [now_ns] * num_new
    return tuple(stamps)

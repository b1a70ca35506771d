"""An endpoint that says exactly the bytes it is told to: no HTTP and no SSE of anybody's code.

Blocking sockets, a thread a connection. Which answer a request gets is decided by the ordinal at
the end of its X-Request-Id. What was sent when is kept, by CLOCK_MONOTONIC right before each send.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, Self

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = HEAD + b"\r\n"


class Tok(bytes):
    """A piece whose last byte makes one more token known."""


class Act(Enum):
    """What is not bytes. HALF_CLOSE: our side only. CLOSE_NOTIFY: of TLS, the socket stays open."""

    CLOSE, RESET, HALF_CLOSE, CLOSE_NOTIFY = range(4)


CLOSE, RESET, HALF_CLOSE, CLOSE_NOTIFY = Act
Piece = bytes | float | Act  # a float: seconds of silence
Answer = Sequence[Piece]


def event(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return b"data: " + text.encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def usage(n_out: int, n_in: int = 30, **more: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}
    return {"choices": [], "usage": counts | more}


def token(text: str) -> Tok:
    return Tok(event(delta(content=text)))


DONE, FINISH = event("[DONE]"), event(delta("stop"))
WORDS = ("one ", "two ", "three ", "four ")
TOKENS = tuple(map(token, WORDS))


def chunk(piece: bytes, extension: bytes = b"") -> bytes:
    made = b"%x%s\r\n%s\r\n" % (len(piece), extension, piece)
    return Tok(made) if isinstance(piece, Tok) else made


def chunked(*pieces: Piece, head: bytes = CHUNKED, tail: bytes = b"0\r\n\r\n") -> Answer:
    """Each piece a chunk of its own."""
    framed = [chunk(piece) if isinstance(piece, bytes) else piece for piece in pieces]
    return [head, *framed, tail]


def counted(*pieces: bytes, head: bytes = HEAD) -> Answer:
    size = sum(map(len, pieces))
    return [head + b"Content-Length: %d\r\n\r\n" % size, *pieces]


GOOD = chunked(*TOKENS, FINISH, event(usage(4)), DONE)


def end_listening(listener: socket.socket, acceptor: threading.Thread) -> None:
    """Wake the thread that waits in accept(), then close: it would wait for ever, and where a
    signal has the kernel ask again, it would ask the next socket of that number."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    acceptor.join(10)
    listener.close()


class RawServer:
    """answer_of: from the ordinal of a request and how often its connection was used before, what
    to say. pause_s: before each piece, so that each is a segment of its own; a tenth of it before
    one of a single byte, of which an answer may have hundreds. most_body: bytes of a request's body
    that are read before it is answered, None for all."""

    def __init__(
        self, answer_of: Callable[[int, int], Answer], pause_s: float = 0.002,
        host: str = "127.0.0.1", context: ssl.SSLContext | None = None,
        most_body: int | None = None,
    ) -> None:  # fmt: skip
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=512)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._answer_of, self._pause_s, self._context = answer_of, pause_s, context
        self._most_body = most_body
        port = self._listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.base_url = f"http{'s' if context else ''}://{name}:{port}/v1"
        self.sent: dict[str, list[int]] = {}  # by request id: ns of the pieces that are Toks
        self.last_sent: dict[str, int] = {}  # by request id: ns of its last piece of bytes
        self.asked: Counter[str] = Counter()  # by request id
        self.bodies: dict[str, bytes] = {}
        self.asked_ns: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        end_listening(self._listener, self._acceptor)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._context:
                link = self._context.wrap_socket(link, server_side=True)
            num_before = 0
            while (name := self._read(link)) is not None:
                answer = self._answer_of(int(name.rsplit("-", 1)[1]), num_before)
                num_before += 1
                if not self._say(link, name, answer):
                    return
        except OSError:
            pass
        finally:
            link.close()

    def _read(self, link: socket.socket) -> str | None:
        """The id of the next request, once all of it is there."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = link.recv(65_536)
            if not part:
                return None
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            fields[key.lower()] = value.strip()
        size = int(fields[b"content-length"])
        while len(body) < (size if self._most_body is None else min(size, self._most_body)):
            body += link.recv(4_096)
        name = fields[b"x-request-id"].decode()
        self.asked[name] += 1
        self.bodies[name], self.asked_ns[name] = body, time.monotonic_ns()
        return name

    def _say(self, link: socket.socket, name: str, answer: Answer) -> bool:
        """False when the connection is over."""
        stamps = self.sent[name] = []
        for piece in answer:
            if isinstance(piece, float):
                time.sleep(piece)
            elif piece is HALF_CLOSE:
                link.shutdown(socket.SHUT_WR)
            elif piece is CLOSE_NOTIFY:
                assert isinstance(link, ssl.SSLSocket)
                link.settimeout(0.2)
                with contextlib.suppress(OSError):
                    link.unwrap()  # sends it; the peer's need not come
                link.settimeout(None)
            elif isinstance(piece, Act):
                if piece is RESET:
                    linger = struct.pack("ii", 1, 0)
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            else:
                time.sleep(self._pause_s if len(piece) > 1 else self._pause_s / 10)
                self.last_sent[name] = time.monotonic_ns()
                if isinstance(piece, Tok):
                    stamps.append(time.monotonic_ns())
                link.sendall(piece)
        return True

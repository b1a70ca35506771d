"""One HTTP request and its answer over plain ASGI: no middleware, no response classes.

Reads a bounded body, writes JSON or a stream, and notices when the client leaves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from .body import parse
from .errors import ApiError

ASGIMessage = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIMessage]]
Send = Callable[[ASGIMessage], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_BODY_BYTES = 32 * 2**20
WRITE_BYTES = 64 * 1024  # of an answer in parts, at least so much at a time


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


class Exchange:
    """headers: the request's, lower case. reply_headers: added to whatever is answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.reply_headers: Headers = []
        self.has_started = False
        self._receive = receive
        self._send = send

    def header(self, name: str) -> str:
        """A request header; empty when it was not sent."""
        return self.headers.get(name.encode(), b"").decode("latin-1")

    async def read_json(self) -> object:
        """The body. Raises ApiError (400, 413, 415) and ClientGone."""
        coding = self.header("content-encoding").strip().lower()
        if coding not in ("", "identity"):
            raise ApiError(
                415,
                f"a body with 'content-encoding: {coding[:40]}' is not read; send it as it is",
                code="unsupported_media_type",
            )
        told = self.header("content-length")
        if told.isdecimal() and int(told) > MAX_BODY_BYTES:  # at once: it may never come
            raise ApiError(413, f"the body of {told[:20]} bytes exceeds {MAX_BODY_BYTES}")
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                raise ApiError(413, f"the body exceeds {MAX_BODY_BYTES} bytes")
            more = message.get("more_body", False)
        return await parse(body)

    async def left(self) -> None:
        """Returns when the client has closed the connection. Call after the body is read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send_json(
        self,
        status: int,
        content: object,
        headers: Headers | None = None,
        is_cut: bool = False,
    ) -> None:
        """is_cut: announce the whole length and send half of it (an injected fault)."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        # Half a surrogate pair (a field's name may hold one) goes out as the escape it came as.
        body = text.encode(errors="backslashreplace")
        length = (b"content-length", b"%d" % len(body))
        await self.start(status, b"application/json", [length, *(headers or [])])
        await (self.write(body[: len(body) // 2]) if is_cut else self.end(body))

    async def send_parts(self, status: int, parts: Sequence[bytes], is_cut: bool = False) -> None:
        """JSON that is rendered already. Of a long one no more is handed over than a client takes.

        is_cut: as for send_json.
        """
        length = sum(map(len, parts))
        await self.start(status, b"application/json", [(b"content-length", b"%d" % length)])
        if is_cut:
            await self.write(b"".join(parts)[: length // 2])
            return
        pending = bytearray()
        for part in parts:
            pending += part
            if len(pending) >= WRITE_BYTES:
                await self.write(bytes(pending))
                pending.clear()
        await self.end(bytes(pending))

    async def send_text(self, status: int, body: bytes, content_type: bytes) -> None:
        await self.start(status, content_type, [(b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def start(self, status: int, content_type: bytes, headers: Headers | None = None) -> None:
        self.has_started = True
        all_headers = [(b"content-type", content_type), *self.reply_headers, *(headers or [])]
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})

    async def write(self, body: bytes) -> None:
        """One write to the socket; waits when the client reads too slowly."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def watch(exchange: Exchange, on_leave: Callable[[BaseException], None]) -> asyncio.Task[None]:
    """A task that calls on_leave(ClientGone()) when the client closes; cancel it when done."""

    async def wait() -> None:
        await exchange.left()
        on_leave(ClientGone())

    return asyncio.create_task(wait())

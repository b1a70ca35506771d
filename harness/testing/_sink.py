"""Where the bytes of a body go on their way to the socket: gzip, proxy buffer, framing.

Each stage is a script's choice; without any, a chunked body is framed and handed on in one step.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from harness.testing._http_options import Http
from harness.units import NS_PER_S


class Sink:
    """The body of one response. send: hands bytes to the connection.

    flush_due_ns: when the proxy's buffer must leave, or None.
    """

    def __init__(self, http: Http, framing: str, send: Callable[[bytes], None]) -> None:
        self._http, self._framing, self._send = http, framing, send
        self._zip = zlib.compressobj(wbits=31) if http.gzip else None
        self._held = bytearray()
        self.flush_due_ns: int | None = None

    def write(self, data: bytes, now_ns: int) -> None:
        """A part of the body; it leaves now unless the proxy holds it."""
        if self._zip is not None:
            data = self._zip.compress(data) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        proxy = self._http.proxy
        if proxy is None:
            self._send(self.frame(data))
            return
        if not self._held:
            self.flush_due_ns = now_ns + round(proxy.time * NS_PER_S)
        self._held += data
        if len(self._held) >= proxy.bytes:
            self.flush()

    def frame(self, data: bytes, size: int | None = None) -> bytes:
        """data as an HTTP chunk, or as it is. size: of a template's bytes once it is filled."""
        if self._framing != "chunked":
            return data
        extension = b";a=1;b=two" if self._http.chunk_extensions else b""
        return b"%x%b\r\n%b\r\n" % (len(data) if size is None else size, extension, data)

    def flush(self) -> None:
        """The proxy lets go of what it holds."""
        self.flush_due_ns = None
        if self._held:
            held = bytes(self._held)
            self._held.clear()
            self._send(self.frame(held))

    def finish(self) -> None:
        """The end of the body, its trailers included."""
        if self._zip is not None:
            self._held += self._zip.flush()
        self.flush()
        if self._framing == "chunked":
            trailers = b"x-tail: one\r\nx-more: two\r\n" if self._http.trailers else b""
            self._send(b"0\r\n" + trailers + b"\r\n")

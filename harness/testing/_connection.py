"""One accepted connection: bytes in until a request is whole, bytes out without ever blocking."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Literal

READ_BYTES = 64 * 2**10
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds


class Connection:
    """state: what the loop waits for. write_bytes: cap of one send, or None."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = sock.fileno()
        self.sock: socket.socket | ssl.SSLSocket = sock
        self.state: Literal["handshake", "reading", "answering", "closed"] = "reading"
        if context is not None:
            self.sock = context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
            self.state = "handshake"
        self.received = bytearray()
        self.unsent = bytearray()
        self.write_bytes: int | None = None
        self.closes_when_sent = False
        self.idle_since_ns = 0

    def shake(self) -> bool:
        """One step of the TLS handshake; whether it is done. Raises OSError when it failed."""
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        self.state = "reading"
        return True

    def receive(self, limit: int = READ_BYTES) -> bool:
        """Append what came to `received`; False at the end of the stream."""
        try:
            data = self.sock.recv(limit)
            while data and isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
                self.received += data
                data = self.sock.recv(limit)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        self.received += data
        return bool(data)

    def send(self, data: bytes) -> None:
        """Hand to the socket what it takes now; the loop sends the rest."""
        if self.state == "closed":
            return
        if self.unsent or self.write_bytes is not None:
            self.unsent += data
            self.send_more()
            return
        try:
            num_sent = self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            num_sent = 0
        except OSError:  # the client went away; the loop sees the end of its stream
            return
        if num_sent < len(data):
            self.unsent += data[num_sent:]

    def send_more(self) -> None:
        """Try to send what is left."""
        while self.unsent:
            size = self.write_bytes or len(self.unsent)
            try:
                num_sent = self.sock.send(self.unsent[:size])
            except (BlockingIOError, ssl.SSLWantWriteError):
                return
            except OSError:
                self.unsent.clear()
                return
            del self.unsent[:num_sent]

    def close(self) -> None:
        """FIN, once everything is sent."""
        if self.unsent:
            self.closes_when_sent = True
            return
        if self.state != "closed":
            self.state = "closed"
            with suppress(OSError, ValueError):
                if isinstance(self.sock, ssl.SSLSocket):
                    self.sock.unwrap()  # sends close_notify; we do not wait for theirs
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
            self.sock.close()

    def reset(self) -> None:
        """RST at once."""
        if self.state != "closed":
            self.state = "closed"
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            self.sock.close()

"""TLS over memory buffers, so that the socket stays ours: stamps are those of the ciphertext.

A plaintext byte takes the stamp of the receive that completed its record.
"""

from __future__ import annotations

import os
import ssl
from functools import cache

from harness.load.faults import TlsFault, TruncatedFault

_READ_BYTES = 65_536


@cache
def client_context() -> ssl.SSLContext:
    """Verifies; SSL_CERT_FILE names another authority. HTTP/1.1 only."""
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsStream:
    """One client side. Bytes in and out are the caller's business."""

    __slots__ = ("_incoming", "_object", "_outgoing", "is_closed")

    def __init__(self, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = client_context().wrap_bio(
            self._incoming, self._outgoing, server_hostname=host
        )
        self.is_closed = False

    def handshake(self, received: bytes = b"") -> tuple[bool, bytes]:
        """Take what came; whether it is finished, and what to send. Raises TlsFault."""
        if received:
            self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
            raise TlsFault(str(reason)) from None
        return True, self._outgoing.read()

    def encrypt(self, plain: bytes) -> bytes:
        self._object.write(plain)
        return self._outgoing.read()

    def feed(self, received: bytes) -> bytes:
        """Plaintext of the records that are whole now. Raises TruncatedFault on a broken one."""
        self._incoming.write(received)
        parts = []
        try:
            while part := self._object.read(_READ_BYTES):
                parts.append(part)
            self.is_closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_closed = True
        except ssl.SSLError as error:
            raise TruncatedFault(f"TLS: {error.reason or 'broken record'}") from None
        return b"".join(parts)

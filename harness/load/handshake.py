"""How long it takes to reach an endpoint: name, TCP and TLS, each timed once; no request is sent.

A run keeps connections, so these are paid once a connection and never part of a reused one's TTFT.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import TargetError
from harness.load._probe_http import Target

CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Handshake:
    """Seconds. tls_s, tls_version: None and empty for a plain connection."""

    dns_s: float
    tcp_s: float
    tls_s: float | None = None
    tls_version: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def time_handshake(base_url: str) -> Handshake:
    """Raises TargetError: dns, refused, timeout, certificate."""
    target = Target(base_url, None, {}, CONNECT_S)
    begin = time.monotonic()
    target.resolve()
    resolved = time.monotonic()
    with target.connect() as plain:
        connected = time.monotonic()
        times = (resolved - begin, connected - resolved)
        if not target.is_tls:
            return Handshake(*times)
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
        try:
            with context.wrap_socket(plain, server_hostname=target.host) as secure:
                tls_s = time.monotonic() - connected
                return Handshake(*times, tls_s, secure.version() or "")
        except OSError as error:  # ssl.SSLError is one
            raise TargetError(
                "no secure connection", where=target.shown, why=str(error),
                do="check the scheme and the certificate; SSL_CERT_FILE names another authority",
            ) from None  # fmt: skip

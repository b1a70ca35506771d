"""Kept connections of one endpoint, the last used first; unbounded, dropped after 4 s idle.

Servers commonly close after 5 s; the last used is the least likely to be closed just now. A
connection is checked before it is used again. The name is resolved once a point.
"""

from __future__ import annotations

import socket
from time import monotonic_ns
from typing import Any
from urllib.parse import urlsplit

import gevent

from harness.load.faults import DnsFault, WireFault
from harness.load.opening import open_connection
from harness.load.polls import Polls
from harness.load.sockets import SOCKETS
from harness.load.wire import Connection

IDLE_NS = 4_000_000_000
MAX_WARM_AT_ONCE = 64


class Pool:
    """Connections to one scheme, host and port.

    keeps: False where the server closes after each answer; a connection then serves one exchange.
    """

    def __init__(
        self, base_url: str, connect_timeout_s: float, polls: Polls, keeps: bool = True
    ) -> None:
        parts = urlsplit(base_url)
        self.is_tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.is_tls else 80)
        self.path = parts.path.rstrip("/")
        self._timeout_s, self._polls, self._keeps = connect_timeout_s, polls, keeps
        self._idle: list[Connection] = []  # the last used at the end
        self._addresses: list[tuple[int, tuple[Any, ...]]] = []
        self._lookup: gevent.Greenlet | None = None
        self.num_opened = 0

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.is_tls else 80
        return name if self.port == default else f"{name}:{self.port}"

    def resolve(self) -> int:
        """Look the name up where that has not been done, one lookup for all who wait; the time
        it took, ns. Raises DnsFault, also when the name server is silent."""
        if self._addresses:
            return 0
        begin_ns = monotonic_ns()
        if self._lookup is None:
            self._lookup = gevent.spawn(self._look_up)
        lookup = self._lookup
        lookup.join(self._timeout_s)
        if not lookup.ready():
            raise DnsFault(f"no answer from the name server within {self._timeout_s:g} s")
        self._lookup = None
        if lookup.value:
            raise DnsFault(lookup.value)
        return monotonic_ns() - begin_ns

    def _look_up(self) -> str:
        """Why the name has no address; nothing when it has."""
        try:
            rows = gevent.get_hub().resolver.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            return f"the name has no address: {error}"
        self._addresses = [(int(row[0]), row[4]) for row in rows]
        return ""

    def take_kept(self) -> Connection | None:
        """A kept connection for one exchange, None where there is none. Never blocks."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            SOCKETS.num_dropped += not connection.is_closed
            connection.close()
        return None

    def take(self) -> Connection:
        """A connection for one exchange; may block its greenlet. Raises a WireFault when none can
        be made."""
        return self.take_kept() or self._open()

    def give(self, connection: Connection) -> None:
        """Keep it for the next exchange."""
        connection.end()
        if connection.num_uses and not self._keeps:
            SOCKETS.num_dropped += not connection.is_closed
            connection.close()
        if connection.is_closed:
            return
        connection.on_idle_close = self._forget
        self._idle.append(connection)

    def warm(self, count: int) -> None:
        """Open connections beforehand; what fails here will fail, and be counted, in the load."""
        count -= len(self._idle)
        while count > 0:
            batch = [gevent.spawn(self._warm_one) for _ in range(min(count, MAX_WARM_AT_ONCE))]
            gevent.joinall(batch)
            if not any(greenlet.value for greenlet in batch):
                return
            count -= len(batch)

    def drop_idle(self) -> None:
        """Close what nobody used for 4 s."""
        limit_ns = monotonic_ns() - IDLE_NS
        old = [c for c in self._idle if c.idle_since_ns < limit_ns]
        if old:
            self._idle = [c for c in self._idle if c.idle_since_ns >= limit_ns]
            for connection in old:
                connection.close()

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _open(self) -> Connection:
        dns_ns = self.resolve()
        connection = open_connection(
            self._addresses, self.host, self.is_tls, self._timeout_s, self._polls
        )
        connection.dns_ns = dns_ns
        connection.watch()
        self.num_opened += 1
        return connection

    def _warm_one(self) -> bool:
        try:
            connection = self._open()
        except WireFault:
            return False
        # opened before any request was due: no request waited for it
        connection.dns_ns = connection.tcp_ns = connection.tls_ns = 0
        self.give(connection)
        return True

    def _forget(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

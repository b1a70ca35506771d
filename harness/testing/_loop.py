"""The one epoll loop: accepts, reads, and resumes each exchange when its next bytes are due.

Waiting is by select() on the epoll descriptor, whose time-out has microseconds; epoll's own rounds
up to a millisecond, which would be the endpoint's error and look like the client's.
"""

from __future__ import annotations

import heapq
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from time import monotonic_ns

from harness.testing._ask import BadRequest, Head, read_head
from harness.testing._connection import Connection
from harness.testing._head import head, refusal
from harness.testing._service import Service
from harness.units import NS_PER_S

MAX_WAIT_NS = NS_PER_S
BACKLOG = 1024
SIP_BYTES = 1024


class Loop:
    """Serves until `stop`. Timers hold generators; each yields the next time it wants."""

    def __init__(
        self, listener: socket.socket, service: Service, context: ssl.SSLContext | None
    ) -> None:
        self._epoll = select.epoll()
        self._listener, self._service, self._context = listener, service, context
        self._connections: dict[int, Connection] = {}
        self._timers: list[tuple[int, int, Iterator[int], Connection | None]] = []
        self._order = count()
        self._is_stopping = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._epoll.register(self._wake_in, select.EPOLLIN)
        self._address = listener.getsockname()
        self._is_listening = False
        self.listen()
        for outage in service.listener_outages(self):
            self._start(outage, None)

    # --- the loop -------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while not self._is_stopping:
                self._wait()
                self._resume_due()
                for fd, mask in self._epoll.poll(0):
                    self._on_event(fd, mask)
        finally:
            for connection in list(self._connections.values()):
                self._drop(connection)
            self._listener.close()
            self._epoll.close()
            self._wake_in.close()
            self._wake_out.close()

    def stop(self) -> None:
        """From any thread."""
        self._is_stopping = True
        with suppress(OSError):  # the loop has ended
            self._wake_out.send(b".")

    def _wait(self) -> None:
        wait_ns = MAX_WAIT_NS
        if self._timers:
            wait_ns = min(wait_ns, self._timers[0][0] - monotonic_ns())
        if wait_ns <= 0:
            return
        fd = self._epoll.fileno()
        if fd < 1024:
            select.select([fd], [], [], wait_ns / NS_PER_S)
        else:  # beyond what select() can name
            self._epoll.poll(wait_ns / NS_PER_S, 0)

    def _resume_due(self) -> None:
        """Everything due now, earliest first."""
        timers = self._timers
        now_ns = monotonic_ns()
        while timers and timers[0][0] <= now_ns:
            _, order, work, connection = timers[0]
            if connection is not None and connection.state == "closed":
                heapq.heappop(timers)
                continue
            next_ns = next(work, None)
            if next_ns is None:
                heapq.heappop(timers)
                self._settle(connection)
            else:
                heapq.heapreplace(timers, (next_ns, order, work, connection))
                if connection is not None and connection.unsent:
                    self._watch(connection)

    def _start(self, work: Iterator[int], connection: Connection | None) -> None:
        first_ns = next(work, None)
        if first_ns is not None:
            heapq.heappush(self._timers, (first_ns, next(self._order), work, connection))

    # --- connections ----------------------------------------------------------------------------

    def _on_event(self, fd: int, mask: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            if fd == self._wake_in.fileno():
                self._wake_in.recv(64)
            elif self._is_listening and fd == self._listener.fileno():
                self._accept()
            return
        if connection.state == "handshake":
            try:
                if not connection.shake():
                    return
            except OSError:
                self._drop(connection)
                return
        if mask & select.EPOLLOUT:
            connection.send_more()
            self._watch(connection)
        if mask & ~select.EPOLLOUT:
            self._on_readable(connection)

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection(sock, self._context)
            self._connections[connection.fd] = connection
            transport = self._service.script.transport
            rate = transport.read_bytes_per_s
            delay_s = transport.tls_delay if connection.state == "handshake" else 0.0
            self._epoll.register(connection.fd, 0 if rate or delay_s else select.EPOLLIN)
            if rate:
                self._start(self._read_slowly(connection, rate), connection)
            elif delay_s:
                self._start(self._shake_later(connection, delay_s), connection)

    def _on_readable(self, connection: Connection) -> None:
        if not connection.receive():
            self._service.client_left(connection)
            self._drop(connection)
        elif connection.state == "reading":
            self._try_request(connection)

    def _shake_later(self, connection: Connection, delay_s: float) -> Iterator[int]:
        """The client's hello lies unread for delay_s."""
        yield monotonic_ns() + round(delay_s * NS_PER_S)
        self._epoll.modify(connection.fd, select.EPOLLIN)

    def _read_slowly(self, connection: Connection, rate: int) -> Iterator[int]:
        """1 KiB at a time at rate bytes/s, by a timer: epoll does not report its input."""
        while connection.state != "closed":
            yield monotonic_ns() + SIP_BYTES * NS_PER_S // rate
            if not connection.receive(SIP_BYTES):
                self._service.client_left(connection)
                self._drop(connection)
            elif connection.state == "reading":
                self._try_request(connection)

    def _try_request(self, connection: Connection) -> None:
        try:
            request = read_head(connection.received)
            if request is None:
                return
            size = request.size + request.body_bytes
        except BadRequest as error:
            connection.send(refusal(error))
            connection.close()
            self._settle(connection)
            return
        if len(connection.received) < size:
            if request.headers.get("expect", "").lower() == "100-continue":
                self._continue(connection, request)
            return
        payload = bytes(connection.received[request.size : size])
        del connection.received[:size]
        connection.state = "answering"
        work = self._service.answer(connection, request, payload, monotonic_ns())
        if work is None:
            self._settle(connection)
        else:
            self._start(work, connection)

    def _continue(self, connection: Connection, request: Head) -> None:
        if len(connection.received) == request.size:
            connection.send(head(100, {}))

    def _settle(self, connection: Connection | None) -> None:
        """After an answer: the next request, or the end of the connection."""
        if connection is None:
            return
        if connection.state == "closed":
            self._forget(connection)
            return
        if connection.unsent:
            self._watch(connection)
        if connection.state == "answering":
            connection.state = "reading"
            connection.idle_since_ns = monotonic_ns()
            idle = self._service.idle(connection)
            if idle is not None:
                self._start(idle, connection)
            if connection.received:
                self._try_request(connection)

    def _watch(self, connection: Connection) -> None:
        """Ask for writability exactly while something is left to send."""
        if connection.closes_when_sent and not connection.unsent:
            connection.close()
        if connection.state == "closed":
            self._forget(connection)
            return
        reads = 0 if self._service.script.transport.read_bytes_per_s else select.EPOLLIN
        self._epoll.modify(connection.fd, reads | (select.EPOLLOUT if connection.unsent else 0))

    def _drop(self, connection: Connection) -> None:
        connection.unsent.clear()
        connection.close()
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        # the descriptor may already belong to a younger connection
        if self._connections.get(connection.fd) is connection:
            del self._connections[connection.fd]

    # --- the listener, for outages --------------------------------------------------------------

    def listen(self) -> None:
        """Accept connections (again)."""
        if self._is_listening:
            return
        if self._listener.fileno() < 0:
            self._listener = bind(self._address[0], self._address[1])
        self._listener.listen(BACKLOG)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._is_listening = True

    def refuse(self) -> None:
        """Close the listener and every connection, as a server that died."""
        self._is_listening = False
        self._listener.close()
        for connection in list(self._connections.values()):
            self._service.client_left(connection)
            connection.reset()
            self._forget(connection)

    def leave_unaccepted(self) -> None:
        """Connections pile up in the smallest backlog there is."""
        self._is_listening = False
        self._epoll.unregister(self._listener)
        self._listener.listen(0)


def bind(host: str, port: int) -> socket.socket:
    """A non-blocking TCP socket that is bound and not yet listening."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock

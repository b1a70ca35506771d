"""One connection over a real loopback socket: stamps, ends of all kinds, fitness for reuse."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Iterator
from time import monotonic_ns

import pytest

from harness.load.faults import StaleFault, TruncatedFault, WireFault
from harness.load.polls import Polls
from harness.load.wire import (
    NUM_STAMPS,
    SO_TIMESTAMPNS,
    STALE_IDLE_NS,
    Connection,
    hold_kernel_stamps,
)

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Listener:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.ends: list[WireFault | None] = []

    def on_answer_end(self, fault: WireFault | None) -> None:
        self.ends.append(fault)


class Pair:
    """Our connection and the server's end of it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            self.peer, _ = server.accept()
        client.setblocking(False)
        self._client = client
        if sys.platform == "linux":
            client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = Connection(client, None, Polls())
        self.listener = Listener()
        self.closed: list[Connection] = []
        self.connection.on_idle_close = self.closed.append

    def begin(self, idle_ns: int = 0) -> None:
        self.connection.begin(self.listener)
        self.connection.sent_ns = monotonic_ns()
        self.connection.idle_since_ns = self.connection.sent_ns - idle_ns

    def wait(self) -> None:
        """Until what the peer did has arrived: a busy kernel delivers later than send returns."""
        assert select.select([self._client], [], [], 60)[0]

    def ring(self) -> None:
        """As the hub does when the socket is readable."""
        self.wait()
        self.connection._on_readable()


@pytest.fixture
def pair() -> Iterator[Pair]:
    holder = hold_kernel_stamps()
    made = Pair()
    yield made
    made.connection.close()
    made.peer.close()
    holder.close()


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
def test_kernel_stamps_lie_between_send_and_read(pair: Pair) -> None:
    pair.begin()
    before_ns = time.time_ns()
    pair.peer.sendall(HEAD)
    sent_ns = time.time_ns()
    pair.ring()
    kernel_ns, user_ns, _, offset = pair.connection.receives
    assert before_ns - 1_000_000 <= kernel_ns <= sent_ns + 1_000_000
    assert user_ns <= monotonic_ns()
    assert offset == 0
    assert pair.connection.head_row == 0


def test_each_receive_leaves_its_offset_and_the_end_is_told_once(pair: Pair) -> None:
    pair.begin()
    for part in (HEAD, b"5\r\nhello\r\n", b"1\r\n!\r\n0\r\n\r\n"):
        pair.peer.sendall(part)
        pair.ring()
    assert list(pair.connection.receives[NUM_STAMPS - 1 :: NUM_STAMPS]) == [0, 5, 6]
    assert pair.listener.ends == [None]
    assert not pair.connection.is_closed


def test_an_early_end_is_truncated(pair: Pair) -> None:
    pair.begin()
    pair.peer.sendall(HEAD + b"5\r\nhe")
    pair.ring()
    pair.peer.close()
    pair.ring()
    (fault,) = pair.listener.ends
    assert isinstance(fault, TruncatedFault)
    assert pair.connection.is_closed


def test_a_kept_connection_closed_as_we_use_it_is_stale(pair: Pair) -> None:
    pair.begin()
    pair.peer.sendall(HEAD + b"0\r\n\r\n")
    pair.ring()
    pair.begin(idle_ns=2 * STALE_IDLE_NS)
    pair.peer.close()
    pair.ring()
    assert isinstance(pair.listener.ends[1], StaleFault)


def test_a_connection_closed_as_we_first_use_it_is_the_servers_failure(pair: Pair) -> None:
    pair.begin(idle_ns=2 * STALE_IDLE_NS)
    pair.peer.close()
    pair.ring()
    assert isinstance(pair.listener.ends[0], TruncatedFault)


@pytest.mark.parametrize("idle_ns", [0, STALE_IDLE_NS // 2])
def test_closed_on_a_connection_just_used_is_not_stale(pair: Pair, idle_ns: int) -> None:
    pair.begin()
    pair.peer.sendall(HEAD + b"0\r\n\r\n")
    pair.ring()
    pair.begin(idle_ns=idle_ns)
    pair.peer.close()
    pair.ring()
    assert isinstance(pair.listener.ends[1], TruncatedFault)


def test_an_idle_connection_that_ends_or_speaks_is_given_up(pair: Pair) -> None:
    assert pair.connection.is_usable()
    pair.peer.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    pair.wait()
    assert not pair.connection.is_usable()
    pair.ring()
    assert pair.closed == [pair.connection]


def test_connection_close_is_not_kept(pair: Pair) -> None:
    pair.begin()
    pair.peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    pair.ring()
    assert pair.listener.ends == [None]
    assert pair.connection.is_closed

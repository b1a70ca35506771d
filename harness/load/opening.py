"""A connection opened: the first address that answers, TCP, then TLS where the scheme asks for it.

Each step has its limit and its own duration. Nothing here is retried, and nothing is sent but the
handshake.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterable
from time import monotonic_ns
from typing import Any

from harness.load.faults import ClientFault, ConnectFault, TlsFault
from harness.load.polls import Polls
from harness.load.tls import TlsStream
from harness.load.wire import (
    OURS,
    RECV_BYTES,
    SO_TIMESTAMPNS,
    Connection,
    Socket,
    errno_name,
    wait_ready,
)
from harness.records.schema import NOBODY_LISTENS


def open_connection(
    addresses: Iterable[tuple[int, tuple[Any, ...]]],
    host: str,
    is_tls: bool,
    timeout_s: float,
    polls: Polls,
) -> Connection:
    """Connect to the first address that answers; TCP and TLS have timeout_s each.

    Blocks its greenlet. Raises ConnectFault, TlsFault, ClientFault.
    """
    begin_ns = monotonic_ns()
    raw, last = None, ConnectFault("the name has no address")
    for family, address in addresses:
        try:
            raw = _connect(family, address, timeout_s)
            break
        except ConnectFault as fault:
            last = fault
    if raw is None:
        raise last
    tcp_ns = monotonic_ns() - begin_ns
    try:
        tls = _secure(raw, host, timeout_s) if is_tls else None
        connection = Connection(raw, tls, polls)
    except BaseException:
        raw.close()
        raise
    connection.tcp_ns = connection.rtt_ns = tcp_ns
    connection.tls_ns = monotonic_ns() - begin_ns - tcp_ns if is_tls else 0
    return connection


def _connect(family: int, address: tuple[Any, ...], timeout_s: float) -> Any:
    try:
        raw = Socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ClientFault(f"no socket: {errno_name(error)}") from None
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        code = raw.connect_ex(address)
        if code == errno.EINPROGRESS:
            if not wait_ready(raw, 2, timeout_s):
                raise ConnectFault(f"no connection within {timeout_s:g} s")
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code in OURS:
            raise ClientFault(f"cannot connect: {errno.errorcode[code]}")
        if code == errno.ETIMEDOUT:  # the kernel was less patient
            raise ConnectFault("no connection: the peer did not answer")
        if code:
            raise ConnectFault(f"{NOBODY_LISTENS}{os.strerror(code)}")
        return raw
    except BaseException:
        raw.close()
        raise


def _secure(raw: Any, host: str, timeout_s: float) -> TlsStream:
    """The TLS handshake, cooperative."""
    deadline_ns = monotonic_ns() + int(timeout_s * 1e9)
    tls = TlsStream(host)
    is_over, out = tls.handshake()
    while True:
        while out:
            try:
                out = out[raw.send(out) :]
            except BlockingIOError:
                _wait_until(raw, 2, deadline_ns)
            except OSError as error:
                raise TlsFault(f"the handshake broke: {errno_name(error)}") from None
        if is_over:
            return tls
        _wait_until(raw, 1, deadline_ns)
        try:
            received = raw.recv(RECV_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            raise TlsFault(f"the handshake broke: {errno_name(error)}") from None
        if not received:
            raise TlsFault("the peer closed during the handshake")
        is_over, out = tls.handshake(received)


def _wait_until(raw: Any, events: int, deadline_ns: int) -> None:
    left_s = (deadline_ns - monotonic_ns()) / 1e9
    if left_s <= 0 or not wait_ready(raw, events, left_s):
        raise TlsFault("the handshake took too long")

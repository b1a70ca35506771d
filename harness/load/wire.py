"""One connection: bytes and stamps, nothing else. The receive path runs in the hub, a few us long.

Each receive leaves four numbers: the kernel's stamp of its last segment (REALTIME, 0 where there is
none), our own stamp (MONOTONIC) taken before any work on the bytes, the time of the poll before
the one that reported it, and the body offset reached. What they mean is stamps.py's business.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from array import array
from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns
from typing import Any, Protocol

import gevent
from gevent import monkey

from harness.load.faults import (
    ClientFault,
    StaleFault,
    TimeoutFault,
    TruncatedFault,
    WireFault,
)  # fmt: skip
from harness.load.http1 import ResponseReader
from harness.load.polls import Polls
from harness.load.sockets import SOCKETS
from harness.load.tls import TlsStream

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the kernel answers with a timespec
RECV_BYTES = 65_536
ANCILLARY_BYTES = 64
NUM_STAMPS = 4  # numbers a receive leaves
STALE_IDLE_NS = 1_000_000_000
STALE_FLOOR_NS = 5_000_000  # two round trips, but never less: resets carry no kernel stamp
_timespec = struct.Struct("qq").unpack
# errors that are our own: too few descriptors, ports, memory
OURS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
Socket: Any = monkey.get_original("socket", "socket")


def hold_kernel_stamps() -> Any:
    """An idle UDP socket with stamping on. The kernel enables stamping lazily: without one held
    for the process's life the first millisecond of every burst has none."""
    holder = Socket(socket.AF_INET, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        holder.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return holder


class Listener(Protocol):
    """Who is told, in the hub, that the exchange on a connection is over."""

    def on_answer_end(self, fault: WireFault | None) -> None: ...


class Connection:
    """A keep-alive connection. Made by opening.py; used by one exchange at a time."""

    __slots__ = (
        "_has_unsent",
        "_is_sending",
        "_read_watcher",
        "_recvmsg",
        "_socket",
        "_tls",
        "dns_ns",
        "head_row",
        "idle_since_ns",
        "is_closed",
        "listener",
        "num_uses",
        "on_idle_close",
        "polls",
        "reader",
        "receives",
        "rtt_ns",
        "sent_ns",
        "tcp_ns",
        "tls_ns",
    )  # fmt: skip

    def __init__(self, raw: Any, tls: TlsStream | None, polls: Polls) -> None:
        self._socket, self._tls, self.polls = raw, tls, polls
        self._recvmsg = raw.recvmsg
        self.dns_ns = self.tcp_ns = self.tls_ns = self.rtt_ns = 0
        self.num_uses, self.idle_since_ns, self.sent_ns = 0, monotonic_ns(), 0
        self.is_closed = self._is_sending = self._has_unsent = False
        self.listener: Listener | None = None
        self.on_idle_close: Callable[[Connection], None] | None = None
        self.reader = ResponseReader()
        self.receives = array("q")
        self.head_row = -1
        self._read_watcher = gevent.get_hub().loop.io(raw.fileno(), 1)
        SOCKETS.opened(raw)

    def watch(self) -> None:
        """Start to read; from now on bytes that come while idle close the connection."""
        self._read_watcher.start(self._on_readable)

    def begin(self, listener: Listener) -> None:
        """Get ready for one exchange."""
        self.reader, self.receives, self.head_row = ResponseReader(), array("q"), -1
        self.listener = listener
        self.num_uses += 1

    def is_usable(self) -> bool:
        """False when the peer has closed an idle connection or spoken on it."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self.is_closed
        except OSError:
            return False
        if self._tls is not None:  # a session ticket is no reason to part
            self._on_readable()
            return not self.is_closed
        return False

    def send(self, request: bytes) -> memoryview:
        """Write what the socket takes at once; what is left, empty when that was all. Never
        blocks: the hub may call it. sent_ns: just before the first byte. Raises a WireFault."""
        data = self._tls.encrypt(request) if self._tls else request
        self.sent_ns = monotonic_ns()
        try:
            num_sent = self._socket.send(data)
        except BlockingIOError:
            num_sent = 0
        except OSError as error:
            raise self._send_fault(error) from None
        self._has_unsent = num_sent < len(data)
        return memoryview(data)[num_sent:]

    def send_rest(self, data: memoryview, timeout_s: float) -> None:
        """Write what `send` left; blocks its greenlet. Raises a WireFault. A fault of an exchange
        already answered is not one: its answer stands."""
        if self.listener is None:
            return
        self._is_sending = True
        try:
            self._send_rest(data, self.sent_ns + int(timeout_s * 1e9))
            self._has_unsent = False
        finally:
            self._is_sending = False
            if self.is_closed:
                self._shut()

    def _send_rest(self, data: memoryview, deadline_ns: int) -> None:
        """What did not fit at once, unless the answer comes first, as a refusal may."""
        while data:
            left_s = (deadline_ns - monotonic_ns()) / 1e9
            if left_s <= 0 or not wait_ready(self._socket, 2, left_s):
                raise TimeoutFault("the request could not be written", "timeout_send")
            if self.listener is None:
                return
            try:
                data = data[self._socket.send(data[:262_144]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                num_read = -1
                while self.listener is not None and len(self.receives) > num_read:
                    num_read = len(self.receives)
                    self._on_readable()  # what the peer said before it closed
                if self.listener is None:
                    return
                raise self._send_fault(error) from None

    def end(self) -> None:
        """Give the connection back to the pool's care."""
        self.listener = None
        self.idle_since_ns = monotonic_ns()

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._read_watcher.stop()
        self._read_watcher.close()
        if self._is_sending:  # libev dies of a closed descriptor that a greenlet waits to write to
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes it
            return
        self._shut()

    def _shut(self) -> None:
        SOCKETS.closing(self._socket)
        self._socket.close()

    def _on_readable(self) -> None:
        try:
            data, ancillary, _, _ = self._recvmsg(RECV_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._over(self._reset_fault(error))
            return
        user_ns = monotonic_ns()
        if self.listener is None:
            self._idle_event(data)
            return
        if ancillary:
            seconds, nanoseconds = _timespec(ancillary[0][2])
            kernel_ns = seconds * 1_000_000_000 + nanoseconds
        else:
            kernel_ns = 0
        reader, tls, fault = self.reader, self._tls, None
        try:
            if tls is not None:
                is_done = self._feed_tls(tls, data)
            elif data:
                is_done = reader.feed(data)
            else:
                is_done = self._feed_end()
        except WireFault as error:
            is_done, fault = True, error
        if data or tls is not None:
            offset = reader.body_base + len(reader.body)
            self.receives.extend((kernel_ns, user_ns, self.polls.previous_ns, offset))
            if self.head_row < 0 and reader.has_head:
                self.head_row = len(self.receives) // NUM_STAMPS - 1
        if is_done:
            self._over(fault)

    def _feed_end(self) -> bool:
        """The peer closed."""
        if not self.reader.eof():
            raise self._ended_early()
        return True

    def _feed_tls(self, tls: TlsStream, data: bytes) -> bool:
        if not data:
            return self._feed_end()
        data = tls.feed(data)
        is_done = self.reader.feed(data) if data else False
        if tls.is_closed and not is_done and not self.reader.eof():
            raise TruncatedFault("TLS closed in the middle of the answer")
        return is_done or tls.is_closed

    def _over(self, fault: WireFault | None) -> None:
        listener, self.listener = self.listener, None
        is_spent = self._has_unsent or (self._tls is not None and self._tls.is_closed)
        if fault is not None or is_spent or not self.reader.keeps_alive:
            SOCKETS.num_dropped += fault is None or isinstance(fault, StaleFault)
            self.close()
        if listener is not None:
            listener.on_answer_end(fault)
        elif not self.is_closed:
            self._idle_event()

    def _idle_event(self, data: bytes = b"") -> None:
        """The peer closed, reset or spoke while nothing was asked."""
        if data and self._tls is not None:
            try:
                if not self._tls.feed(data) and not self._tls.is_closed:
                    return  # session tickets and key updates
            except WireFault:
                pass
        SOCKETS.num_dropped += not self.is_closed
        self.close()
        if self.on_idle_close is not None:
            self.on_idle_close(self)

    def _ended_early(self) -> WireFault:
        if self._is_stale():
            return StaleFault("a kept connection was closed as we used it")
        where = "the answer" if self.reader.has_head else "the headers"
        return TruncatedFault(f"the connection ended before the end of {where}")

    def _reset_fault(self, error: OSError) -> WireFault:
        if self._is_stale():
            return StaleFault("a kept connection was reset as we used it")
        return TruncatedFault(f"the connection broke: {errno_name(error)}")

    def _send_fault(self, error: OSError) -> WireFault:
        if error.errno in OURS:
            return ClientFault(f"cannot send: {errno_name(error)}")
        return self._reset_fault(error)

    def _is_stale(self) -> bool:
        """Reset within two round trips of sending on a connection idle for over a second."""
        return (
            self.num_uses > 1  # one that never served us: the server is not known to keep any
            and not self.receives
            and self.sent_ns - self.idle_since_ns > STALE_IDLE_NS
            and monotonic_ns() - self.sent_ns <= max(2 * self.rtt_ns, STALE_FLOOR_NS)
        )


def wait_ready(raw: Any, events: int, timeout_s: float) -> bool:
    """Block this greenlet until the socket is ready (1 read, 2 write); False on timeout."""
    hub = gevent.get_hub()
    watcher = hub.loop.io(raw.fileno(), events)
    try:
        with gevent.Timeout(timeout_s, False):
            hub.wait(watcher)
            return True
        return False
    finally:
        watcher.close()


def errno_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)

"""One request and its reply on the wire.

On a kept connection it is sent by the hub callback that found it due, and nothing runs here until
its answer is over: a greenlet for each would cost more than the request, and wait for its turn. One
is started only for what may block: a connection to open, a request that the socket does not take
at once. No redirects; a retry is another exchange. Whatever goes wrong becomes a fault on the
exchange, never an exception.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from time import monotonic_ns
from typing import TYPE_CHECKING, NamedTuple, Protocol

import gevent
from gevent.hub import Waiter

from harness.load.answer import Answer
from harness.load.dialects import TOKEN_PATTERN
from harness.load.faults import CancelFault, ClientFault, CutFault, TimeoutFault, WireFault
from harness.load.http1 import ResponseReader
from harness.load.pool import Pool
from harness.load.wire import NUM_STAMPS, Connection

if TYPE_CHECKING:
    from harness.load.bodies import ClassPlan

LINE_END = re.compile(rb"[\r\n]")


class Arrival(NamedTuple):
    """A request that is due. slot: -1 for an open stage. attempt: 0, then one more a retry."""

    stage: int
    row: int
    ordinal: int
    intended_ns: int
    phase: str
    slot: int = -1
    attempt: int = 0


class Limits(NamedTuple):
    """Nanoseconds, but connect and send, which are seconds."""

    connect_s: float
    send_s: float
    first_byte_ns: int
    token_idle_ns: int
    total_ns: int


class Owner(Protocol):
    """Who made the exchange and wants to know of its progress."""

    limits: Limits

    def request_of(self, exchange: Exchange) -> bytes: ...
    def on_sent(self, exchange: Exchange) -> None: ...
    def on_end(self, exchange: Exchange) -> None: ...


class Exchange:
    """Stamps are ns on CLOCK_MONOTONIC, 0 where that never happened."""

    __slots__ = (
        "__weakref__",
        "_connection",
        "_num_seen",
        "_scanned",
        "_seen_to",
        "_waiter",
        "answer",
        "arrival",
        "asked_in",
        "asked_out",
        "audio_ms",
        "cancel_at_ns",
        "cancel_tok",
        "connection_reused",
        "dns_ns",
        "end_ns",
        "fault",
        "greenlet",
        "head_row",
        "is_over",
        "is_started",
        "last_token_ns",
        "num_inputs",
        "owner",
        "plan",
        "pool",
        "reader",
        "receives",
        "released_ns",
        "request_id",
        "sent_last_ns",
        "sent_ns",
        "tcp_ns",
        "tls_ns",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, arrival: Arrival, plan: ClassPlan, pool: Pool, request_id: str
    ) -> None:
        self.owner, self.arrival, self.plan, self.pool = owner, arrival, plan, pool
        self.request_id = request_id
        self.asked_in = self.asked_out = -1
        self.num_inputs = 0  # texts of an embeddings request
        self.audio_ms = 0  # of the clip that is sent
        self.released_ns = self.sent_ns = self.sent_last_ns = self.end_ns = 0
        self.dns_ns = self.tcp_ns = self.tls_ns = 0
        self.cancel_at_ns = self.cancel_tok = 0  # when the client leaves; 0: it waits for the end
        self.connection_reused = self.is_started = self.is_over = False
        self.fault: WireFault | None = None
        self.reader, self.receives, self.head_row = ResponseReader(), array("q"), -1
        self.answer: Answer | None = None  # filled by the parser, early for long streams
        self.greenlet: gevent.Greenlet | None = None
        self.last_token_ns = 0
        self._connection: Connection | None = None
        self._waiter: Waiter | None = None
        self._scanned = self._seen_to = self._num_seen = 0

    def start(self) -> None:
        """Send it, from the hub or any greenlet; never blocks."""
        self.released_ns = monotonic_ns()
        rest = None
        try:
            connection = self.pool.take_kept()
            if connection is not None:
                rest = self._send(connection)
                if not rest:
                    return
        except WireFault as fault:
            self.fault = fault
        except Exception as error:
            self.fault = ClientFault(f"{type(error).__name__}: {error}")
        # a fault goes this way too: who is told of an end may start another exchange in turn
        self.greenlet = gevent.spawn(self._run, rest)

    def stop(self, fault: WireFault) -> None:
        """End it from outside: a limit, or the end of the run."""
        if self.is_over:
            return
        if self.greenlet is not None and self.is_started:
            self.greenlet.kill(fault, block=False)
            return
        if self.greenlet is not None:
            self.greenlet.kill(block=False)
        if not self.end_ns:
            self.fault = self.fault or fault
        self._finish()

    def on_answer_end(self, fault: WireFault | None) -> None:
        """Called in the hub by the connection."""
        self.fault = self.fault or fault
        if self.end_ns == 0:
            self.end_ns = monotonic_ns()
        if self.greenlet is None:
            # not now: other sockets of this poll are still to be read
            gevent.get_hub().loop.run_callback(self._finish)
        elif self._waiter is not None:
            gevent.get_hub().loop.run_callback(self._waiter.switch, None)

    def _run(self, rest: memoryview | None) -> None:
        """rest: of a request that is sent in part; None before its connection is open."""
        self.is_started = True
        try:
            if self.fault is None:
                self._speak(rest)
        except WireFault as fault:
            self.fault = self.fault or fault
        except gevent.GreenletExit:
            self.fault = self.fault or CutFault("the run ended")
        except Exception as error:
            self.fault = ClientFault(f"{type(error).__name__}: {error}")
        self._finish()

    def _speak(self, rest: memoryview | None) -> None:
        self._waiter = Waiter()
        if rest is None:
            rest = self._send(self.pool.take())
        if rest:
            assert self._connection is not None
            self._connection.send_rest(rest, self.owner.limits.send_s)
            self._has_sent()
        if self.end_ns == 0:
            self._waiter.get()

    def _send(self, connection: Connection) -> memoryview:
        """Use this connection; what it did not take at once."""
        self._connection = connection
        self.connection_reused = connection.num_uses > 0
        if not self.connection_reused:
            self.dns_ns, self.tcp_ns = connection.dns_ns, connection.tcp_ns
            self.tls_ns = connection.tls_ns
        connection.begin(self)
        self.reader, self.receives = connection.reader, connection.receives
        request = self.owner.request_of(self)
        self.sent_ns = monotonic_ns()  # where the next line raises
        rest = connection.send(request)
        self.sent_ns = connection.sent_ns
        if not rest:
            self._has_sent()
        return rest

    def _has_sent(self) -> None:
        self.sent_last_ns = monotonic_ns()
        self.owner.on_sent(self)

    def _finish(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.end_ns = self.end_ns or monotonic_ns()
        connection, self._connection = self._connection, None
        self._waiter = self.greenlet = None
        if connection is not None:
            self.head_row = connection.head_row
            if self.fault is not None or not self.reader.is_done:
                connection.listener = None
                connection.close()
            self.pool.give(connection)
        self.owner.on_end(self)

    def on_deadline(self, now_ns: int) -> int:
        """Stop it where a limit has passed, or its user leaves; else the next time to look."""
        if self.is_over or self.end_ns:
            return 0
        if self.cancel_at_ns and now_ns >= self.cancel_at_ns:
            self.stop(CancelFault("the user left, as the scenario asks"))
            return 0
        if self.cancel_tok and self._num_token_chunks() >= self.cancel_tok:
            self.stop(CancelFault(f"the user left after {self.cancel_tok} tokens"))
            return 0
        next_ns = self._next_look_ns(now_ns)
        return now_ns + 1 if next_ns and self.cancel_tok else next_ns  # the next tick looks again

    def _next_look_ns(self, now_ns: int) -> int:
        limits = self.owner.limits
        total_ns = self.sent_ns + limits.total_ns
        if now_ns >= total_ns:
            self.stop(TimeoutFault(f"no end within {limits.total_ns / 1e9:g} s", "timeout_total"))
            return 0
        if not self.receives or self.receives[-1] == 0:
            first_ns = self.sent_ns + limits.first_byte_ns
            if now_ns >= first_ns:
                said = f"no body byte within {limits.first_byte_ns / 1e9:g} s"
                self.stop(TimeoutFault(said, "timeout_first_byte"))
                return 0
            return min(first_ns, total_ns)
        if not self.plan.dialect.is_stream:
            return total_ns
        idle_ns = self._last_sign_ns() + limits.token_idle_ns
        if now_ns >= idle_ns:
            said = f"no token for {limits.token_idle_ns / 1e9:g} s"
            self.stop(TimeoutFault(said, "stalled"))
            return 0
        return min(idle_ns, total_ns)

    def _num_token_chunks(self) -> int:
        """Token-bearing deltas received so far: lines of the stream, for one may hold its text
        under two names. Looks only at bytes it has not yet seen."""
        reader, base = self.reader, self.reader.body_base
        if self.answer is not None:  # what was parsed early is gone from the body
            self._num_seen = max(self._num_seen, len(self.answer.chunk_end))
        at = max(0, self._seen_to - base)
        while match := TOKEN_PATTERN.search(reader.body, at):
            line_end = LINE_END.search(reader.body, match.end())
            if line_end is None:
                break  # what is still to come of its line may name the same text again
            at = line_end.end()
            self._num_seen, self._seen_to = self._num_seen + 1, at + base
        return self._num_seen

    def _last_sign_ns(self) -> int:
        """When the last token came, or the first body byte before any. Looks only at bytes that
        came since it was asked last, so a healthy stream costs nothing."""
        reader, base = self.reader, self.reader.body_base
        ends = self.receives[NUM_STAMPS - 1 :: NUM_STAMPS]
        if self.last_token_ns == 0:
            self.last_token_ns = self.receives[bisect_left(ends, 1) * NUM_STAMPS + 1]
        if self.answer is not None and self.answer.chunk_end:  # what was parsed early
            parsed = self.answer.chunk_end[-1]
            self.last_token_ns = self.receives[bisect_left(ends, parsed) * NUM_STAMPS + 1]
        begin = max(0, self._scanned - base - 64)  # a token may lie across the last look
        last = None
        for match in TOKEN_PATTERN.finditer(reader.body, begin):
            last = match.end() + base
        if last is not None and last > self._scanned:
            self.last_token_ns = self.receives[bisect_left(ends, last) * NUM_STAMPS + 1]
        self._scanned = base + len(reader.body)
        return self.last_token_ns

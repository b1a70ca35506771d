"""Finished exchanges to rows to batches, in slices of a quarter of a millisecond of hub time.

A greenlet gathers what has ended and parses it, many at a time because most of the cost is by call;
once a second the rows made so far become Arrow batches for the master. Batches are kept until the
master has them on disk and are sent again if it does not say so. Memory stays bounded: long streams
are parsed early, and where answers end faster than they are parsed, parsing goes first: requests
are then late, which is on record, instead of the machine out of memory.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic_ns
from typing import Any

import gevent
import numpy as np
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from harness.load.counters import Counters
from harness.load.exchange import Exchange
from harness.load.faults import ClientFault
from harness.load.http1 import ResponseReader
from harness.load.polls import Polls
from harness.load.record import Record, RecordContext, absorb, make_records
from harness.load.rows import request_batch, to_bytes
from harness.load.wire import NUM_STAMPS

SLICE_NS = 150_000  # what a request that falls due may have to wait for, and a read
RESEND_NS = 10_000_000_000
EARLY_BYTES = 256 * 1024
MOST_ROWS = 256  # a batch: its cost is by column, and 16 rows cost four times as much each
MOST_CHUNKS = 20_000
GATHER_S = 0.1  # how long the first to end waits for others
MOST_TOGETHER = 64  # exchanges parsed at a time, of
MOST_RECEIVES = 2_000  # receives in all
MOST_WAITING_BYTES = 64 * 1024 * 1024  # of answers not yet parsed, before parsing goes first
HURRIED_SLICE_NS = 20_000_000
Tell = Callable[[str, dict[str, Any]], None]
Fire = Callable[[dict[str, Any]], None]


class Breather:
    """Lets the hub look at its sockets once a slice of work has taken its time."""

    def __init__(self, polls: Polls) -> None:
        self._polls = polls
        self._since_ns = monotonic_ns()
        self.slice_ns = SLICE_NS

    def __call__(self) -> None:
        if monotonic_ns() - self._since_ns > self.slice_ns:
            self._polls.rest()
            self._since_ns = monotonic_ns()

    def rest(self) -> None:
        """A new slice begins."""
        self._since_ns = monotonic_ns()


class Recorder:
    """fire: told of each row, for locust's own statistics. prompt_of: a request's body, for
    redaction; asked only when it failed."""

    def __init__(
        self, context: RecordContext, counters: Counters, tell: Tell, fire: Fire,
        prompt_of: Callable[[Exchange], str], polls: Polls,
    ) -> None:  # fmt: skip
        self._polls = polls
        self._context, self._counters = context, counters
        self._tell, self._fire, self._prompt_of = tell, fire, prompt_of
        self._queue: deque[Exchange] = deque()
        self._wake = Event()
        self._rows: list[dict[str, Any]] = []
        self._samples: list[dict[str, Any]] = []
        self._unacknowledged: dict[int, tuple[int, dict[str, Any]]] = {}
        self._breathe = Breather(polls)
        self._num_rows = self.seq = self._waiting_bytes = self._in_hand = 0
        self._is_busy = False
        self._flushing = BoundedSemaphore(1)
        self._greenlet = gevent.spawn(self._work)

    @property
    def num_waiting_receives(self) -> int:
        """Receives of exchanges that have ended but are not yet counted."""
        waiting = sum(len(exchange.receives) // NUM_STAMPS for exchange in self._queue)
        return waiting + self._in_hand

    def put(self, exchange: Exchange) -> None:
        self._queue.append(exchange)
        self._waiting_bytes += _size(exchange)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self._breathe.slice_ns = HURRIED_SLICE_NS
        self._wake.set()

    def acknowledge(self, seq: int) -> None:
        """The master has batch seq on disk."""
        self._unacknowledged.pop(seq, None)

    def flush(self) -> None:
        """Send what is ready as batches of at most about 1 MiB; blocks its greenlet in slices.

        One at a time: who asks while another flush is at work waits, then sends what is left.
        """
        with self._flushing:
            self._send_rows()
            self._send_again()

    def _send_rows(self) -> None:
        """What is there now. Rows that come meanwhile wait for the next flush: a busy second would
        else never end, in batches of a few rows each."""
        breathe = Breather(self._polls)
        ready, self._rows = self._rows, []
        while ready:
            size, chunks = 0, 0
            while size < min(MOST_ROWS, len(ready)) and chunks < MOST_CHUNKS:
                chunks += len(ready[size]["chunk_ns"])
                size += 1
            rows, ready = ready[:size], ready[size:]
            samples, self._samples = self._samples, []
            raw = to_bytes(request_batch(rows, breathe))
            self.seq += 1
            message = {"seq": self.seq, "rows": len(rows), "raw": raw, "samples": samples}
            self._unacknowledged[self.seq] = (monotonic_ns(), message)
            self._tell("batch", message)
            self._polls.rest()
            breathe.rest()

    def _send_again(self) -> None:
        limit_ns = monotonic_ns() - RESEND_NS
        for seq, (sent_ns, message) in list(self._unacknowledged.items()):
            if sent_ns < limit_ns:
                self._unacknowledged[seq] = (monotonic_ns(), message)
                self._tell("batch", message)

    def absorb_long(self, in_flight: Iterable[Exchange]) -> None:
        """Parse what long streams hold so far."""
        for exchange in list(in_flight):
            if len(exchange.reader.body) > EARLY_BYTES and not exchange.is_over:
                absorb(exchange, self._context, _no_breath, is_final=False)
                self._polls.rest()

    def finish(self) -> int:
        """Parse and send all that is left, wait until it is on disk; the number of rows."""
        while self._queue or self._is_busy:
            gevent.sleep(0.002)
        self._greenlet.kill()
        self.flush()
        while self._unacknowledged:
            gevent.sleep(0.01)
            self.flush()
        return self._num_rows

    def _work(self) -> None:
        while True:
            self._wake.wait()
            gevent.sleep(GATHER_S)
            self._wake.clear()
            self._is_busy = True
            self._breathe.rest()
            while self._queue:
                self._record_all(self._gather())
            self._is_busy = False

    def _gather(self) -> list[Exchange]:
        """The next ones, parsed."""
        together: list[Exchange] = []
        while self._queue and len(together) < MOST_TOGETHER and self._in_hand < MOST_RECEIVES:
            exchange = self._queue.popleft()
            self._in_hand += len(exchange.receives) // NUM_STAMPS
            self._waiting_bytes -= _size(exchange)
            try:
                absorb(exchange, self._context, self._breathe, is_final=True)
            except Exception as error:  # an answer that we cannot read must not end the load
                exchange = self._unread(exchange, error)
            together.append(exchange)
            self._breathe()
        if self._waiting_bytes < MOST_WAITING_BYTES // 2:
            self._breathe.slice_ns = SLICE_NS
        return together

    def _record_all(self, exchanges: list[Exchange]) -> None:
        records = []
        try:
            for record in self._records(exchanges):
                records.append(record)
        except Exception:  # one of them: which, is found by asking for each alone
            for exchange in exchanges[len(records) :]:
                try:
                    records += self._records([exchange])
                except Exception as error:
                    records += self._records([self._unread(exchange, error)])
        for record in records:
            self._in_hand -= record.row["num_receives"]
            self._take(record)
            self._breathe()
        self._in_hand = 0
        lags = np.concatenate([record.recv_lag_ns for record in records])
        self._counters.recv_lag_s.extend(lags / 1e9)

    def _records(self, exchanges: list[Exchange]) -> Iterator[Record]:
        return make_records(exchanges, self._context, self._breathe, self._prompt_of)

    def _take(self, record: Record) -> None:
        self._rows.append(record.row)
        self._num_rows += 1
        if record.sample is not None:
            self._samples.append(record.sample)
        self._counters.take_row(record.row)
        self._fire(record.row)

    def _unread(self, exchange: Exchange, error: Exception) -> Exchange:
        """It without its answer: our fault, and told as such."""
        exchange.fault = ClientFault(f"cannot read the answer: {type(error).__name__}: {error}")
        exchange.reader, exchange.answer = ResponseReader(), None
        exchange.receives, exchange.head_row = array("q"), -1
        absorb(exchange, self._context, self._breathe, is_final=True)
        return exchange


def _size(exchange: Exchange) -> int:
    """Bytes that it holds until it is parsed."""
    return len(exchange.reader.body) + 8 * len(exchange.receives)


def _no_breath() -> None:
    """Early parsing must not be interleaved with the parse of the same stream's end."""

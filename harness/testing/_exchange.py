"""One request answered, told in order: a generator that yields the times it waits for.

The loop resumes it at each yielded time (ns on CLOCK_MONOTONIC); what happens in between is what
the script says, step after step. It never sleeps and never reads the clock to decide what is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic_ns
from typing import Protocol

from harness.testing._due import after_stalls_ns, on_grid_ns
from harness.testing._events import Answer, Event
from harness.testing._head import error_body, extra_fields, interim, stream_head, whole
from harness.testing._sink import Sink
from harness.testing._sse import BOM, Spelling
from harness.testing.record import RequestLog
from harness.testing.script import Outage
from harness.units import NS_PER_S

FOREVER_NS = 2**62
# options of chunks that change how token chunks are cut or written
_SHAPING = {
    "tok_per_chunk", "first_chunk_tok", "events_per_segment", "split_at", "split_utf8", "finish"
}  # fmt: skip


class Peer(Protocol):
    """The connection, as an exchange sees it."""

    def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


class Exchange:
    """offsets_ns: of the token chunks, after log.start_ns. origin_ns: the server's start."""

    def __init__(
        self, peer: Peer, answer: Answer, log: RequestLog, offsets_ns: list[int],
        outages: tuple[Outage, ...], origin_ns: int,
    ) -> None:  # fmt: skip
        self._peer, self._answer, self._log = peer, answer, log
        self._behaviour = answer.behaviour
        self._offsets_ns, self._outages, self._origin_ns = offsets_ns, outages, origin_ns
        self._headers_ns = round(answer.behaviour.timing.headers * NS_PER_S)
        self._tail_ns = round(answer.behaviour.timing.tail * NS_PER_S)
        self._spelling = Spelling(answer.behaviour)
        http = answer.behaviour.http
        self._sink = Sink(http, http.framing, peer.send)
        self._id = f"{log.ordinal:024x}".encode()
        self.keeps_connection = http.keep_alive and http.framing != "close"

    def run(self) -> Iterator[int]:
        """The whole answer. Yields when to be resumed; returns when it is over."""
        http, transport = self._behaviour.http, self._behaviour.transport
        yield self._log.start_ns + self._headers_ns
        if transport.fail != "none" and transport.at is None:
            yield from self._break()
            return
        if http.interim:
            self._peer.send(interim(http))
        self._log.status = http.status
        if http.status >= 300 or http.body in ("error", "text"):
            self._peer.send(self._refusal())
        elif self._answer.ask.is_stream and http.body == "answer":
            yield from self._stream()
        else:
            yield from self._whole()

    # --- without a stream -----------------------------------------------------------------------

    def _refusal(self) -> bytes:
        http = self._behaviour.http
        if http.body == "text":
            body, kind = b"something went wrong", "text/plain"
        else:
            body = error_body("the script says so", http.status)
            kind = "application/json"
        fields = extra_fields(http) | ({} if http.keep_alive else {"connection": "close"})
        named = {name.replace("-", "_"): value for name, value in fields.items()}
        return whole(http.status, body, http.content_type or kind, **named)

    def _whole(self) -> Iterator[int]:
        due_ns = self._due_ns(len(self._offsets_ns) - 1)
        yield due_ns
        body = self._fill(Event(self._answer.whole(), 0), due_ns, monotonic_ns())
        http = self._behaviour.http
        length = len(body) if http.framing == "content_length" else None
        self._peer.send(stream_head(http, self._answer.kind, length))
        self._sink.write(body, monotonic_ns())
        self._sink.finish()

    # --- streamed -------------------------------------------------------------------------------

    def _stream(self) -> Iterator[int]:
        http = self._behaviour.http
        bom = BOM if self._behaviour.sse.bom else b""
        length = None
        if http.framing == "content_length":
            events = self._answer.events()
            length = len(bom) + sum(self._size(e) for group in self._groups(events) for e in group)
        self._peer.send(stream_head(http, "text/event-stream", length))
        if bom:
            self._sink.write(bom, monotonic_ns())
        if self._is_plain():
            yield from self._write(self._answer.opening())
            yield from self._write_plain_tokens()
            yield from self._write(self._answer.tail())
        else:
            yield from self._write(self._answer.events())
        if self._log.outcome == "running":
            self._sink.finish()

    def _is_plain(self) -> bool:
        """Whether token chunks are one token each and written as they are."""
        chunks, http, sse = self._behaviour.chunks, self._behaviour.http, self._behaviour.sse
        shape = chunks.model_dump(include=_SHAPING, exclude_defaults=True)
        is_broken = self._behaviour.transport.fail != "none" or http.error_at is not None
        is_spelled = bool(sse.model_fields_set - {"done", "after_done", "last_blank_line"})
        is_wrapped = http.proxy is not None or http.gzip or self._answer.varies
        # a length told beforehand is that of events without holes for counts
        is_wrapped |= http.framing == "content_length" and self._answer.has_count_holes
        return not (shape or is_broken or is_spelled or is_wrapped)

    def _write_plain_tokens(self) -> Iterator[int]:
        """The hot path: wait, stamp, send; nothing else happens between due time and send."""
        log, send, name, recv_ns = self._log, self._peer.send, self._id, self._log.recv_ns
        note_due, note_send = log.due_ns.append, log.send_ns.append
        num = len(self._answer.token_chunks)
        if self._answer.has_count_holes:
            yield from self._write_counted_tokens(num)
            return
        for due_ns, template in zip(self._dues_ns(num), self._plain_templates(num), strict=True):
            yield due_ns
            note_due(due_ns)
            send_ns = monotonic_ns()
            note_send(send_ns)
            send(template % (name, recv_ns, due_ns, send_ns))

    def _write_counted_tokens(self, num: int) -> Iterator[int]:
        """The same where every chunk tells the counts so far."""
        log, send, name, recv_ns = self._log, self._peer.send, self._id, self._log.recv_ns
        note_due, note_send = log.due_ns.append, log.send_ns.append
        prompt_tok = self._answer.prompt_tok
        total_tok = self._answer.total_tok(0) if num else 0
        for due_ns, template in zip(self._dues_ns(num), self._plain_templates(num), strict=True):
            yield due_ns
            note_due(due_ns)
            send_ns = monotonic_ns()
            note_send(send_ns)
            send(template % (name, prompt_tok, total_tok, recv_ns, due_ns, send_ns))
            total_tok += 1

    def _dues_ns(self, num: int) -> list[int]:
        """[num] due times of the token chunks."""
        if self._headers_ns or self._outages or self._behaviour.timing.step is not None:
            return [self._due_ns(i) for i in range(num)]
        start_ns = self._log.start_ns
        return [start_ns + offset_ns for offset_ns in self._offsets_ns[:num]]

    def _plain_templates(self, num: int) -> list[bytes]:
        """[num] spelled and framed; the stamps' width is fixed, so the frame precedes them."""
        framed = self._answer.framed
        for i in range(len(framed), num):
            template = self._spelling.event(self._answer.token_template(i))
            counts = (0, 0) if self._answer.has_count_holes else ()
            size = len(template % (self._id, *counts, 0, 0, 0))
            framed.append(self._sink.frame(template, size))
        return framed[:num]

    def _write(self, events: Iterator[Event]) -> Iterator[int]:
        """Each group of events when it is due, in the way the script asks for."""
        chunks, http, transport = (
            self._behaviour.chunks, self._behaviour.http, self._behaviour.transport
        )  # fmt: skip
        is_simple = http.proxy is None and self._behaviour.sse.comment_every is None
        is_cut = chunks.split_utf8 or chunks.split_at is not None
        fail_at = transport.at if transport.fail != "none" else None
        for group in self._groups(events):
            due_ns = self._due_ns(group[-1].at) + self._tail_ns * group[-1].is_tail
            if is_simple:
                yield due_ns
            else:
                yield from self._wait(due_ns)
            if fail_at is not None and group[-1].at >= fail_at:
                yield from self._break_inside(group[-1], due_ns)
                return
            send_ns = monotonic_ns()
            data = b"".join(
                self._fill(e, self._due_ns(e.at) + self._tail_ns * e.is_tail, send_ns)
                for e in group
            )
            if is_cut:
                yield from self._write_cut(data)
            else:
                self._sink.write(data, send_ns)

    def _groups(self, events: Iterator[Event]) -> Iterator[list[Event]]:
        """Events as they are written, spelled: token events in groups, then the tail at once."""
        per_segment = self._behaviour.chunks.events_per_segment
        error_at = self._behaviour.http.error_at
        spell = self._spelling.event
        group: list[Event] = []
        for event in events:
            if error_at is not None and event.at >= error_at:
                error = error_body("the script says so", 500)
                group.append(Event(spell(error), event.at, is_stamped=False))
                break
            if event.is_tail and group and not group[-1].is_tail:
                yield group
                group = []
            group.append(event._replace(data=spell(event.data)))
            if event.at < 0 or (not event.is_tail and len(group) == per_segment):
                yield group
                group = []
        if group:
            if not self._behaviour.sse.last_blank_line:
                end = self._spelling.line_end
                group[-1] = group[-1]._replace(data=group[-1].data.removesuffix(end))
            yield group

    def _due_ns(self, at: float) -> int:
        """When an event is due; see Event.at."""
        start_ns, first_ns = self._log.start_ns, self._offsets_ns[0]
        if at < 0:
            waited_ns = (at + 1) * max(0, first_ns - self._headers_ns)
            return start_ns + self._headers_ns + round(waited_ns)
        due_ns = start_ns + max(self._headers_ns, self._offsets_ns[int(at)])
        step_s = self._behaviour.timing.step
        if step_s is None and not self._outages:
            return due_ns
        return after_stalls_ns(
            on_grid_ns(due_ns, step_s, self._origin_ns), self._outages, self._origin_ns
        )

    def _fill(self, event: Event, due_ns: int, send_ns: int) -> bytes:
        """The bytes of an event, stamped and noted."""
        if not event.is_stamped:
            return event.data
        self._log.due_ns.append(due_ns)
        self._log.send_ns.append(send_ns)
        return event.data % (self._id, self._log.recv_ns, due_ns, send_ns)

    def _size(self, event: Event) -> int:
        return len(event.data % (self._id, 0, 0, 0) if event.is_stamped else event.data)

    def _wait(self, due_ns: int) -> Iterator[int]:
        """Until due_ns, serving the proxy's timer and keep-alive comments on the way."""
        every_s = self._behaviour.sse.comment_every
        comment_ns = FOREVER_NS if every_s is None else monotonic_ns() + round(every_s * NS_PER_S)
        while True:
            flush_ns = self._sink.flush_due_ns
            next_ns = min(due_ns, comment_ns, FOREVER_NS if flush_ns is None else flush_ns)
            yield next_ns
            if flush_ns is not None and flush_ns <= next_ns:
                self._sink.flush()
            if comment_ns <= next_ns < due_ns and every_s is not None:
                self._sink.write(self._spelling.comment, next_ns)
                comment_ns += round(every_s * NS_PER_S)
            if next_ns >= due_ns:
                return

    def _write_cut(self, data: bytes) -> Iterator[int]:
        """Two writes with a pause between, so that they arrive apart."""
        at = self._cut_at(data)
        self._sink.write(data[:at], monotonic_ns())
        yield monotonic_ns() + round(self._behaviour.chunks.split_gap * NS_PER_S)
        self._sink.write(data[at:], monotonic_ns())

    def _cut_at(self, data: bytes) -> int:
        """In bytes; inside a character for split_utf8, else where the script says."""
        chunks = self._behaviour.chunks
        if chunks.split_utf8:
            found = next((i for i, byte in enumerate(data) if byte >= 0x80), None)
            if found is not None:
                return found + 1
        at = chunks.split_at if chunks.split_at is not None else len(data) // 2
        return max(1, min(len(data) - 1, at if at >= 0 else len(data) + at))

    # --- broken by script -----------------------------------------------------------------------

    def _break_inside(self, event: Event, due_ns: int) -> Iterator[int]:
        """Half an event, in a whole HTTP chunk or a torn one; then the end of the connection."""
        transport = self._behaviour.transport
        data = self._fill(event, due_ns, monotonic_ns())
        if transport.inside == "event":
            self._sink.write(data[: len(data) // 2], monotonic_ns())
            self._sink.flush()
        elif transport.inside == "chunk":
            self._sink.flush()
            framed = self._sink.frame(data)
            self._peer.send(framed[: len(framed) // 2])
        # let what was sent arrive: a reset right behind it would overtake it
        yield monotonic_ns() + 2_000_000
        yield from self._break()

    def _break(self) -> Iterator[int]:
        self.keeps_connection = False
        fail = self._behaviour.transport.fail
        self._log.outcome = {"close": "closed"}.get(fail, fail)
        if fail == "hang":
            yield FOREVER_NS
        elif fail == "reset":
            self._peer.reset()
        else:
            self._peer.close()

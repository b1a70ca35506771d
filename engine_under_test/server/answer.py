"""The life of one generation request after its body is understood: admit, follow, word, close.

One write per step with everything that step gave. Injected faults act here and only on the request
that drew one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..async_engine import Arrival, AsyncEngine, Stream
from ..faults import RequestFault
from .accounting import timings, usage
from .errors import ApiError, of_grammar
from .exchange import Exchange
from .following import following
from .sequence import Delta, Sequence
from .sse import DONE, Dialect

# What one step changed; usage as of that step, where the client wants it in every chunk.
Change = tuple[Sequence, Delta, dict[str, Any] | None]
CUT_BYTES = 20  # less than any event has, so a cut always falls inside the last one
EVENT_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the client wants its answer."""

    is_streaming: bool = False
    has_usage: bool = False  # in a last chunk of the stream
    is_continuous: bool = False  # usage in every chunk
    has_timings: bool = False


def _failure_of(sequence: Sequence) -> ApiError:
    """What ended a sequence that the engine could not finish, in the API's words."""
    grammar = sequence.request.grammar
    if grammar is not None and grammar.refusal is not None:
        return of_grammar(grammar.refusal)
    return ApiError(500, sequence.error, code="engine_error")


class Answer:
    """Serves the sequences of one request over one exchange. Use once."""

    def __init__(
        self,
        exchange: Exchange,
        engine: AsyncEngine,
        sequences: list[Sequence],
        dialect: Dialect,
        wishes: Wishes,
        fault: RequestFault | None = None,
    ) -> None:
        self._exchange = exchange
        self._engine = engine
        self._sequences = sequences
        self._by_id = {s.request.request_id: s for s in sequences}
        self._dialect = dialect
        self._wishes = wishes
        self._fault = fault
        self._injected: ApiError | None = None  # an error that is to come mid-stream
        self._num_closed = 0  # sequences that the engine has let go of
        self._num_steps = 0  # counted where a fault waits for its step
        self._written_ns = 0

    async def serve(self) -> None:
        """Answers. Raises ApiError only while nothing has been sent, and ClientGone."""
        requests, field = [s.request for s in self._sequences], self._dialect.prompt_field
        async with following(self._exchange, self._engine, requests, field) as stream:
            await (self._stream(stream) if self._wishes.is_streaming else self._whole(stream))

    @property
    def _is_done(self) -> bool:
        return self._num_closed == len(self._sequences)

    async def _stream(self, stream: Stream) -> None:
        while True:
            body = self._render(await self._advance(stream))
            if body:
                self._written_ns = self._written_ns or time.monotonic_ns()
            if not self._exchange.has_started:
                await self._exchange.start(200, b"text/event-stream", EVENT_STREAM_HEADERS)
                body = self._opening() + body
            if self._injected is not None:
                await self._exchange.write(body.encode())
                raise self._injected
            if self._is_due("cut_bytes"):
                body = body or self._dialect.chunk(self._sequences[0], Delta(), None)
                await self._exchange.write(body.encode()[:-CUT_BYTES])
                return  # the server closes a connection whose answer never ended
            if self._is_done:
                break
            if body:
                await self._exchange.write(body.encode())
        self._written_ns = self._written_ns or time.monotonic_ns()
        extras = self._extras(has_usage=self._wishes.has_usage)
        body += self._dialect.last(extras) if extras else ""
        await self._exchange.end(body.encode() + (b"" if self._is_due("no_done") else DONE))

    def _opening(self) -> str:
        """What a stream says before its first text; its usage counts the prompt alone."""
        if not self._wishes.is_continuous:
            return self._dialect.opening(self._sequences, None)
        opening = [self._dialect.opening([s], usage([s], at_start=True)) for s in self._sequences]
        return "".join(opening)

    async def _whole(self, stream: Stream) -> None:
        while not self._is_done:
            await self._advance(stream)
            if self._injected is not None:
                raise self._injected
        self._written_ns = time.monotonic_ns()
        whole = self._dialect.whole(self._sequences, self._extras(has_usage=True))
        await self._exchange.send_json(200, whole, is_cut=self._is_due("cut_bytes"))

    async def _advance(self, stream: Stream) -> list[Change]:
        """Wait for the engine and take in all it has said since."""
        arrived = await stream.next()
        if self._fault is None:
            return self._take(arrived)
        changes: list[Change] = []
        for _, step in groupby(arrived, key=lambda arrival: arrival.end_ns):
            # Step by step: a busy machine hands several over at once, and faults know their step.
            changes += self._injure(self._take(step))
        return changes

    def _take(self, arrived: Iterable[Arrival]) -> list[Change]:
        changes: list[Change] = []
        for output, end_ns in arrived:
            sequence = self._by_id[output.request_id]
            was_over = sequence.is_over
            delta = sequence.push(output, end_ns)
            self._num_closed += sequence.is_closed
            if sequence.error:
                raise _failure_of(sequence)
            if not was_over and output.prompt_logprobs is None:
                changes.append(self._change(sequence, delta))
                if sequence.must_be_stopped:
                    self._engine.finish(output.request_id)
        return changes

    def _render(self, changes: list[Change]) -> str:
        """The events of one step; a step without printable text has none, unless usage is due."""
        chunk = self._dialect.chunk
        events = [
            chunk(sequence, delta, told)
            for sequence, delta, told in changes
            if delta.text or told is not None or delta.finish_reason is not None
        ]
        return events[0] if len(events) == 1 else "".join(events)

    def _change(self, sequence: Sequence, delta: Delta) -> Change:
        return sequence, delta, usage([sequence]) if self._wishes.is_continuous else None

    def _extras(self, has_usage: bool) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if has_usage:
            extras["usage"] = usage(self._sequences)
        if self._wishes.has_timings:
            streaming = self._wishes.is_streaming
            extras["timings"] = timings(self._sequences, self._written_ns, streaming)
        return extras

    # --- injected faults ----------------------------------------------------------------------

    def _is_due(self, truncation: str) -> bool:
        """Whether this request drew that truncation and its step has come (or the end has)."""
        fault = self._fault
        if fault is None or fault.truncation != truncation:
            return False
        return self._is_done or self._num_steps >= fault.after_steps

    def _injure(self, changes: list[Change]) -> list[Change]:
        fault = self._fault
        assert fault is not None
        self._num_steps += 1
        if self._injected is not None:
            return []
        if not (self._is_done or self._num_steps >= fault.after_steps):
            return changes
        if fault.error_status:
            message = "injected by the fault plan"
            self._injected = ApiError(fault.error_status, message, code="injected_fault")
        if fault.truncation == "short_output":
            for sequence in self._sequences:
                if not sequence.is_over:
                    changes.append(self._change(sequence, sequence.cut()))
                    self._engine.finish(sequence.request.request_id)
        return changes

"""The engine behind an asyncio loop: one thread steps, one message a step crosses over.

The thread owns the core: requests and aborts reach it through an inbox, and what a whole batch
gained comes back in a single call into the loop. Text, stop strings and JSON are not its business.
A heartbeat tells a live loop from a hung one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .errors import EngineError, QueueFull, RequestRefused
from .metrics import EngineMetrics, FinishedRequest
from .request import FinishReason, Request, RequestOutput
from .stats import EngineStats

log = logging.getLogger(__name__)
IDLE_WAIT_S = 0.25  # an idle loop still beats this often
COMPILE_WAIT_S = (
    0.001  # and looks this often whether the only requests there are got their grammars
)


class Core(Protocol):
    """The synchronous engine, as far as this module needs it."""

    def add(self, request: Request) -> None: ...

    def abort(self, request_id: str) -> None: ...

    def step(self) -> list[RequestOutput]: ...

    @property
    def has_work(self) -> bool: ...

    @property
    def can_step(self) -> bool: ...

    def stats(self) -> EngineStats: ...


class EngineDead(EngineError):
    """The step loop has ended or raised; nothing will be served any more."""


@dataclass(slots=True)
class _Add:
    requests: Sequence[Request]


@dataclass(slots=True)
class _End:
    """Drop these requests; reason is what metrics and the stream will call it."""

    request_ids: Sequence[str]
    reason: FinishReason


@dataclass(slots=True)
class StepMessage:
    """All that one turn of the step loop has to tell the asyncio side."""

    outputs: list[RequestOutput] = field(default_factory=list)
    refused: list[tuple[str, EngineError]] = field(default_factory=list)
    stats: EngineStats = field(default_factory=EngineStats)
    end_ns: int = 0
    has_stepped: bool = False
    step_s: float = 0.0  # injected delay included
    gap_s: float | None = None  # since the previous step ended; None: there was no work then

    @property
    def is_empty(self) -> bool:
        return not (self.outputs or self.refused or self.has_stepped)


class Arrival(NamedTuple):
    """One request's part of one step, and when that step ended (CLOCK_MONOTONIC)."""

    output: RequestOutput
    end_ns: int


class Stream:
    """What the engine says about one HTTP request's sequences. One reader awaits next()."""

    def __init__(self) -> None:
        self._arrived: list[Arrival] = []
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Arrival]:
        """All outputs that have arrived, at least one. Raises what the engine or close() put."""
        while not self._arrived:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        arrived, self._arrived = self._arrived, []
        return arrived

    def put(self, arrival: Arrival) -> None:
        self._arrived.append(arrival)
        self._wake()

    def close(self, failure: BaseException) -> None:
        """next() raises failure once everything that arrived before it is read."""
        if self._failure is None:
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(slots=True)
class _Live:
    request: Request
    stream: Stream
    num_tokens: int = 0
    last_ns: int = 0


class AsyncEngine:
    """Thread mode. start() and stop() on the loop that serves; submit and end from that loop."""

    def __init__(
        self, core: Core, metrics: EngineMetrics | None = None, heartbeat_limit_s: float = 30.0
    ) -> None:
        self._core = core
        self._metrics = metrics
        self._heartbeat_limit_ns = int(heartbeat_limit_s * 1e9)
        self._inbox: queue.SimpleQueue[_Add | _End | None] = queue.SimpleQueue()
        self._live: dict[str, _Live] = {}  # the loop's view
        self._in_core: dict[str, Request] = {}  # the thread's view
        self._heartbeat_ns = 0
        self._last_end_ns = 0
        self._is_stopping = False
        self._has_failed = False  # the thread may still live for a moment
        self._thread = threading.Thread(target=self._run, name="engine-steps", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.stats = core.stats()
        if metrics is not None:
            metrics.observe_stats(self.stats)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heartbeat_ns = time.monotonic_ns()
        self._thread.start()

    async def stop(self) -> None:
        """Ends the step loop after the step in progress; open streams fail with EngineDead."""
        self._is_stopping = True
        self._inbox.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        self._fail_all(EngineDead("the engine is shutting down"))

    @property
    def is_alive(self) -> bool:
        """Whether the step loop runs and has beaten within the limit."""
        age_ns = time.monotonic_ns() - self._heartbeat_ns
        return self._thread.is_alive() and age_ns < self._heartbeat_limit_ns

    @property
    def num_live(self) -> int:
        """Sequences submitted and not yet finished."""
        return len(self._live)

    def submit(self, requests: Sequence[Request]) -> Stream:
        """Queue the sequences of one HTTP request. Their admission starts now.

        A refusal (RequestRefused, QueueFull) arrives from the stream's first next().
        """
        if self._has_failed or not self._thread.is_alive():
            raise EngineDead("the engine has stopped", do="restart it; its log says why")
        stream = Stream()
        now = time.monotonic_ns()
        for request in requests:
            request.timings.admitted_ns = now
            self._live[request.request_id] = _Live(request, stream)
        self._inbox.put(_Add(requests))
        return stream

    def finish(self, request_id: str) -> None:
        """A stop string ended this sequence; its last output follows on the stream."""
        self._inbox.put(_End([request_id], FinishReason.STOP))

    def release(self, requests: Sequence[Request]) -> None:
        """The HTTP request is over: drop whatever of it still runs. Nothing follows."""
        ids = [r.request_id for r in requests if r.request_id in self._live]
        if ids:
            self._inbox.put(_End(ids, FinishReason.ABORT))
            for request_id in ids:
                self._record(self._live.pop(request_id), FinishReason.ABORT)

    # --- the asyncio side -------------------------------------------------------------------

    def _deliver(self, message: StepMessage) -> None:
        self.stats = message.stats
        if self._metrics is not None:
            self._metrics.observe_stats(message.stats)
            if message.has_stepped:
                self._metrics.observe_step(message.stats, message.step_s, message.gap_s)
        for request_id, error in message.refused:
            if live := self._live.pop(request_id, None):
                live.stream.close(error)
        lives, end_ns = self._live, message.end_ns
        gaps: dict[int, int] = {}  # when a request's last tokens came -> how many such requests
        for output in message.outputs:
            live = lives.get(output.request_id)
            if live is None:
                continue  # released while this step ran
            if num_new := len(output.new_token_ids):
                if live.num_tokens:
                    gaps[live.last_ns] = gaps.get(live.last_ns, 0) + 1
                live.num_tokens += num_new
                live.last_ns = end_ns
            if output.finish_reason is not None:
                del lives[output.request_id]
                self._record(live, output.finish_reason)
            live.stream.put(Arrival(output, end_ns))
        if self._metrics is not None:
            for last_ns, count in gaps.items():
                self._metrics.inter_token_s.observe((end_ns - last_ns) / 1e9, count)

    def _record(self, live: _Live, reason: FinishReason) -> None:
        if self._metrics is not None:
            request = live.request
            self._metrics.observe_finished(
                FinishedRequest(reason, request.timings, request.num_prompt, live.num_tokens)
            )

    def _fail_all(self, error: EngineDead) -> None:
        self._has_failed = True
        for live in self._live.values():
            live.stream.close(error)
        self._live.clear()

    # --- the step thread --------------------------------------------------------------------

    def _run(self) -> None:
        assert self._loop is not None
        try:
            while not self._is_stopping:
                self._heartbeat_ns = time.monotonic_ns()
                message = self._turn()
                if not message.is_empty:
                    self._loop.call_soon_threadsafe(self._deliver, message)
        except BaseException as error:  # whatever ends this thread ends all streams
            log.exception("the step loop died")
            dead = EngineDead(f"the engine failed: {type(error).__name__}: {error}")
            self._loop.call_soon_threadsafe(self._fail_all, dead)

    def _turn(self) -> StepMessage:
        """Take what came in, run one step, and say what happened."""
        message = StepMessage()
        was_busy = self._core.can_step
        self._take_commands(message, wait_s=self._wait_s(was_busy))
        if self._core.can_step:
            start_ns = time.monotonic_ns()
            if was_busy:
                message.gap_s = (start_ns - self._last_end_ns) / 1e9
            message.outputs += self._core.step()
            message.has_stepped = True
            message.step_s = (time.monotonic_ns() - start_ns) / 1e9
        message.end_ns = self._last_end_ns = time.monotonic_ns()
        message.stats = self._core.stats()
        for output in message.outputs:
            if output.finish_reason is not None:
                self._in_core.pop(output.request_id, None)
        return message

    def _wait_s(self, is_busy: bool) -> float:
        """How long a turn may wait for a command before it goes on."""
        if is_busy:
            return 0
        return COMPILE_WAIT_S if self._core.has_work else IDLE_WAIT_S

    def _take_commands(self, message: StepMessage, wait_s: float) -> None:
        try:
            command = self._inbox.get(block=wait_s > 0, timeout=wait_s)
            while True:
                if isinstance(command, _Add):
                    self._add(command.requests, message)
                elif isinstance(command, _End):
                    self._end(command, message)
                command = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _add(self, requests: Sequence[Request], message: StepMessage) -> None:
        """All of an HTTP request's sequences or none of them."""
        for n, request in enumerate(requests):
            try:
                self._core.add(request)
            except (RequestRefused, QueueFull) as error:
                for added in requests[:n]:
                    self._core.abort(added.request_id)
                    self._in_core.pop(added.request_id, None)
                message.refused += [(r.request_id, error) for r in requests]
                return
            self._in_core[request.request_id] = request

    def _end(self, command: _End, message: StepMessage) -> None:
        for request_id in command.request_ids:
            request = self._in_core.pop(request_id, None)
            if request is None:
                continue  # it finished by itself in the meantime
            self._core.abort(request_id)
            message.outputs.append(
                RequestOutput(request_id, [], finish_reason=command.reason, timings=request.timings)
            )

"""The engine behind an asyncio loop: something steps elsewhere, one message a step crosses over.

A driver runs the step loop, in a thread of this process or in a process of its own; requests and
aborts reach it as commands, and what a whole batch gained comes back in a single call into the
loop. Text, stop strings and JSON are not its business. A heartbeat tells a live loop from a hung
one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .errors import EngineError
from .metrics import EngineMetrics, FinishedRequest
from .request import FinishReason, Request, RequestOutput
from .stats import EngineStats
from .step_loop import Add, Command, Core, End, StepLoop, StepMessage

log = logging.getLogger(__name__)


class EngineDead(EngineError):
    """The step loop has ended or raised; nothing will be served any more."""


class Driver(Protocol):
    """Runs a step loop. start() is called on the asyncio loop, whose functions it calls there."""

    def start(
        self, deliver: Callable[[StepMessage], None], fail: Callable[[EngineDead], None]
    ) -> None:
        """Begin: deliver every message that says something; fail once if the loop dies."""

    def put(self, command: Command) -> None: ...

    async def stop(self) -> None:
        """End after the step in progress."""

    @property
    def is_running(self) -> bool: ...

    @property
    def last_beat_ns(self) -> int:
        """CLOCK_MONOTONIC of the last turn's beginning or end; 0 before start()."""

    def first_stats(self) -> EngineStats:
        """Before anything ran."""


class ThreadDriver:
    """The step loop in a thread: what a CPU needs, where torch lets go of the lock anyway."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="engine-steps", daemon=True)
        self.last_beat_ns = 0

    def start(
        self, deliver: Callable[[StepMessage], None], fail: Callable[[EngineDead], None]
    ) -> None:
        self._loop, self._deliver, self._fail = asyncio.get_running_loop(), deliver, fail
        self.last_beat_ns = time.monotonic_ns()
        self._thread.start()

    def put(self, command: Command) -> None:
        self._inbox.put(command)

    async def stop(self) -> None:
        self._is_stopping = True
        self._inbox.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def first_stats(self) -> EngineStats:
        return self._core.stats()

    def _run(self) -> None:
        try:
            StepLoop(self._core, self._inbox).run(self._say, lambda: self._is_stopping)
        except BaseException as error:  # whatever ends this thread ends all streams
            log.exception("the step loop died")
            dead = EngineDead(f"the engine failed: {type(error).__name__}: {error}")
            self._loop.call_soon_threadsafe(self._fail, dead)

    def _say(self, message: StepMessage) -> None:
        self.last_beat_ns = time.monotonic_ns()
        if not message.is_empty:
            self._loop.call_soon_threadsafe(self._deliver, message)


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
    """start() and stop() on the loop that serves; submit and end from that loop."""

    def __init__(
        self,
        core: Core | Driver,
        metrics: EngineMetrics | None = None,
        heartbeat_limit_s: float = 30.0,
    ) -> None:
        """core: stepped in a thread, or whatever drives one elsewhere."""
        self._driver: Driver = ThreadDriver(core) if isinstance(core, Core) else core
        self._metrics = metrics
        self._heartbeat_limit_ns = int(heartbeat_limit_s * 1e9)
        self._live: dict[str, _Live] = {}
        self._has_failed = False  # the loop may still live for a moment
        self.stats = self._driver.first_stats()
        if metrics is not None:
            metrics.observe_stats(self.stats)

    def start(self) -> None:
        self._driver.start(self._deliver, self._fail_all)

    async def stop(self) -> None:
        """Ends the step loop after the step in progress; open streams fail with EngineDead."""
        await self._driver.stop()
        self._fail_all(EngineDead("the engine is shutting down"))

    @property
    def is_alive(self) -> bool:
        """Whether the step loop runs and has beaten within the limit."""
        age_ns = time.monotonic_ns() - self._driver.last_beat_ns
        return self._driver.is_running and age_ns < self._heartbeat_limit_ns

    @property
    def num_live(self) -> int:
        """Sequences submitted and not yet finished."""
        return len(self._live)

    def submit(self, requests: Sequence[Request], stream: Stream | None = None) -> Stream:
        """Queue the sequences of one HTTP request. Their admission starts now.

        stream: of an HTTP request that was let in before; these are more of its sequences.
        A refusal (RequestRefused, QueueFull) arrives from the stream's next next().
        """
        if self._has_failed or not self._driver.is_running:
            raise EngineDead("the engine has stopped", do="restart it; its log says why")
        follows = stream is not None
        stream = stream or Stream()
        now = time.monotonic_ns()
        for request in requests:
            request.follows = follows
            request.timings.admitted_ns = now
            self._live[request.request_id] = _Live(request, stream)
        self._driver.put(Add(requests))
        return stream

    def finish(self, request_id: str) -> None:
        """A stop string ended this sequence; its last output follows on the stream."""
        self._driver.put(End([request_id], FinishReason.STOP))

    def release(self, requests: Sequence[Request]) -> None:
        """The HTTP request is over: drop whatever of it still runs. Nothing follows."""
        ids = [r.request_id for r in requests if r.request_id in self._live]
        if ids:
            self._driver.put(End(ids, FinishReason.ABORT))
            for request_id in ids:
                self._record(self._live.pop(request_id), FinishReason.ABORT)

    # --- the asyncio side -------------------------------------------------------------------

    def _deliver(self, message: StepMessage) -> None:
        self.stats = message.stats
        if self._metrics is not None:
            self._metrics.observe_stats(message.stats)
            if message.has_stepped:
                self._metrics.observe_step(message.stats, message.step_s, message.gap_s)
        for request_id, refusal in message.grammar_refusals:
            if (live := self._live.get(request_id)) and live.request.grammar is not None:
                live.request.grammar.refusal = refusal
        for request_id, error in message.refused:
            if live := self._live.pop(request_id, None):
                live.stream.close(error)
        lives, end_ns = self._live, message.end_ns
        gaps: dict[int, int] = {}  # when a request's last tokens came -> how many such requests
        for output in message.outputs:
            live = lives.get(output.request_id)
            if live is None:
                continue  # released while this step ran
            if output.timings is not None:
                live.request.timings = output.timings  # of another process they are a copy
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
                FinishedRequest(
                    reason,
                    request.timings,
                    request.num_prompt,
                    live.num_tokens,
                    request.pooling is not None,
                )
            )

    def _fail_all(self, error: EngineDead) -> None:
        self._has_failed = True
        for live in self._live.values():
            live.stream.close(error)
        self._live.clear()

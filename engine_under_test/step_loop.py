"""The step loop: takes commands in, steps the core, and says in one message what a turn did.

It owns the core and knows neither asyncio nor whether it runs in a thread or in a process of its
own: commands come from a queue, messages go to a function.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from .errors import EngineError, QueueFull, RequestRefused
from .request import FinishReason, Request, RequestOutput
from .stats import EngineStats

IDLE_WAIT_S = 0.25  # an idle loop still beats this often
COMPILE_WAIT_S = (
    0.001  # and looks this often whether the only requests there are got their grammars
)


@runtime_checkable
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


@dataclass(slots=True)
class Add:
    requests: Sequence[Request]


@dataclass(slots=True)
class End:
    """Drop these requests; reason is what metrics and the stream will call it."""

    request_ids: Sequence[str]
    reason: FinishReason


@dataclass(slots=True)
class StepMessage:
    """All that one turn of the step loop has to tell the asyncio side."""

    outputs: list[RequestOutput] = field(default_factory=list)
    grammar_refusals: list[tuple[str, RequestRefused]] = field(default_factory=list)
    refused: list[tuple[str, EngineError]] = field(default_factory=list)
    stats: EngineStats = field(default_factory=EngineStats)
    end_ns: int = 0
    has_stepped: bool = False
    step_s: float = 0.0  # injected delay included
    gap_s: float | None = None  # since the previous step ended; None: there was no work then

    @property
    def is_empty(self) -> bool:
        return not (self.outputs or self.refused or self.has_stepped)


Command = Add | End | None  # None only wakes the loop


class StepLoop:
    """Commands from inbox; used by one thread."""

    def __init__(self, core: Core, inbox: queue.SimpleQueue[Command]) -> None:
        self._core = core
        self._inbox = inbox
        self._in_core: dict[str, Request] = {}
        self._last_end_ns = 0

    def run(self, deliver: Callable[[StepMessage], None], is_stopping: Callable[[], bool]) -> None:
        """Until is_stopping(). deliver gets every turn's message, empty ones too: the beat."""
        while not is_stopping():
            deliver(self._turn())

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
                request = self._in_core.pop(output.request_id, None)
                refusal = request.grammar.refusal if request and request.grammar else None
                if refusal is not None:
                    message.grammar_refusals.append((output.request_id, refusal))
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
                if isinstance(command, Add):
                    self._add(command.requests, message)
                elif isinstance(command, End):
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

    def _end(self, command: End, message: StepMessage) -> None:
        for request_id in command.request_ids:
            request = self._in_core.pop(request_id, None)
            if request is None:
                continue  # it finished by itself in the meantime
            self._core.abort(request_id)
            message.outputs.append(
                RequestOutput(request_id, [], finish_reason=command.reason, timings=request.timings)
            )

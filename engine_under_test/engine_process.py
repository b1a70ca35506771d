"""The step loop in a process of its own, so that serving never holds the lock that stepping needs.

Commands and messages cross over one pipe, one message a step for the whole batch. Requests are
copies over there: what the server keeps learns of it from outputs alone. A grammar crosses as the
order to compile it, an adapter once and then by its key. The child loads the model itself, and
exits when its parent's end of the pipe closes.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from .async_engine import EngineDead
from .core import EngineCore
from .errors import EngineError, RequestRefused
from .model_config import ModelConfig
from .models import LoraAdapter
from .request import Adapter, Request
from .stats import EngineStats
from .step_loop import Add, Command, StepLoop, StepMessage
from .structured import GrammarCompiler, GrammarSource

log = logging.getLogger(__name__)
STOP_S = 10.0  # a child that has not ended by then is ended


@dataclass(frozen=True, slots=True)
class CoreFacts:
    """What a server tells of its engine and never changes."""

    model_config: ModelConfig
    dtype_name: str
    max_model_len: int
    eos_ids: tuple[int, ...]
    weights_digest: str
    stats: EngineStats

    @classmethod
    def of(cls, core: EngineCore) -> CoreFacts:
        return cls(
            core.model_config, core.dtype_name, core.max_model_len, core.eos_ids,
            core.weights_digest, core.stats(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the child starts from; everything in it crosses over.

    load: makes the engine, warm.  tokenizer_json, fallback_eos_ids: for compiling grammars.
    """

    load: Callable[[], EngineCore]
    tokenizer_json: str
    fallback_eos_ids: tuple[int, ...]


class GrammarOrder:
    """A grammar to be compiled where the engine is; stands for it on this side."""

    def __init__(self, source: GrammarSource) -> None:
        self.source = source
        self.error = ""
        self.end_ids: frozenset[int] = frozenset()
        self.refusal: RequestRefused | None = None
        self.is_ready = False

    def may_end(self, r: Request) -> bool:
        raise AssertionError("only the engine asks, and it has the grammar itself")


class GrammarOrders:
    """Takes the place of a GrammarCompiler beside an engine in another process."""

    def submit(self, source: GrammarSource) -> GrammarOrder:
        return GrammarOrder(source)

    def close(self) -> None:
        """Nothing runs here."""


@dataclass(frozen=True, slots=True)
class _AdapterKey:
    """An adapter that the child was sent before."""

    name: str
    key: str


class ProcessDriver:
    """See async_engine.Driver. The constructor returns once the child could serve.

    Raises whatever EngineError the child's loading raised; EngineDead if it died of something else.
    """

    def __init__(self, beginning: Beginning) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(
            target=_run_child, args=(theirs, beginning), name="engine", daemon=True
        )
        self._child.start()
        theirs.close()
        self._sent_adapters: set[str] = set()
        self.last_beat_ns = 0
        try:
            first = self._pipe.recv()
        except EOFError:
            raise EngineDead("the engine's process ended while it loaded") from None
        if isinstance(first, EngineError):
            raise first
        self.facts: CoreFacts = first

    def start(
        self, deliver: Callable[[StepMessage], None], fail: Callable[[EngineDead], None]
    ) -> None:
        self._deliver, self._fail = deliver, fail
        self._loop = asyncio.get_running_loop()
        self.last_beat_ns = time.monotonic_ns()
        self._loop.add_reader(self._pipe.fileno(), self._read)

    def put(self, command: Command) -> None:
        if isinstance(command, Add):
            command = Add([self._crossing(r) for r in command.requests])
        try:
            self._pipe.send(command)
        except OSError:  # it is dead; _read tells everybody
            log.warning("a command did not reach the engine's process")

    async def stop(self) -> None:
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()  # the child's sign
        await asyncio.to_thread(self._child.join, STOP_S)
        if self._child.is_alive():
            self._child.kill()

    @property
    def is_running(self) -> bool:
        return self._child.is_alive()

    def first_stats(self) -> EngineStats:
        return self.facts.stats

    def _read(self) -> None:
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):
            self._loop.remove_reader(self._pipe.fileno())
            self._fail(EngineDead("the engine's process ended; its log says why"))
            return
        if isinstance(message, EngineDead):
            self._fail(message)
            return
        self.last_beat_ns = time.monotonic_ns()
        if not message.is_empty:
            self._deliver(message)

    def _crossing(self, r: Request) -> Request:
        """A copy to send, its adapter reduced to a key where the child has it."""
        adapter = r.adapter
        if adapter is None:
            return r
        if adapter.key in self._sent_adapters:
            return replace(r, adapter=_AdapterKey(adapter.name, adapter.key))
        self._sent_adapters.add(adapter.key)
        return r


def _run_child(pipe: Connection, beginning: Beginning) -> None:
    """Load, then step until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=_LOG_FORMAT)
    try:
        core = beginning.load()
    except EngineError as error:
        pipe.send(error)
        return
    compiler = GrammarCompiler(
        beginning.tokenizer_json,
        core.model_config.vocab_size,
        core.eos_ids or beginning.fallback_eos_ids,
    )
    inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
    pipe.send(CoreFacts.of(core))
    receiver = _Receiver(pipe, inbox, compiler)
    threading.Thread(target=receiver.run, name="commands", daemon=True).start()
    try:
        StepLoop(core, inbox).run(pipe.send, lambda: receiver.is_closed)
    except BrokenPipeError:
        return  # the parent has gone
    except BaseException as error:  # whatever ends the loop ends all streams
        log.exception("the step loop died")
        pipe.send(EngineDead(f"the engine failed: {type(error).__name__}: {error}"))


_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Receiver:
    """Takes commands off the pipe, and makes of orders and keys what the engine runs on."""

    def __init__(
        self, pipe: Connection, inbox: queue.SimpleQueue[Command], compiler: GrammarCompiler
    ) -> None:
        self.is_closed = False
        self._pipe, self._inbox, self._compiler = pipe, inbox, compiler
        self._adapters: dict[str, LoraAdapter] = {}

    def run(self) -> None:
        while True:
            try:
                command: Any = self._pipe.recv()
            except (EOFError, OSError):
                self.is_closed = True
                self._inbox.put(None)
                # A step that hangs would keep a process whose parent is gone.
                threading.Timer(STOP_S, os._exit, (1,)).start()
                return
            if isinstance(command, Add):
                for r in command.requests:
                    r.adapter = self._adapter(r.adapter)
                    if isinstance(r.grammar, GrammarOrder):
                        r.grammar = self._compiler.submit(r.grammar.source)
            self._inbox.put(command)

    def _adapter(self, adapter: Adapter | None) -> Adapter | None:
        if isinstance(adapter, LoraAdapter):
            self._adapters[adapter.key] = adapter
        elif isinstance(adapter, _AdapterKey):
            return self._adapters[adapter.key]
        return adapter

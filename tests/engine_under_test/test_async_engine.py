"""Between the step thread and the event loop: refusals, leaving, death, heartbeat.

The core here is a fake of a few lines, for what matters is when it raises, hangs or is called.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine

import pytest

from engine_under_test.async_engine import AsyncEngine, EngineDead
from engine_under_test.errors import QueueFull
from engine_under_test.metrics import EngineMetrics
from engine_under_test.request import FinishReason, Request, RequestOutput, SamplingParams
from engine_under_test.stats import EngineStats


class FakeCore:
    """Gives every request one token a step, token id = tokens so far."""

    def __init__(self, capacity: int = 8) -> None:
        self.requests: dict[str, Request] = {}
        self.capacity = capacity
        self.on_step: Callable[[], None] = lambda: None

    def add(self, request: Request) -> None:
        if len(self.requests) >= self.capacity:
            raise QueueFull("full")
        self.requests[request.request_id] = request

    def abort(self, request_id: str) -> None:
        self.requests.pop(request_id, None)

    @property
    def has_work(self) -> bool:
        return bool(self.requests)

    can_step = has_work

    def stats(self) -> EngineStats:
        return EngineStats(num_running=len(self.requests))

    def step(self) -> list[RequestOutput]:
        self.on_step()
        outputs = []
        for request in list(self.requests.values()):
            request.token_ids.append(request.num_generated)
            is_last = request.num_generated == request.params.max_tokens
            reason = FinishReason.LENGTH if is_last else None
            if is_last:
                del self.requests[request.request_id]
            new = [request.token_ids[-1]]
            outputs.append(RequestOutput(request.request_id, new, finish_reason=reason))
        return outputs


def _request(name: str, max_tokens: int = 3) -> Request:
    return Request(name, [1], SamplingParams(max_tokens=max_tokens))


def _run(
    core: FakeCore, body: Callable[[AsyncEngine], Coroutine[None, None, None]], limit_s: float = 20
) -> EngineMetrics:
    metrics = EngineMetrics("fake")

    async def main() -> None:
        engine = AsyncEngine(core, metrics, heartbeat_limit_s=limit_s)
        engine.start()
        try:
            await asyncio.wait_for(body(engine), 120)
        finally:
            await engine.stop()

    asyncio.run(main())
    return metrics


def test_every_token_arrives_once_and_in_order() -> None:
    async def body(engine: AsyncEngine) -> None:
        stream = engine.submit([_request("a", 50), _request("b", 30)])
        tokens: dict[str, list[int]] = {"a": [], "b": []}
        finished: set[str] = set()
        while len(finished) < 2:
            for output, _ in await stream.next():
                tokens[output.request_id] += output.new_token_ids
                if output.finish_reason:
                    finished.add(output.request_id)
        assert tokens == {"a": list(range(50)), "b": list(range(30))}
        assert engine.num_live == 0

    metrics = _run(FakeCore(), body)
    assert metrics.inter_token_s.count == 49 + 29


def test_admission_is_all_or_nothing() -> None:
    core = FakeCore(capacity=2)

    async def body(engine: AsyncEngine) -> None:
        stream = engine.submit([_request(n) for n in "abc"])
        with pytest.raises(QueueFull):
            await stream.next()
        assert engine.num_live == 0

    _run(core, body)
    assert core.requests == {}


def test_a_released_request_leaves_the_core_and_tells_nobody() -> None:
    core = FakeCore()

    async def body(engine: AsyncEngine) -> None:
        request = _request("a", 10**9)
        stream = engine.submit([request])
        await stream.next()
        engine.release([request])
        other = engine.submit([_request("b", 1)])  # taken from the inbox after the release
        await other.next()
        assert "a" not in core.requests
        assert engine.num_live == 0

    metrics = _run(core, body)
    text = metrics.render().decode()
    assert 'finished_reason="abort",model_name="fake"} 1.0' in text


def test_a_stopped_request_gets_a_last_word_with_its_timings() -> None:
    async def body(engine: AsyncEngine) -> None:
        stream = engine.submit([_request("a", 10**9)])
        await stream.next()
        engine.finish("a")
        last = (await stream.next())[-1]
        while last.output.finish_reason is None:
            last = (await stream.next())[-1]
        assert last.output.finish_reason is FinishReason.STOP
        assert last.output.timings is not None
        assert last.output.timings.admitted_ns > 0

    _run(FakeCore(), body)


def test_a_core_that_raises_fails_every_stream_and_the_health() -> None:
    core = FakeCore()

    def explode() -> None:
        raise RuntimeError("boom")

    async def body(engine: AsyncEngine) -> None:
        assert engine.is_alive
        core.on_step = explode
        streams = [engine.submit([_request(n)]) for n in "ab"]
        for stream in streams:
            with pytest.raises(EngineDead, match="boom"):
                await stream.next()
        while engine.is_alive:
            await asyncio.sleep(0.001)
        with pytest.raises(EngineDead):
            engine.submit([_request("c")])

    _run(core, body)


def test_nothing_is_taken_between_death_and_the_end_of_the_thread() -> None:
    """A stream opened in that moment would wait for ever."""

    async def body(engine: AsyncEngine) -> None:
        engine._fail_all(EngineDead("the engine failed"))
        assert engine.is_alive  # the thread has not returned yet
        with pytest.raises(EngineDead, match="has stopped"):
            engine.submit([_request("late")])

    _run(FakeCore(), body)


def test_a_hung_step_stops_the_heartbeat() -> None:
    core = FakeCore()
    gate = threading.Event()

    def hang() -> None:
        gate.wait(120)

    async def body(engine: AsyncEngine) -> None:
        core.on_step = hang
        stream = engine.submit([_request("a", 1)])
        while engine.is_alive:
            await asyncio.sleep(0.005)
        gate.set()
        await stream.next()
        while not engine.is_alive:  # it beats again
            await asyncio.sleep(0.005)

    _run(core, body, limit_s=0.4)


def test_shutdown_fails_what_is_open() -> None:
    core = FakeCore()

    async def main() -> None:
        engine = AsyncEngine(core)
        engine.start()
        stream = engine.submit([_request("a", 10**9)])
        await engine.stop()
        await stream.next()  # what had arrived is still read
        with pytest.raises(EngineDead, match="shutting down"):
            await stream.next()

    asyncio.run(main())

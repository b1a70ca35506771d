"""A batch of a thousand inputs and its neighbours: who waits for whom, counted in steps.

The true application over the true core; the steps are turned by hand, so nothing here depends on
how fast the machine is.
"""

from __future__ import annotations

import asyncio
import functools
import json
import queue
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from engine_under_test.async_engine import AsyncEngine, EngineDead, ThreadDriver
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import embed
from engine_under_test.request import NO_TOKENS, Request
from engine_under_test.server.app import App
from engine_under_test.server.build import ModelSource, ServerOptions, build
from engine_under_test.server.portions import Portions
from engine_under_test.stats import EngineStats
from engine_under_test.step_loop import Command, StepLoop, StepMessage

INPUT_TOK = 8


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class HandDriver:
    """Runs one turn of the step loop when it is told to."""

    is_running, last_beat_ns = True, 0

    def __init__(self, core: EngineCore) -> None:
        self.core = core
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._loop = StepLoop(core, self._inbox)

    def start(
        self, deliver: Callable[[StepMessage], None], fail: Callable[[EngineDead], None]
    ) -> None:
        self._deliver = deliver

    def put(self, command: Command) -> None:
        self._inbox.put(command)

    async def stop(self) -> None:
        """Nothing runs by itself."""

    def first_stats(self) -> EngineStats:
        return self.core.stats()

    def turn(self) -> None:
        self._inbox.put(None)  # an idle loop need not wait for a command
        is_over = iter((False, True))
        self._loop.run(self._deliver, lambda: next(is_over))


class Call:
    """One request to the application, and what it was answered."""

    def __init__(self, app: App, path: str, body: object) -> None:
        self.status, self.body = 0, b""
        self._parts = iter([{"type": "http.request", "body": json.dumps(body).encode()}])
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        if (part := next(self._parts, None)) is None:
            await asyncio.Event().wait()  # the client stays
        return part

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    @property
    def vectors(self) -> list[list[float]]:
        assert self.status == 200, self.body
        return [row["embedding"] for row in json.loads(self.body)["data"]]


class World:
    """An application whose engine steps in `turn` alone."""

    def __init__(self, **limits: Any) -> None:
        config = EngineConfig(shape="debug", dtype="float64", **{"num_blocks": 256, **limits})
        state = build(ModelSource("debug", shape="debug"), config, ServerOptions("debug"))
        driver = state.engine._driver
        assert isinstance(driver, ThreadDriver)
        assert isinstance(driver._core, EngineCore)
        self.driver = HandDriver(driver._core)
        state.engine = AsyncEngine(self.driver, state.metrics)
        state.engine.start()
        self.app, self.num_turns = App(state), 0
        self.most_waiting = 0

    async def settle(self) -> None:
        """Everybody on the loop gets as far as he can."""
        for _ in range(100):
            await asyncio.sleep(0)

    async def embed(self, inputs: list[list[int]]) -> Call:
        call = Call(self.app, "/v1/embeddings", {"input": inputs})
        await self.settle()
        return call

    async def complete(self, max_tokens: int = 1) -> Call:
        body = {"prompt": [1, 2, 3], "max_tokens": max_tokens, "ignore_eos": True, "seed": 1}
        call = Call(self.app, "/v1/completions", body)
        await self.settle()
        return call

    async def turns_until(self, *calls: Call, most: int = 1000) -> int:
        """Turn until they are answered; how many turns that took."""
        before = self.num_turns
        while not all(call.task.done() for call in calls):
            assert self.num_turns - before < most, "nobody is answered"
            self.driver.turn()
            self.num_turns += 1
            self.most_waiting = max(self.most_waiting, self.driver.core.stats().num_waiting)
            await self.settle()
        return self.num_turns - before


def inputs_of(num: int) -> list[list[int]]:
    rng = np.random.default_rng(num)
    return [[int(t) for t in rng.integers(0, 500, INPUT_TOK)] for _ in range(num)]


@on_a_loop
async def test_a_large_batch_lets_everybody_else_through() -> None:
    """8 inputs a step: 200 are 25 steps. Who comes behind it waits for the 3 steps that are handed
    over, not for 25, and the batch itself is done in no more steps than without any company."""
    world = World(max_num_seqs=8, max_num_batched_tokens=64)
    given = inputs_of(200)
    batch = await world.embed(given)
    world.driver.turn()
    await world.settle()
    chat, other = await world.complete(), await world.embed(inputs_of(1))
    assert await world.turns_until(chat, other) <= 4
    assert (chat.status, other.status) == (200, 200)
    assert not batch.task.done()
    late = await world.complete()
    assert await world.turns_until(late) <= 4
    await world.turns_until(batch)
    assert world.num_turns + 1 <= 25 + 2  # two for the four requests that came between
    core = EngineCore(EngineConfig(shape="debug", dtype="float64", num_blocks=256))
    wanted = [v / np.linalg.norm(v) for v in embed(core, given, "last")]
    np.testing.assert_allclose(batch.vectors, wanted, atol=2e-7)


@on_a_loop
async def test_one_batch_never_fills_the_queue_and_others_are_not_refused() -> None:
    """A queue of 16 took no more than 16 inputs at once before; a batch of 100 was a 400, and one
    of 16 left no place for anybody."""
    world = World(max_num_seqs=4, max_num_batched_tokens=32, max_waiting=16)
    batch = await world.embed(inputs_of(100))
    world.driver.turn()
    chats = [await world.complete(max_tokens=20) for _ in range(3)]
    assert await world.turns_until(*chats) < 60
    assert [chat.status for chat in chats] == [200] * 3
    await world.turns_until(batch)
    assert len(batch.vectors) == 100
    assert world.most_waiting <= 8 + 3  # half of the queue, and the chats


@on_a_loop
async def test_what_follows_is_not_refused_where_others_have_filled_the_queue() -> None:
    world = World(max_num_seqs=2, max_num_batched_tokens=32, max_waiting=4)
    batch = await world.embed(inputs_of(12))
    world.driver.turn()
    chats: list[Call] = []
    while not chats or chats[-1].status != 429:  # one more a step than two rows of three steps take
        chats.append(await world.complete(max_tokens=3))
        world.driver.turn()
        await world.settle()
        assert len(chats) < 50
    del chats[-1]
    assert not batch.task.done()
    await world.turns_until(batch, *chats)
    assert len(batch.vectors) == 12
    assert {chat.status for chat in chats} == {200}
    assert world.most_waiting <= 4 + 2  # the queue, and what the rows held when it was filled


@on_a_loop
async def test_an_input_that_can_never_run_ends_the_request_and_frees_what_it_held() -> None:
    world = World(max_num_seqs=2, max_num_batched_tokens=16, num_blocks=6)
    batch = await world.embed([*inputs_of(20), [7] * 100])
    await world.turns_until(batch)
    error = json.loads(batch.body)["error"]
    assert (batch.status, error["param"]) == (400, "input")
    assert "100 tokens exceeds the KV cache of 80" in error["message"]
    after = await world.embed(inputs_of(3))
    await world.turns_until(after)
    assert len(after.vectors) == 3
    stats = world.driver.core.stats()
    assert (stats.num_running, stats.num_waiting, stats.kv_usage_ratio) == (0, 0, 0)


@pytest.mark.parametrize(
    ("tok", "limits", "sizes"),
    [
        (8, {"max_num_seqs": 8, "max_num_batched_tokens": 64}, 24),  # both limits: 3 steps
        (30, {"max_num_seqs": 8, "max_num_batched_tokens": 64}, 7),  # 192 tokens, the 7th crosses
        (500, {"max_num_seqs": 8, "max_num_batched_tokens": 64}, 1),
        (1, {"max_num_seqs": 8, "max_num_batched_tokens": 64, "max_waiting": 6}, 3),
        (1, {"max_num_seqs": 1, "max_num_batched_tokens": 64, "max_waiting": 1}, 1),
    ],
)  # fmt: skip
def test_a_portion_is_what_three_steps_take(tok: int, limits: dict[str, int], sizes: int) -> None:
    requests = [Request(str(n), [1] * tok, NO_TOKENS, pooling="last") for n in range(40)]
    portions = Portions(requests, EngineConfig(shape="debug", **limits))  # type: ignore[arg-type]
    taken = portions.take()
    assert len(taken) == sizes
    assert portions.take() == []
    for request in list(taken):
        portions.done(request)
        taken += portions.take()
    while len(taken) < len(requests):
        portions.done(taken[-1])
        taken += portions.take()
    assert taken == requests

"""python -m benchmarks.engines.steps [--model tiny] [--levels 1,4,16,64] [--tokens 100]

Where a step's time goes, in the running server with its clients: scheduler, building the batch,
forward, sampling, and on the event loop's side detokenising, wording and sending. The parts are
timed around the real functions, so each finds its data as cold as the rest of the step leaves it;
in wall time, which holds waits for the other thread's interpreter lock, and in CPU time of the
thread, which does not and moves less on a busy machine. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from engine_under_test import runner
from engine_under_test.attention import SdpaBackend
from engine_under_test.attention.compiled import CompiledBackend
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.models import Llama
from engine_under_test.sampler import Sampler
from engine_under_test.scheduler import Scheduler
from engine_under_test.server.app import App
from engine_under_test.server.build import ServerOptions, build, find_model
from engine_under_test.server.exchange import Exchange
from engine_under_test.server.sequence import Sequence
from engine_under_test.server.serve import bind, make_server, settle
from engine_under_test.server.sse import Dialect

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("step", EngineCore, "step"),
    ("scheduler", Scheduler, "schedule"),
    ("scheduler", Scheduler, "update"),
    ("build", runner, "build_batch"),
    ("build", SdpaBackend, "build"),
    ("build", CompiledBackend, "build"),
    ("forward", Llama, "forward"),
    ("forward", Llama, "logits"),
    ("sample", Sampler, "plan"),
    ("sample", Sampler, "draw"),
    ("detokenise", Sequence, "push"),
    ("word", Dialect, "chunk"),
)


class Clock:
    """Nanoseconds by part."""

    def __init__(self) -> None:
        self.spent_ns: dict[str, int] = defaultdict(int)
        self.cpu_ns: dict[str, int] = defaultdict(int)
        self.num_calls: dict[str, int] = defaultdict(int)

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start, cpu = time.perf_counter_ns(), time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                self.cpu_ns[part] += time.thread_time_ns() - cpu
                self.spent_ns[part] += time.perf_counter_ns() - start
                self.num_calls[part] += 1

        return timed

    def install(self) -> None:
        """Time every part, and the write of each event to its socket."""
        for part, owner, name in PARTS:
            setattr(owner, name, self.around(part, getattr(owner, name)))
        write = Exchange.write

        async def timed_write(exchange: Exchange, body: bytes) -> None:
            start, cpu = time.perf_counter_ns(), time.thread_time_ns()
            await write(exchange, body)
            self.cpu_ns["send"] += time.thread_time_ns() - cpu
            self.spent_ns["send"] += time.perf_counter_ns() - start

        Exchange.write = timed_write  # type: ignore[method-assign]

    def clear(self) -> None:
        self.spent_ns.clear()
        self.cpu_ns.clear()
        self.num_calls.clear()


def row_of(clock: Clock, level: int) -> dict[str, Any]:
    """Microseconds a step, of the steps since the clock was cleared: wall (us) and CPU (cpu_us)."""
    num_steps = clock.num_calls["step"]
    row: dict[str, Any] = {"level": level, "num_steps": num_steps}
    for name, spent in (("us", clock.spent_ns), ("cpu_us", clock.cpu_ns)):
        parts = {part: ns / num_steps / 1e3 for part, ns in spent.items()}
        inside = sum(parts.get(p, 0.0) for p in ("scheduler", "build", "forward", "sample"))
        row[name] = {**parts, "rest of step": parts["step"] - inside}
    return row


async def measure(model: str, levels: list[int], num_tokens: int) -> list[dict[str, Any]]:
    """Serve in this process, load from another."""
    clock, rows = Clock(), []
    clock.install()
    source = find_model(model)
    config = EngineConfig(
        model_dir=source.directory, shape=source.shape, dtype="float32", max_model_len=1024
    )
    state = build(source, config, ServerOptions())
    sock = bind("127.0.0.1", 0)
    server = make_server(App(state))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    settle()
    for level in levels:
        for attempt in range(2):  # the first one warms up
            clock.clear()
            tokens = num_tokens if attempt else 8
            await _load(sock.getsockname()[1], level, tokens)
        rows.append(row_of(clock, level))
    server.should_exit = True
    await serving
    return rows


async def _load(port: int, level: int, num_tokens: int) -> None:
    code = (
        "import asyncio, random; from benchmarks.engines import servers; from "
        "benchmarks.engines.base import Job; "
        f"p = [[random.randrange(3, 2000) for _ in range(32)] for _ in range({level})]; "
        f"asyncio.run(servers._all({port}, Job(p, {num_tokens})))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await child.wait() == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--levels", default="1,4,16,64")
    parser.add_argument("--tokens", type=int, default=100)
    args = parser.parse_args()
    levels = [int(level) for level in args.levels.split(",")]
    print(json.dumps(asyncio.run(measure(args.model, levels, args.tokens))))


if __name__ == "__main__":
    main()

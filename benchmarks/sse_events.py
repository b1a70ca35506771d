"""python benchmarks/sse_events.py [--streams 64] [--tokens 2000] [--core fake|debug]

Streamed events per second through the whole server: step thread, detokeniser, JSON, uvicorn, a
loopback socket. `fake` paces an engine that computes nothing, so the number is the server's own;
`debug` steps the smallest real model. The client is a second process on the same machine; events
per second of the server's own CPU time is the figure to compare between busy machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from engine_under_test.async_engine import AsyncEngine
from engine_under_test.config import EngineConfig
from engine_under_test.metrics import EngineMetrics
from engine_under_test.request import FinishReason, Request, RequestOutput
from engine_under_test.server.app import App, ServerState
from engine_under_test.server.build import ModelSource, ServerOptions, build
from engine_under_test.server.serve import bind, make_server, settle
from engine_under_test.stats import EngineStats

STEP_S = 0.0005


class PacedCore:
    """Gives every request the same token each half millisecond."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}

    def add(self, request: Request) -> None:
        self.requests[request.request_id] = request

    def abort(self, request_id: str) -> None:
        self.requests.pop(request_id, None)

    @property
    def has_work(self) -> bool:
        return bool(self.requests)

    @property
    def can_step(self) -> bool:
        return self.has_work

    def stats(self) -> EngineStats:
        return EngineStats(num_running=len(self.requests))

    def step(self) -> list[RequestOutput]:
        time.sleep(STEP_S)
        outputs = []
        for request in list(self.requests.values()):
            request.num_computed += 1
            is_last = request.num_computed >= request.params.max_tokens
            reason = FinishReason.LENGTH if is_last else None
            if is_last:
                self.abort(request.request_id)
            outputs.append(RequestOutput(request.request_id, [120], finish_reason=reason))
        return outputs


@dataclass(frozen=True, slots=True)
class Count:
    """What the client saw, from its first connection to its last byte."""

    num_events: int
    wall_s: float


async def _read_stream(port: int, max_tokens: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    body = json.dumps({"prompt": "x", "max_tokens": max_tokens, "stream": True}).encode()
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )
    count = 0
    while data := await reader.read(65536):
        count += data.count(b"data: ")
    writer.close()
    return count


def client(pipe: Connection, port: int, streams: int, max_tokens: int) -> None:
    """The load, in a process of its own."""

    async def main() -> int:
        return sum(await asyncio.gather(*(_read_stream(port, max_tokens) for _ in range(streams))))

    start = time.perf_counter()
    pipe.send(Count(asyncio.run(main()), time.perf_counter() - start))


def make_state(core: str) -> ServerState:
    """The debug shape's server; with a paced core in place of the model where asked."""
    config = EngineConfig(shape="debug", max_num_seqs=256)
    state = build(ModelSource("debug", shape="debug"), config, ServerOptions())
    if core == "fake":
        state.metrics = EngineMetrics("fake")
        state.engine = AsyncEngine(PacedCore(), state.metrics)
    return state


async def main() -> None:
    """Prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--core", choices=["fake", "debug"], default="fake")
    args = parser.parse_args()
    sock = bind("127.0.0.1", 0)
    server = make_server(App(make_state(args.core)))
    settle()
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    load = multiprocessing.get_context("spawn").Process(
        target=client, args=(theirs, sock.getsockname()[1], args.streams, args.tokens)
    )
    load.start()
    before = _cpu_s()
    count: Count = await asyncio.to_thread(ours.recv)
    cpu_s = _cpu_s() - before
    load.join()
    assert count.num_events > args.streams * args.tokens // 2, f"only {count.num_events} events"
    server.should_exit = True
    await serving
    result = {
        "core": args.core,
        "streams": args.streams,
        "events": count.num_events,
        "events_per_s": round(count.num_events / count.wall_s),
        "events_per_server_cpu_s": round(count.num_events / cpu_s),
        "server_cpu_us_per_event": round(cpu_s / count.num_events * 1e6, 2),
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(result))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())

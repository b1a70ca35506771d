"""Whole servers over HTTP: ours and llama.cpp's, asked the same by one small client.

All requests of a job are sent at once, each on a connection of its own, and streamed. Both servers
speak OpenAI's /v1/completions with prompts of token ids and `ignore_eos`; the tokens counted are
those of their own usage.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from .base import Job, Outcome, ServerProcess

SLOT_TOKENS = 1024


class Server:
    """One server process and the client that loads it."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._process = ServerProcess(command)
        self.run(Job([[5, 6, 7, 8]], 2))

    def run(self, job: Job) -> Outcome:
        """From the first byte sent to the last byte read."""
        cpu_s, start_s = self._process.cpu_s(), time.perf_counter()
        usages = asyncio.run(_all(self._process.port, job))
        wall_s = time.perf_counter() - start_s
        return Outcome(
            wall_s,
            self._process.cpu_s() - cpu_s,
            sum(u["prompt_tokens"] for u in usages),
            sum(u["completion_tokens"] for u in usages),
        )

    def close(self) -> None:
        self._process.close()


def our_server(name: str, model: str, dtype: str) -> Server:
    command = [
        sys.executable, "-m", "engine_under_test", "serve", "--model", model, "--dtype", dtype,
        "--max-model-len", str(SLOT_TOKENS), "--exit-with-parent",
    ]  # fmt: skip
    return Server(name, command)


def llama_server(name: str, file: Path, num_slots: int) -> Server:
    command = [
        sys.executable, "-m", "benchmarks.llama_cpp_server", "--model", str(file),
        "--slots", str(num_slots), "--slot-tokens", str(SLOT_TOKENS),
    ]  # fmt: skip
    return Server(name, command)


async def _all(port: int, job: Job) -> list[dict[str, Any]]:
    return await asyncio.gather(*(_one(port, ids, job.num_out) for ids in job.prompts))


async def _one(port: int, ids: list[int], num_out: int) -> dict[str, Any]:
    """The usage of one streamed completion."""
    body = json.dumps(
        {
            "prompt": ids, "max_tokens": num_out, "temperature": 0, "ignore_eos": True,
            "stream": True, "stream_options": {"include_usage": True},
        }
    ).encode()  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    raw = await reader.read(-1)
    writer.close()
    return usage_of(raw)


def usage_of(raw: bytes) -> dict[str, Any]:
    """The last usage of a stream of events. Raises RuntimeError with what came instead."""
    for line in reversed(raw.replace(b"\r\n", b"\n").split(b"\n")):
        if line.startswith(b"data: {"):
            found = json.loads(line[6:]).get("usage")
            if found:
                return dict(found)
    raise RuntimeError(f"an answer without usage: {raw[:300]!r}")

"""LoadProcess: the command line's handle on the processes that drive load.

It spawns `python -m harness.load` once and serves several points with it, so locust is imported
once. This side never imports locust. The children end when our pipe closes, even after `kill -9`.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from harness.errors import InternalError, UsageError
from harness.load.plan import Done, LoadEvent, PointPlan, Pulse


class LoadProcess:
    """A context manager. workers: local worker processes; 1 keeps all in one process."""

    def __init__(self, workers: int = 1, bind: str = "127.0.0.1") -> None:
        if not bind.startswith("127.") and not os.environ.get("HARNESS_TOKEN"):
            raise UsageError(
                f"workers may not connect to {bind} without a shared secret",
                why="anybody who reaches that address could join the load",
                do="export HARNESS_TOKEN=..., the same for all workers",
            )
        self.workers = workers
        self._log = tempfile.TemporaryFile(  # noqa: SIM115 - closed by close()
            mode="w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.load", "master", "--workers", str(workers),
             "--bind", bind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, plan: PointPlan) -> LoadRun:
        """Start one point; iterate the result for a Pulse a second and one Done at the end."""
        self._command({"do": "run", "plan": plan.to_json()})
        return LoadRun(self)

    def stop(self) -> None:
        """No new requests; those in flight may end within the drain."""
        self._command({"do": "stop"})

    def abort(self) -> None:
        """Cut what is in flight; what was measured is kept."""
        self._command({"do": "abort"})

    def close(self) -> None:
        """Close the pipe, give it two seconds, then insist."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _command(self, row: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # a dead process is told by the end of its events
            self._process.stdin.write(json.dumps(row) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._events.put(json.loads(line))
        self._events.put(None)

    def _next_event(self) -> dict[str, Any] | None:
        # a wait without end cannot be interrupted by a signal handler that raises
        while True:
            with suppress(queue.Empty):
                return self._events.get(timeout=1.0)

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._log.seek(0)
        return "\n".join(self._log.read().strip().splitlines()[-8:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


class LoadRun:
    """Events of one point. An object, not a generator: after an exception out of `next`
    (KeyboardInterrupt) it can be iterated further, to see the drain."""

    def __init__(self, process: LoadProcess) -> None:
        self._process, self._is_over = process, False

    def __iter__(self) -> Iterator[LoadEvent]:
        return self

    def __next__(self) -> LoadEvent:
        if self._is_over:
            raise StopIteration
        while (row := self._process._next_event()) is not None:
            name = row.pop("event")
            if name == "pulse":
                return Pulse(**row)
            if name == "done":
                self._is_over = True
                return Done(**row)
        self._is_over = True
        raise InternalError(
            "the load process ended by itself",
            why=self._process._last_words() or "it said nothing",
            do="what was measured is kept: harness report RUN",
        )

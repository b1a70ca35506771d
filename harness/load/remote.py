"""RemoteWorkers: the command line's handle on worker processes that serve another host's run.

It spawns `python -m harness.load worker`, tells what they say, and keeps the folder that the run's
files are put into. This side never imports locust. The children end when our pipe closes.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from harness.errors import HarnessError, MeasurementError, UsageError
from harness.load.addresses import split_address
from harness.load.failure import error_from_json

POLL_S = 0.2


class RemoteWorkers:
    """A context manager. master: HOST:PORT.  join_s: how long the master is looked for.

    Raises UsageError where the address is none, or HARNESS_TOKEN is not set.
    """

    def __init__(self, master: str, count: int, join_s: float | None = None) -> None:
        host, port = split_address(master, needs_port=True)
        if not os.environ.get("HARNESS_TOKEN"):
            raise UsageError(
                "HARNESS_TOKEN is not set", why="it is how the master knows its workers",
                do="export the HARNESS_TOKEN that the run has",
            )  # fmt: skip
        self._folder = tempfile.TemporaryDirectory(prefix="harness-worker-")
        self._events: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[str]] = []
        more = ["--join-s", str(join_s)] if join_s is not None else []
        for index in range(count):
            store = Path(self._folder.name) / str(index)
            store.mkdir(mode=0o700)
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.load", "worker", "--host", host,
                 "--port", str(port), "--store", str(store), *more],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            self._processes.append(process)
            threading.Thread(target=self._read, args=(index, process.stdout), daemon=True).start()

    def serve(self, say: Callable[[str], None]) -> list[HarnessError]:
        """Until every worker has ended: what each was refused for, in the order it happened."""
        errors: list[HarnessError] = []
        told: set[int] = set()
        left = len(self._processes)
        while left:
            try:
                index, row = self._events.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if row is None:
                left -= 1
                code = self._processes[index].wait()
                if code and index not in told:
                    errors.append(MeasurementError(f"load worker {index} ended with {code}"))
            elif row["event"] == "say":
                say(f"load worker {index}: {row['text']}")
            else:
                told.add(index)
                errors.append(error_from_json(row["error"]))
                say(f"load worker {index}: {errors[-1].what}")
        return errors

    def close(self) -> None:
        """Close the pipes, give them two seconds, then insist; the files go."""
        for process in self._processes:
            with suppress(OSError):
                if process.stdin:
                    process.stdin.close()
        for process in self._processes:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def _read(self, index: int, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                with suppress(ValueError):  # locust prints a line of its own for a name it misses
                    self._events.put((index, json.loads(line)))
        self._events.put((index, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

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
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from harness.errors import InternalError, UsageError
from harness.load.addresses import is_loopback, split_address
from harness.load.failure import error_from_json
from harness.load.plan import Done, LoadEvent, PointPlan, Pulse

LOOPBACK = "127.0.0.1"


class LoadProcess:
    """A context manager. workers: local worker processes; 1 keeps all in one process.

    remote_workers: processes of other hosts that take part beside them.  bind: ADDR[:PORT] they
    reach us at; a free port by default.  say: tells the user who joins and who is refused.
    join_s: how long remote workers are waited for.
    """

    def __init__(
        self, workers: int = 1, bind: str = LOOPBACK, *, remote_workers: int = 0,
        say: Callable[[str], None] = lambda text: None, join_s: float | None = None,
    ) -> None:  # fmt: skip
        host, port = check_bind(bind, remote_workers)
        self.workers = workers + remote_workers
        self._say = say
        more = ["--join-s", str(join_s)] if join_s is not None else []
        self._log = tempfile.TemporaryFile(  # noqa: SIM115 - closed by close()
            mode="w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.load", "master", "--workers", str(workers),
             "--remote-workers", str(remote_workers), "--bind", host, "--port", str(port), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def gather(self) -> bool:
        """Wait until every worker is there; False where the user stopped it before.

        Raises HarnessError where they do not come, or are refused. `run` gathers by itself too.
        """
        while (row := self.next_event()) is not None:
            if row["event"] in ("up", "done"):
                return bool(row["event"] == "up")
        raise self.died()

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

    def next_event(self) -> dict[str, Any] | None:
        """What the load process says next, None once it has ended; lines for the user are told on
        the way. Raises the HarnessError it reports."""
        # a wait without end cannot be interrupted by a signal handler that raises
        while True:
            with suppress(queue.Empty):
                row = self._events.get(timeout=1.0)
                if row is not None and row["event"] == "say":
                    self._say(row["text"])
                elif row is not None and row["event"] == "failed":
                    raise error_from_json(row["error"])
                else:
                    return row

    def died(self) -> InternalError:
        """What to raise when its events ended without a word."""
        return InternalError(
            "the load process ended by itself",
            why=self._last_words() or "it said nothing",
            do="what was measured is kept: harness report RUN",
        )

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


def check_bind(bind: str, remote_workers: int = 0) -> tuple[str, int]:
    """Host and port to listen on. Raises UsageError where it is no address, or where strangers
    could join: other hosts are let in with a shared secret only."""
    host, port = split_address(bind)
    if not os.environ.get("HARNESS_TOKEN") and (remote_workers or not is_loopback(host)):
        raise UsageError(
            f"workers may not connect to {bind} without a shared secret",
            why="anybody who reaches that address could join the load",
            do="export HARNESS_TOKEN=..., the same for all workers",
        )
    return host, port


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
        while (row := self._process.next_event()) is not None:
            name = row.pop("event")
            if name == "pulse":
                return Pulse(**row)
            if name == "done":
                self._is_over = True
                return Done(**row)
        self._is_over = True
        raise self._process.died()

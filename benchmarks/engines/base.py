"""What one engine is asked to do, what it cost, and the process it runs in.

Every engine runs in a process of its own with one thread for its arithmetic. Processes live for
the whole benchmark and take turns; one that waits costs nothing but memory.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import psutil

from benchmarks.paths import ROOT, environment

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, slots=True)
class Job:
    """All prompts arrive at once; each is answered with exactly num_out tokens, greedily."""

    prompts: list[list[int]]
    num_out: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """cpu_s: user and system time of the engine's process. num_out: tokens it says it made."""

    wall_s: float
    cpu_s: float
    num_in: int
    num_out: int


class Engine(Protocol):
    """Something that runs jobs. name is the table's, kind tells what it is compared with."""

    name: str

    def run(self, job: Job) -> Outcome: ...

    def close(self) -> None: ...


def job(workload: str, num_prompts: int, sizes: tuple[int, int], vocab: int, seed: int) -> Job:
    """Random ids: no two prompts share a beginning, so no cache of anybody's helps."""
    rng = random.Random(f"{workload} {num_prompts} {seed}")
    num_in, num_out = sizes
    ids = [[rng.randrange(3, vocab) for _ in range(num_in)] for _ in range(num_prompts)]
    return Job(ids, num_out)


class Worker:
    """An engine as a library, in a child that reads jobs and writes outcomes as lines of JSON."""

    def __init__(self, name: str, args: Sequence[str]) -> None:
        self.name = name
        self._child = _spawn([sys.executable, "-m", "benchmarks.engines.worker", *args])
        self._answer()

    def run(self, job: Job) -> Outcome:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asdict(job)) + "\n")
        self._child.stdin.flush()
        return Outcome(**self._answer())

    def close(self) -> None:
        _close(self._child)

    def _answer(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; its last words are above")
        return json.loads(line)


class ServerProcess:
    """A server that prints `ready URL` and ends when its standard input closes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._child = _spawn(command)
        assert self._child.stdout is not None
        word, _, url = self._child.stdout.readline().strip().partition(" ")
        if word != "ready":
            raise RuntimeError(f"{' '.join(command)} did not get ready")
        self.port = int(url.removesuffix("/v1").rpartition(":")[2])
        self._process = psutil.Process(self._child.pid)

    def cpu_s(self) -> float:
        """So far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        _close(self._child)


def _spawn(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment(**ONE_THREAD),
    )  # fmt: skip


def _close(child: subprocess.Popen[str]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()

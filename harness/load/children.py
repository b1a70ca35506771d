"""Worker processes of a local master, one a core; they end when their stdin closes."""

from __future__ import annotations

import os
import subprocess
import sys


class WorkerChildren:
    """Spawned at once. The last core is left to the master where there is more than one."""

    def __init__(self, count: int, host: str, port: int) -> None:
        self._command = [
            sys.executable, "-m", "harness.load", "worker", "--host", host, "--port", str(port),
        ]  # fmt: skip
        self._count = count
        self._processes = [self._start(k) for k in range(count)]
        self._ended: dict[int, int] = {}

    def dead(self) -> dict[int, int]:
        """Exit codes by pid of all that are gone, those replaced since too."""
        for process in self._processes:
            if process.poll() is not None:
                self._ended[process.pid] = process.returncode
        return self._ended

    def replace_dead(self) -> None:
        """Start a worker for each that is gone: the next point has all of them again."""
        self.dead()
        for place, process in enumerate(self._processes):
            if process.poll() is not None:
                self._processes[place] = self._start(place)

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        """Pinned to a core of its own where there are cores enough."""
        child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            if len(cores) > self._count:
                os.sched_setaffinity(child.pid, {cores[place]})
        return child

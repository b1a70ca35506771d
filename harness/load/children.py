"""Worker processes of a local master, one a core; they end when their stdin closes."""

from __future__ import annotations

import os
import subprocess
import sys


class WorkerChildren:
    """Spawned at once. The last core is left to the master where there is more than one."""

    def __init__(self, count: int, host: str, port: int) -> None:
        command = [sys.executable, "-m", "harness.load", "worker", "--host", host]
        self._processes = [
            subprocess.Popen(
                [*command, "--port", str(port)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            )
            for _ in range(count)
        ]  # fmt: skip
        self._pin()

    def lost(self) -> list[str]:
        """Names of the workers that are gone."""
        return [
            f"load worker {k} (exit {p.returncode})"
            for k, p in enumerate(self._processes)
            if p.poll() is not None
        ]

    def _pin(self) -> None:
        """One worker a core, as far as cores go."""
        if not hasattr(os, "sched_setaffinity"):
            return
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) <= len(self._processes):
            return
        for core, process in zip(cores, self._processes, strict=False):
            os.sched_setaffinity(process.pid, {core})

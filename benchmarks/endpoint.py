"""The scripted endpoint as a process of its own: the server whose timings a benchmark knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self


class Endpoint:
    """Runs while its block does. script: see harness.testing. cpu: the one to run on, None: any.

    url: its base URL, up to and including /v1.
    """

    def __init__(self, script: dict[str, Any], cpu: int | None = None) -> None:
        command = ["-m", "harness.testing", "--script", json.dumps(script), "--exit-with-parent"]
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})
        self.url = ""

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._process.terminate()
        self._process.communicate()

    def log(self) -> list[dict[str, Any]]:
        """Its own record of every generation request, oldest first; see harness.testing.record."""
        base = self.url.removesuffix("/v1")
        with urllib.request.urlopen(f"{base}/script/log", timeout=120) as reply:
            rows: list[dict[str, Any]] = json.loads(reply.read())
        return rows

"""One `harness run` against the scripted endpoint, watched from outside: memory and CPU by process.

For the benchmarks that ask what the client itself costs. Figures are /proc's, once half a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.testing import ScriptedServer

ROOT = Path(__file__).parents[1]
SCRIPT = {"timing": {"ttft": "5ms", "gap": "2ms"}, "log_requests": 0}
LOOK_S = 0.5


@dataclass
class Seen:
    """One process: its kind, and what was seen of it over time. anon_mib: of its resident memory
    what is not a file's; 0 where the system does not tell them apart."""

    kind: str
    rss_mib: list[float] = field(default_factory=list)
    anon_mib: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Watched:
    """code: of the run.  wall_s: all of it.  seen: by pid.  folder: the run directory."""

    code: int
    wall_s: float
    seen: dict[int, Seen]
    folder: Path


def watch_run(folder: Path, load: dict[str, Any], progress: str) -> Watched:
    """Run it in `folder` with its stderr on a terminal of 100 columns."""
    with ScriptedServer(SCRIPT) as server:
        path = folder / "bench.yaml"
        path.write_text(json.dumps(_scenario(server.base_url, load)), encoding="utf-8")
        ours, theirs = os.openpty()
        begin_s = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-c", "from harness.cli import main; main()", "run", str(path),
             "--json", "--no-report", "--progress", progress, "--workers", "1", "-o", str(folder)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(theirs)
        os.set_blocking(ours, False)
        seen: dict[int, Seen] = {}
        while child.poll() is None:
            _look(child.pid, seen)
            with suppress(OSError):
                while os.read(ours, 65536):
                    pass
            time.sleep(LOOK_S)
        os.close(ours)
    return Watched(
        child.returncode, time.monotonic() - begin_s, seen, (folder / "latest").resolve()
    )


def _scenario(url: str, load: dict[str, Any]) -> dict[str, Any]:
    workload = {
        "kind": "chat",
        "input_tokens": {"kind": "fixed", "value": 20},
        "output_tokens": {"kind": "fixed", "value": 8},
    }
    return {
        "schema": "harness/v1", "name": "bench", "load": load,
        "targets": {"it": {"kind": "openai", "url": url, "model": "scripted"}},
        "traffic": [{"name": "chat", "workload": workload}],
        "validity": {"max_send_lag": {"p99": "60s"}, "max_client_cpu": "100%"},
    }  # fmt: skip


def _look(pid: int, seen: dict[int, Seen]) -> None:
    with suppress(psutil.Error):
        command = psutil.Process(pid)
        for process in (command, *command.children(recursive=True)):
            with suppress(psutil.Error):
                words = process.cmdline()
                is_load = "harness.load" in words
                kind = words[words.index("harness.load") + 1] if is_load else "command"
                one = seen.setdefault(process.pid, Seen(kind))
                memory = process.memory_info()
                one.rss_mib.append(memory.rss / 2**20)
                shared = getattr(memory, "shared", None)
                one.anon_mib.append((memory.rss - shared) / 2**20 if shared is not None else 0.0)
                times = process.cpu_times()
                one.cpu_s = times.user + times.system

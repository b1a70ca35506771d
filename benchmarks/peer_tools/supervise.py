"""python -m benchmarks.peer_tools.supervise LIMIT_S RESULT OUTPUT COMMAND...

Runs a command in a session of its own and writes what the whole tree of its processes cost, as
JSON: {rc, timed_out, wall_s, cpu_s}. Orphans are handed to this process by Linux (it is their
subreaper), so none is left out of the CPU time and none outlives it: the group, then every
descendant, is killed. It ends with its own parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_S = 5.0


def main() -> None:
    limit_s, result, output, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Path(output).open("wb") as sink:
        row = supervise(command, float(limit_s), sink)
    Path(result).write_text(json.dumps(row) + "\n", encoding="utf-8")


def supervise(command: list[str], limit_s: float, sink: Any) -> dict[str, Any]:
    """Run it to its end or limit_s. cpu_s: user + system of all its processes."""
    start_s = time.monotonic()
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    timed_out = False
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        wall_s = time.monotonic() - start_s
        _end(child.pid)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rc": child.returncode, "timed_out": timed_out, "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }  # fmt: skip


def _end(group: int) -> None:
    """End what is left of the group, then of the tree, and collect everyone's CPU time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = psutil.Process().children(recursive=True)
        if not left:
            break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        for process in left:  # those that left the group
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(left, timeout=GRACE_S)
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()

"""`harness run` as the peers run: no warm-up, all streams started at once and in step.

Not our default. It shows how much of a difference to the others is the gentler start alone.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.peer_tools.base import Job
from benchmarks.peer_tools.ours import environment, read, run_command

__all__ = ["RELEASE", "TITLE", "command", "environment", "read"]

TITLE = "harness, cold"
RELEASE = None


def command(job: Job, venv: Path) -> list[str]:
    return run_command(job, ", warmup: 0s, ramp: 0s")

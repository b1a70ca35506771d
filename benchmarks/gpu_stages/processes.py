"""A stage in a process of its own: it ends in time, with all it started, and says why it failed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.gpu_stages.base import Context
from benchmarks.paths import ROOT, environment

LOOK_EVERY_S = 3.0
LAST_LINES = 25
FREE_RATIO = 0.85  # of the card's memory, before a stage begins
FREE_WAIT_S = 20.0


class Limits(NamedTuple):
    """left_s: what the stage was told.  grace_s: how much later it is ended."""

    left_s: float
    grace_s: float


def run_child(command: Sequence[str], log: Path, limits: Limits, look: Callable[[], object]) -> str:
    """Run a stage; why it did not end by itself, or empty. look is called every few seconds.

    What it writes to stderr goes to log, whose end is shown where it fails.
    """
    end_s = time.monotonic() + limits.left_s + limits.grace_s
    with log.open("ab") as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=errors, env=environment(), cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
    code: int | None = None
    try:
        while code is None and time.monotonic() < end_s:
            try:
                code = child.wait(min(LOOK_EVERY_S, max(0.0, end_s - time.monotonic())))
            except subprocess.TimeoutExpired:
                look()
    finally:
        _end(child)
    if code is None:
        return f"it was ended after {limits.left_s:.0f} s; its points up to then are kept"
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-LAST_LINES:]), flush=True)
        return f"exit code {code}: {lines[-1][:300] if lines else 'it said nothing'}"
    return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """The stage and whatever it left running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def end_with_parent() -> None:
    """From now on this process, and its group, ends when the pipe at its stdin closes."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    if os.getpgrp() == os.getpid():  # a stage, not somebody's terminal
        threading.Thread(target=wait, name="parent-pipe", daemon=True).start()


def wait_for_memory(ctx: Context) -> None:
    """The stage before may have been ended a moment ago: its memory comes back a little later."""
    if ctx.device.type == "cpu":
        return
    end_s = time.monotonic() + FREE_WAIT_S
    while time.monotonic() < end_s:
        num_free, num_total = torch.cuda.mem_get_info()
        if num_free > FREE_RATIO * num_total:
            return
        time.sleep(0.5)
    print(f"{ctx.stage}: only {num_free / 2**30:.0f} GiB of the card's memory are free", flush=True)

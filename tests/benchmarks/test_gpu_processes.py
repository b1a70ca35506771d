"""The GPU benchmark's stages as processes: they end in time, with all they started, and say why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.gpu_stages import report
from benchmarks.gpu_stages.base import is_final, read_points
from benchmarks.gpu_stages.processes import Limits, run_child
from benchmarks.paths import ROOT

LONG_S = 120.0
# A stage that starts a process of its own and never ends.
HANGS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(999)'])
print(child.pid, flush=True, file=open({file!r}, 'w'))
time.sleep(999)
"""


def until(is_so: Callable[[], bool]) -> None:
    """Waits for a condition, not for a time; gives up long after any machine would have it."""
    end_s = time.monotonic() + LONG_S
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_stage_that_ends_by_itself_is_no_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_child([sys.executable, "-c", "pass"], log, Limits(LONG_S, 1), lambda: None) == ""


def test_a_stage_that_fails_says_its_last_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "raise RuntimeError('no kernel image')"
    why = run_child([sys.executable, "-c", code], tmp_path / "log", Limits(LONG_S, 1), lambda: None)
    assert why == "exit code 1: RuntimeError: no kernel image"
    assert "Traceback" in capfd.readouterr().out
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    why = run_child(
        [sys.executable, "-c", killed], tmp_path / "none", Limits(LONG_S, 1), lambda: None
    )
    assert why == "exit code -11: it said nothing"


def test_a_stage_beyond_its_time_ends_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.gpu_stages.processes.LOOK_EVERY_S", 0.05)
    file, looks = tmp_path / "pid", []
    limits = Limits(1.0, 0.5)
    why = run_child(
        [sys.executable, "-c", HANGS.format(file=str(file))], tmp_path / "log", limits,
        lambda: looks.append(1),
    )  # fmt: skip
    assert why == "it was ended after 1 s; its points up to then are kept"
    assert looks
    if file.exists() and file.read_text():  # on a machine too busy there was nothing to start
        until(lambda: is_gone(int(file.read_text())))


def test_stages_end_when_the_benchmark_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    stage = (
        "from benchmarks.gpu_stages.processes import end_with_parent; end_with_parent()\n"
        + HANGS.format(file=str(file))
    )
    parent = (
        "import sys; from pathlib import Path\n"
        "from benchmarks.gpu_stages.processes import Limits, run_child\n"
        f"run_child([sys.executable, '-c', {stage!r}], Path({str(tmp_path / 'log')!r}),"
        " Limits(600, 1), lambda: None)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT) as process:
        until(lambda: file.exists() and file.read_text().strip().isdigit())
        grandchild = int(file.read_text())
        of_stage = psutil.Process(grandchild).ppid()
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: is_gone(grandchild) and is_gone(of_stage))


def test_what_was_left_out_or_wrong_is_measured_again(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    lines = [
        {"key": "a", "ok": False, "error": 2.0},
        {"key": "b", "value": 1.0},
        {"key": "c", "skipped": "transformers is not installed"},
        {"key": "a", "ok": True, "error": 0.5},
        {"key": "d", "failed": "RuntimeError"},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + '\n{"key": "cut')
    points = {p["key"]: p for p in read_points(file)}
    assert [*points] == ["a", "b", "c", "d"]
    assert points["a"]["ok"]
    assert [p["key"] for p in points.values() if is_final(p)] == ["a", "b"]


def test_results_alone_are_enough_to_go_on_and_only_on_the_same_card(tmp_path: Path) -> None:
    about = {"gpu": "NVIDIA H200", "torch": "2.11", "triton": "3.6"}
    head = {"command": "x", "is_rehearsal": False, "about": about}
    (tmp_path / "ceilings.jsonl").write_text('{"key": "copy_bytes_per_s", "value": 4.3e12}\n')
    as_json, _ = report.write(tmp_path, head)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "results.json").write_bytes(as_json.read_bytes())
    assert report.restore(elsewhere, head) == ""
    assert read_points(elsewhere / "ceilings.jsonl") == read_points(tmp_path / "ceilings.jsonl")
    other = {**head, "about": {**about, "gpu": "NVIDIA H100"}}
    assert report.restore(elsewhere, other) == "gpu NVIDIA H200, not NVIDIA H100"
    assert report.restore(elsewhere, {**head, "is_rehearsal": True}) == "a GPU, not of a rehearsal"

"""The real command line, and endpoints to aim it at.

`cli(...)` is a process: for what is a process's own (signals, streams, how it ends), and for each
verb once. `cli.here(...)` is the same verb within this process, which has imported statistics and
pictures already: for what a verb decides, says and writes.

Windows are short and the client's validity limits wide: what is tested is what the harness does,
not how fast this machine is.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness.cli import _app

ROOT = Path(__file__).parents[2]
CODE = "from harness.cli import main; main()"
BOUND_S = 100.0


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def has_no_traceback(self) -> bool:
        return "Traceback" not in self.err + self.out and "internal error" not in self.err


def environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without settings of the harness; with the checkout on the path."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("HARNESS_")}
    return known | {"PYTHONPATH": str(ROOT)} | dict(own or {})


def run_here(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> Result:
    """A verb within this process, as if it had been typed in the folder."""
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(folder), mock.patch.dict(os.environ, environment(env), clear=True),
        redirect_stdout(out), redirect_stderr(err),
    ):  # fmt: skip
        code = int(_app._run(list(args)))
    return Result(code, out.getvalue(), err.getvalue())


class Started:
    """A harness that runs in the background."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self) -> Result:
        out, err = self.process.communicate(timeout=BOUND_S)
        return Result(self.process.returncode, out, err)


class Cli:
    """Runs verbs in a folder of its own; everything started ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *args: str, env: Mapping[str, str] | None = None, **kwargs: Any) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, *args], cwd=self.folder, env=environment(env), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs,
        )  # fmt: skip
        self._started.append(process)
        return Started(process)

    def __call__(self, *args: str, env: Mapping[str, str] | None = None, **kwargs: Any) -> Result:
        return self.start(*args, env=env, **kwargs).finish()

    def here(self, *args: str, env: Mapping[str, str] | None = None) -> Result:
        return run_here(self.folder, *args, env=env)

    def scenario(self, name: str = "short", **changes: Any) -> str:
        """The path of a scenario file; changes replace top-level blocks or, merged, parts."""
        document: dict[str, Any] = {
            "schema": "harness/v1",
            "name": name,
            "targets": {"t": {"kind": "scripted", "script": {"timing": {"ttft": "20ms"}}}},
            "traffic": [
                {
                    "name": "chat",
                    "workload": {
                        "kind": "chat",
                        "input_tokens": {"kind": "fixed", "value": 20},
                        "output_tokens": {"kind": "fixed", "value": 4},
                    },
                }
            ],
            "load": {
                "kind": "closed", "concurrency": 2, "duration": "2s", "warmup": "1s",
                "cooldown": "2s", "drain": "60s",  # over as soon as nothing is in flight
            },
            "validity": {
                "max_send_lag": {"p99": "60s"}, "max_receive_lag": {"p99": "60s"},
                "max_client_cpu": "100%",
            },
        }  # fmt: skip
        for key, value in changes.items():
            is_part = key == "load" and "kind" not in value
            document[key] = document[key] | value if is_part else value
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")  # JSON is YAML 1.2
        return path.name

    @property
    def latest(self) -> Path:
        return (self.runs / "latest").resolve()

    def manifest(self) -> dict[str, Any]:
        return dict(json.loads((self.latest / "manifest.json").read_text("utf-8")))

    def wait_for_window(self, point: int = 0) -> Path:
        """Until the point's measured window has begun and rows are on disk; its folder."""

        def has_begun() -> Path | None:
            for path in self.runs.glob(f"*/points/{point:03d}-*/stages.json"):
                t0_ns = json.loads(path.read_text("utf-8"))[0]["t0_ns"]
                frames = path.parent / "spool" / "requests.frames"
                has_rows = frames.exists() and frames.stat().st_size
                if has_rows and time.monotonic_ns() > t0_ns:
                    return path.parent
            return None

        return wait_until(has_begun)

    def wait_for_stages(self, point: int = 0) -> Path:
        """Until the load of the point has begun; its folder."""
        pattern = f"*/points/{point:03d}-*/stages.json"
        return wait_until(lambda: next(self.runs.glob(pattern), None))

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    found = Cli(tmp_path)
    yield found
    found.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., tuple[str, subprocess.Popen[str]]]]:
    """Start the scripted endpoint by itself: its base URL and its process."""
    processes: list[subprocess.Popen[str]] = []

    def start(
        script: Mapping[str, Any] | None = None, port: int = 0
    ) -> tuple[str, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.testing", "--port", str(port),
             "--script", json.dumps(script or {})],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().split()[1], process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until(probe: Callable[[], Any]) -> Any:
    """The first true answer of `probe`; fails when none comes within the bound."""
    deadline_s = time.monotonic() + BOUND_S
    while time.monotonic() < deadline_s:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def descendants() -> Callable[[int], set[int]]:
    return _descendants


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    return _is_running


def _descendants(pid: int) -> set[int]:
    """Every process below pid, by /proc."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            fields = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
    found: set[int] = set()
    while more := {p for p, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def _is_running(pid: int) -> bool:
    """False for a process that is gone, or that only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")

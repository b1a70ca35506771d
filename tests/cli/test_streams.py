"""Output that cannot be written harms nothing else: no false verdict, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FULL = Path("/dev/full")
CODE = "from harness.cli import main; main()"
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def leave(
    cli: Any, *args: str, stdout: Any = subprocess.PIPE, stderr: Any = subprocess.PIPE
) -> Any:
    return subprocess.run(
        [sys.executable, "-c", CODE, *args], cwd=cli.folder, text=True, stdout=stdout,
        stderr=stderr, timeout=100, env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


@pytest.mark.parametrize("args", [("schema",), ("--help",), ("validate", "smoke", "--json")])
def test_a_full_stdout_is_said_and_is_bad_usage(cli: Any, args: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = leave(cli, *args, stdout=full)
    assert done.returncode == 2
    assert "error: stdout cannot be written" in done.stderr
    assert "bug" not in done.stderr


def test_a_full_stderr_changes_no_exit_code(cli: Any) -> None:
    with FULL.open("w") as full:
        assert leave(cli, "validate", "nope", stderr=full).returncode == 2
        assert leave(cli, "rnu", stderr=full).returncode == 2
        done = leave(cli, "validate", "smoke", stderr=full)  # it has something to say there
    assert (done.returncode, done.stdout) == (0, "smoke: valid, 1 point\n")


def test_a_run_goes_on_though_nobody_can_be_told(cli: Any) -> None:
    path = cli.scenario(load={"duration": "300ms", "warmup": "100ms"})
    with FULL.open("w") as full:
        done = leave(cli, "run", path, "--progress", "plain", "--json", stderr=full)
    assert done.returncode in (0, 3, 4)
    assert '"run_dir"' in done.stdout

"""`harness worker` and `run --remote-workers`: two commands that meet, and part in order."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

TOKEN = {"HARNESS_TOKEN": "a secret of these tests"}
OPEN = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "20/s", "duration": "2s",
    "warmup": "1s", "cooldown": "2s", "drain": "30s",
}  # fmt: skip


@pytest.fixture
def address() -> str:
    """A free port of this machine's second loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        return f"127.0.0.2:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (("worker", "--master", "127.0.0.1:5"), {}, "HARNESS_TOKEN is not set"),
        (("worker", "--master", "127.0.0.1"), TOKEN, "expected HOST:PORT"),
        (("worker",), TOKEN, "--master"),
        (("run", "quickstart", "--remote-workers", "1"), {}, "without a shared secret"),
        (("run", "quickstart", "--bind", "0.0.0.0"), {}, "without a shared secret"),
        (("run", "quickstart", "--bind", "a:b"), TOKEN, "is no address"),
    ],
)
def test_what_cannot_work_is_told_before_anything_starts(
    cli: Any, args: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    done = cli.here(*args, env=env)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.has_no_traceback()
    assert not cli.runs.exists()


@pytest.mark.slow
def test_a_host_lost_mid_run_ends_in_4_and_resume_repeats_the_point(
    cli: Any, address: str, tmp_path: Path, descendants: Callable[[int], set[int]]
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    env = TOKEN | {"TMPDIR": str(files)}
    path = cli.scenario(load=OPEN | {"duration": "60s"})
    remote = ("--remote-workers", "1", "--bind", address)
    run = cli.start("run", path, "--no-report", *remote, env=TOKEN)
    worker = cli.start("worker", "--master", address, "--workers", "1", env=env)
    cli.wait_for_window()
    assert any(files.glob("harness-worker-*/0/scenario-*"))
    for pid in descendants(worker.process.pid):
        os.kill(pid, signal.SIGKILL)
    lost, gone = run.finish(), worker.finish()
    assert lost.code == 4, lost.err
    assert f"harness worker --master {address} --workers 1" in lost.err
    assert "lost load worker 0 on" in lost.err
    assert "PARTIAL: no verdict." in lost.out
    assert gone.code == 4
    assert "ended with -9" in gone.err
    assert list(files.iterdir()) == []  # the files of the run went with it
    kept = pq.read_table(next(cli.latest.glob("points/*/requests.parquet"))).num_rows
    assert kept > 0

    shorter = cli.latest / "scenario.resolved.yaml"
    shorter.write_text(shorter.read_text("utf-8").replace("duration: 60s", "duration: 2s"))
    run = cli.start("run", "--resume", "latest", "--no-report", *remote, env=TOKEN)
    worker = cli.start("worker", "--master", address, "--workers", "1", env=env)
    done, over = run.finish(), worker.finish()
    assert done.code == 0, done.err
    assert over.code == 0, over.err
    assert "load worker 0: joined" in over.err
    assert "load worker 0: the run is over" in over.err
    assert done.has_no_traceback()
    assert over.has_no_traceback()
    assert cli.manifest()["status"] == "complete"
    assert list(files.iterdir()) == []

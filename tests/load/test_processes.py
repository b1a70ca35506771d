"""Several workers offer the same load; nothing outlives its parent; what was measured survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import InternalError
from harness.load import LoadProcess, Pulse
from harness.records import read_spool
from harness.testing import ScriptedServer

from .conftest import Point, drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e


def wait_until(is_true: Any, timeout_s: float = 90.0) -> None:
    """Poll a condition of another process; fails when it never comes true."""
    deadline_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.05)


def sent_by(num_workers: int, folder: Path, load: dict[str, Any]) -> Point:
    with ScriptedServer({"timing": {"ttft": "5ms", "gap": "1ms"}}) as server:
        scenario = scenario_of(server.base_url, load)
        with LoadProcess(workers=num_workers) as process:
            return drive(process, make_plan(folder, scenario, workers=num_workers))


@pytest.mark.slow
def test_one_two_and_four_workers_send_the_same(tmp_path: Path) -> None:
    seen = []
    for num_workers in (1, 2, 4):
        point = sent_by(num_workers, tmp_path / f"w{num_workers}", open_load(40, 60, cooldown="0s"))
        assert point.done.status == "complete"
        start_ns = point.stages[0]["start_ns"]
        measured = [row for row in point.rows if row["phase"] == "measured"]
        assert {row["worker"] for row in measured} == set(range(num_workers))
        assert all(row["ordinal"] % num_workers == row["worker"] for row in measured)
        assert {row["error_class"] for row in measured} == {""}
        seen.append(
            [
                (r["ordinal"], r["intended_ns"] - start_ns, r["n_in"], r["asked_out"])
                for r in measured
            ]
        )
        assert {row["worker"] for row in point.clients} == set(range(num_workers))
    assert seen[0] == seen[1] == seen[2]


def test_bodies_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    """The digest of ordinal -> body, in a child of its own: building bodies needs no locust."""
    scenario = scenario_of("http://127.0.0.1:1/v1", open_load(40, 60))
    plan = make_plan(tmp_path, scenario)
    code = """
import hashlib, json, sys
from harness.load.plan import PointPlan
from harness.load.setup import prepare
from harness.load.polls import Polls
plan = PointPlan.from_json(json.loads(sys.argv[1]))
for count in (1, 2, 4):
    found = {}
    for worker in range(count):
        shard = prepare(plan, worker, count, Polls(), lambda: None)
        for row in range(worker, len(shard.schedule.stages[0]), count):
            body = shard.bodies.body(0, row, "salt")
            found[row] = hashlib.sha256(body).hexdigest()
    print(len(found), hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest())
"""
    out = subprocess.run(
        [sys.executable, "-c", code, json.dumps(plan.to_json())],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert len(out) == 3
    assert len(set(out)) == 1


@contextmanager
def endless(folder: Path, num_workers: int) -> Iterator[tuple[LoadProcess, Path]]:
    """A load in full swing."""
    with ScriptedServer({"timing": {"ttft": "5ms", "gap": "1ms"}}) as server:
        plan = make_plan(folder, scenario_of(server.base_url, open_load(50, 20_000)))
        with LoadProcess(workers=num_workers) as process:
            for event in process.run(plan):
                if isinstance(event, Pulse) and event.sent > 50:
                    break
            yield process, Path(plan.point_dir)


def family(pid: int) -> list[psutil.Process]:
    me = psutil.Process(pid)
    return [me, *me.children(recursive=True)]


@pytest.mark.slow
def test_kill_nine_keeps_the_rows_that_were_spooled(tmp_path: Path) -> None:
    with endless(tmp_path, 1) as (process, folder):
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(InternalError, match="ended by itself"):
            list(process.run(make_plan(tmp_path / "next", scenario_of("http://x/v1", {
                "kind": "closed", "concurrency": 1, "requests": 1}))))  # fmt: skip
    spool = read_spool(folder)
    assert spool.requests.num_rows > 20
    assert json.loads((folder / "stages.json").read_text())[0]["load_end_ns"] is None


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_children_end_with_the_pipe(tmp_path: Path, num_workers: int) -> None:
    with endless(tmp_path, num_workers) as (process, _):
        members = family(process.pid)
        assert len(members) >= num_workers
        process.close()
        wait_until(lambda: not any(_is_running(member) for member in members))


@pytest.mark.slow
def test_children_end_when_their_grandparent_is_killed(tmp_path: Path) -> None:
    code = """
import time
from harness.load import LoadProcess
process = LoadProcess(workers=2)
print(process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: len(family(pid)) == 3)
    members = family(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(_is_running(member) for member in members))


@pytest.mark.slow
def test_a_lost_worker_makes_the_point_partial(tmp_path: Path) -> None:
    with ScriptedServer({"timing": {"ttft": "5ms", "gap": "1ms"}}) as server:
        plan = make_plan(tmp_path, scenario_of(server.base_url, open_load(50, 20_000)))
        with LoadProcess(workers=2) as process:
            done = None
            for event in process.run(plan):
                if isinstance(event, Pulse) and event.sent > 50 and event.workers == 2:
                    family(process.pid)[1].kill()
                done = event
    assert done is not None
    assert done.status == "partial"  # type: ignore[union-attr]
    assert "lost load worker" in done.reason  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_full_disk_ends_the_load_and_says_so(tmp_path: Path) -> None:
    with ScriptedServer({"timing": {"ttft": "5ms", "gap": "1ms"}}) as server:
        plan = make_plan(tmp_path / "p", scenario_of(server.base_url, open_load(50, 20_000)))
        spool = tmp_path / "p" / "spool"
        spool.mkdir()
        (spool / "requests.frames").symlink_to("/dev/full")
        with LoadProcess() as process:
            *_, done = process.run(plan)
    assert done.status == "partial"  # type: ignore[union-attr]
    assert "disk is full" in done.reason  # type: ignore[union-attr]


def _is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

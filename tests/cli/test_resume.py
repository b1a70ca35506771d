"""`kill -9` in mid-run: nothing outlives the harness, and the run can be read and resumed."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records import read_spool

SWEEP = {"kind": "list", "over": {"load.concurrency": [1, 2]}}


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_process_and_resumes_with_the_missing_point(
    cli: Any, until: Any, descendants: Callable[[int], set[int]], is_running: Callable[[int], bool]
) -> None:
    path = cli.scenario(slo={"error_rate": {"max": "50%"}}, sweep=SWEEP)
    run = cli.start("run", path)
    cli.wait_for_window(point=1)
    below = descendants(run.process.pid)
    assert len(below) >= 2  # the load process and the endpoint
    run.process.kill()
    until(lambda: not any(map(is_running, below)))
    killed = cli.latest
    assert cli.manifest()["status"] == "running"

    report = cli.here("report", "latest")
    assert report.code == 4, report.err
    assert "PARTIAL: no verdict." in report.out
    assert "1 of 2 points complete" in report.out
    assert "PASS" not in report.out
    assert report.has_no_traceback()
    assert (killed / "report.html").exists()

    first = next(killed.glob("points/000-*/requests.parquet"))
    before = first.read_bytes()
    done = cli("run", "--resume", "latest")
    assert done.has_no_traceback()
    assert done.code in (0, 3, 4), done.err  # 4: this machine was too busy to be a client
    assert "PARTIAL" not in done.out
    assert cli.latest == killed  # the same run, continued
    assert first.read_bytes() == before
    assert next(killed.glob("points/001-*/requests.parquet")).exists()

    manifest = cli.manifest()
    assert manifest["status"] == "complete"
    found = {
        str(p.relative_to(killed)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in killed.rglob("*")
        if p.is_file() and p.name != "manifest.json"
    }
    assert {name: row["sha256"] for name, row in manifest["files"].items()} == found
    second = json.loads(next(killed.glob("points/001-*/point.json")).read_text("utf-8"))
    assert second["attempt"] == 1  # another salt than the attempt that was killed

    again = cli.here("run", "--resume", "latest", "-q", "--no-report")  # nothing is sent again
    assert again.code == done.code
    assert first.read_bytes() == before


@pytest.mark.slow
def test_an_outage_that_a_killed_client_saw_still_counts(
    cli: Any, scripted: Callable[..., Any], until: Any
) -> None:
    """The target fails for two seconds of the first client's time and is well when the next one
    comes: what the first saw stands beside the whole part that replaced it."""
    url, _ = scripted({"faults": [{"first": 30, "last": 49, "then": {"http": {"status": 500}}}]})
    path = cli.scenario(
        targets={"t": {"kind": "openai", "url": url, "model": "scripted"}},
        load={"kind": "probe", "every": "100ms", "duration": "8s", "warmup": "500ms",
              "cooldown": "500ms", "drain": "30s"},
        slo={"uptime": {"window": "500ms", "good": "80%", "objective": "90%"}},
    )  # fmt: skip
    run = cli.start("run", path, "--no-report", "--workers", "1")
    point = cli.wait_for_window()
    until(lambda: read_spool(point).requests.num_rows > 52)
    run.process.kill()
    run.finish()
    judged = cli("claims", "guide", "latest", "--only", "C2")
    assert (judged.code, "points that were cut short are no evidence" in judged.err) == (3, True)
    done = cli("run", "--resume", "latest", "--workers", "1")
    assert done.has_no_traceback()
    (row,) = json.loads((cli.latest / "summary.json").read_text("utf-8"))["uptime"]
    assert row["name"] == "main (2 parts)"
    assert row["num_windows"] >= 16 + 7  # a whole part, and what was seen before
    assert 3 <= row["num_down"] <= 5
    assert "cut short and measured again: what was seen before counts" in row["not_observed"]
    assert row["gaps_s"][0] > 0
    assert "neither up nor down" in (cli.latest / "report.html").read_text("utf-8")
    assert any(name.endswith("before-0/requests.parquet") for name in cli.manifest()["files"])


@pytest.mark.slow
def test_a_load_worker_ends_with_its_pipe_though_it_never_reached_a_master() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "harness.load", "worker", "--port", "9"],  # nobody listens there
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        worker.stdin.close()
        assert worker.wait(100) == 0
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.slow
def test_a_lost_record_voids_the_report_and_resume_measures_that_point_again(cli: Any) -> None:
    path = cli.scenario(sweep=SWEEP, load={"duration": "500ms", "warmup": "300ms"})
    assert cli.here("run", path, "-q", "--no-report").code in (0, 3, 4)
    kept, lost = (next(cli.latest.glob(f"points/{i:03d}-*")) for i in (0, 1))
    before = (kept / "requests.parquet").read_bytes()
    (lost / "clients.parquet").unlink()
    for _ in range(2):
        report = cli.here("report", "latest", "--format", "junit")
        assert report.code == 4
        assert "not those it ended with" in report.err
        assert lost.name in report.err
    again = cli.here("run", "--resume", "latest", "-q", "--no-report")
    assert again.code in (0, 3, 4), again.err
    assert (lost / "clients.parquet").exists()
    assert (kept / "requests.parquet").read_bytes() == before
    assert cli.here("report", "latest", "--format", "junit").code == again.code


@pytest.mark.slow
def test_a_run_that_is_being_measured_is_not_resumed(cli: Any) -> None:
    run = cli.start("run", cli.scenario(load={"duration": "300s"}))
    cli.wait_for_window()
    beside = cli.here("run", "--resume", "latest")
    assert beside.code == 2
    assert "being measured right now" in beside.err
    assert run.process.poll() is None
    run.signal(signal.SIGINT)
    assert run.finish().code == 130
    assert cli.manifest()["status"] == "interrupted"  # in its own words: nobody else wrote there


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_data(cli: Any) -> None:
    table = cli.folder / "t.csv"
    table.write_text("n\n30\n10\n")
    lengths = {"kind": "empirical", "file": "t.csv", "column": "n"}
    chat = {"kind": "chat", "input_tokens": lengths, "output_tokens": {"kind": "fixed", "value": 2}}
    path = cli.scenario(
        traffic=[{"name": "chat", "workload": chat}], sweep=SWEEP,
        load={"duration": "300ms", "warmup": "200ms"},
    )  # fmt: skip
    assert cli.here("run", path, "-q", "--no-report").code in (0, 3, 4)
    next(cli.latest.glob("points/001-*/requests.parquet")).unlink()
    table.write_text("n\n300\n100\n")
    done = cli("run", "--resume", "latest")
    assert done.code == 4
    assert "not those the run began with" in done.err
    table.write_text("n\n30\n10\n")
    assert cli.here("run", "--resume", "latest", "-q", "--no-report").code in (0, 3, 4)
    assert next(cli.latest.glob("points/001-*/requests.parquet")).exists()

"""Ctrl-C, Ctrl-C again, SIGTERM: the run drains or is cut, keeps its records, claims no verdict."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

HEALTHY = {"error_rate": {"max": "50%"}}
LONG = {"duration": "300s"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_drains_and_keeps_what_was_measured(
    cli: Any, number: signal.Signals, until: Any, descendants: Callable[[int], set[int]],
    is_running: Callable[[int], bool],
) -> None:  # fmt: skip
    run = cli.start("run", cli.scenario(slo=HEALTHY, load=LONG))
    cli.wait_for_window()
    below = descendants(run.process.pid)
    assert below
    run.signal(number)
    done = run.finish()
    assert done.code == 130, done.err
    assert done.has_no_traceback()
    assert "stopping: no new requests" in done.err
    assert "PARTIAL: no verdict. The run was interrupted" in done.out
    assert "PASS" not in done.out
    assert "--resume" in done.out

    assert cli.manifest()["status"] == "interrupted"
    log = [json.loads(line) for line in (cli.latest / "log.jsonl").read_text().splitlines()]
    told = [row["event"] for row in log]
    assert told[:4] == ["run_begun", "point_begun", "interrupted", "point_ended"]
    assert log[3]["status"] == "interrupted"
    classes = pq.read_table(next(cli.latest.glob("points/*/requests.parquet")))["error_class"]
    assert set(classes.to_pylist()) == {""}  # drained: nothing was cut
    assert "The run was interrupted" in (cli.latest / "report.html").read_text("utf-8")
    until(lambda: not any(map(is_running, below)))

    if number == signal.SIGINT:
        again = cli.here("report", "latest", "--format", "junit")
        assert again.code == 130
        assert "PARTIAL: no verdict. The run was interrupted" in again.out


@pytest.mark.slow
def test_a_second_signal_cuts_what_is_in_flight(cli: Any, until: Any) -> None:
    # from some request on the endpoint is silent: a drain would last longer than the test may
    script = {"faults": [{"first": 8, "then": {"timing": {"ttft": "1000s"}}}]}
    path = cli.scenario(
        targets={"t": {"kind": "scripted", "script": script}}, load=LONG | {"drain": "500s"}
    )
    run = cli.start("run", path, "--no-report")
    cli.wait_for_window()
    run.signal(signal.SIGINT)
    until(lambda: "stopping" in _err_line(run))
    run.signal(signal.SIGINT)
    done = run.finish()
    assert done.code == 130, done.err
    assert "aborting: cutting what is in flight" in done.err
    assert done.has_no_traceback()
    classes = pq.read_table(next(cli.latest.glob("points/*/requests.parquet")))["error_class"]
    assert {"", "cut"} == set(classes.to_pylist())


def _err_line(run: Any) -> str:
    return str(run.process.stderr.readline())


@pytest.mark.slow
def test_a_signal_before_the_run_leaves_nothing_behind(cli: Any, scripted: Any, until: Any) -> None:
    url, _ = scripted({"timing": {"headers": "1000s"}})
    run = cli.start("run", cli.scenario(), "--url", url, "-v")
    until(lambda: "warm-up" in _err_line(run))  # the notice that comes before the probe
    run.signal(signal.SIGTERM)
    done = run.finish()
    assert (done.code, done.out) == (130, "")
    assert done.err.strip() == "interrupted"
    assert not cli.runs.exists()


@pytest.mark.slow
def test_a_signal_in_the_first_point_ends_the_whole_sweep(cli: Any) -> None:
    path = cli.scenario(
        slo=HEALTHY, load={"duration": "2s", "warmup": "200s"},
        sweep={"kind": "list", "over": {"load.concurrency": [1, 2]}},
    )  # fmt: skip
    run = cli.start("run", path, "--no-report")
    cli.wait_for_stages()
    run.signal(signal.SIGINT)
    done = run.finish()
    assert done.code == 130, done.err
    assert "0 of 2 points complete" in done.out
    assert len(cli.manifest()["points"]) == 1

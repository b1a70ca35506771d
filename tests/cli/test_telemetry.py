"""A target read beside its run: both accounts agree, a log is kept, a kill loses neither."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.records import Run, read_log


def events(folder: Path) -> list[str]:
    return [row["event"] for row in read_log(folder / "log.jsonl")]


def test_both_accounts_agree_and_the_log_tells_the_run(cli: Any) -> None:
    done = cli("run", cli.scenario())
    assert done.code == 0, done.err
    assert "Client against server" in done.out
    rows = pq.read_table(next(cli.latest.glob("points/*/requests.parquet")))
    num_rows, num_tok = rows.num_rows, sum(rows["n_out"].to_pylist())
    summary = json.loads(next(cli.latest.glob("points/*/summary.json")).read_text("utf-8"))
    told = {c["id"]: c for c in summary["server"]["comparisons"]}
    assert (told["requests_success"]["server"], told["requests_success"]["status"]) == (
        num_rows, "ok",
    )  # fmt: skip
    assert (told["output_tok"]["client"], told["output_tok"]["server"]) == (num_tok, num_tok)
    assert summary["meta"]["is_local_target"]
    assert "The server over time" in (cli.latest / "report.html").read_text("utf-8")

    assert events(cli.latest) == ["run_begun", "point_begun", "point_ended", "run_ended", "judged"]
    ended = read_log(cli.latest / "log.jsonl")[2]
    assert (ended["status"], ended["num_rows"]) == ("complete", num_rows)
    files = cli.manifest()["files"]
    assert "log.jsonl" in files
    assert files["log.jsonl"]["bytes"] == (cli.latest / "log.jsonl").stat().st_size
    assert [name for name in files if name.endswith("server.parquet")]


def test_a_target_without_metrics_is_one_notice(cli: Any) -> None:
    path = cli.scenario(telemetry={"prometheus": {"url": "http://127.0.0.1:9/metrics"}})
    done = cli("run", path)
    assert done.code == 0, done.err
    assert done.out.count("shows no metrics at http://127.0.0.1:9/metrics") == 1
    assert "Client against server" not in done.out
    assert events(cli.latest).count("notice") == 1
    assert not list(cli.latest.glob("points/*/server.parquet"))
    again = cli("report", "latest")
    assert "shows no metrics" in again.out
    assert events(cli.latest)[-1] == "judged"  # rendering again is no event of the run


def test_nothing_is_read_where_that_is_not_wanted(cli: Any) -> None:
    done = cli("run", cli.scenario(telemetry={"prometheus": None, "gpu": False}))
    assert done.code == 0, done.err
    assert "notice" not in events(cli.latest)
    assert not list(cli.latest.glob("points/*/server.parquet"))


@pytest.mark.slow
def test_a_killed_run_keeps_what_was_read(cli: Any) -> None:
    run = cli.start("run", cli.scenario(load={"duration": "300s"}))
    cli.wait_for_window()
    run.signal(signal.SIGKILL)
    run.finish()
    found = Run.open(cli.latest).points[0].server()
    assert len(set(found["t_ns"].to_pylist())) >= 2
    assert "scripted_output_tokens_total" in found["name"].to_pylist()
    assert events(cli.latest) == ["run_begun", "point_begun"]
    told = cli("report", "latest").out
    assert "scripted endpoint" in (cli.latest / "report.html").read_text("utf-8") + told

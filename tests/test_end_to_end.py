"""One true run over real sockets, held against the scripted endpoint's own record of it.

The endpoint knows when it sent each chunk and to which requests it misbehaved; what the harness
reports must agree. Medians and counts only: the machine may be slow, the arithmetic may not.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]

SCRIPT = {
    "timing": {"ttft": "60ms", "gap": "15ms"},
    "faults": [
        {"first": 10, "share": "10%", "then": {"http": {"status": 500}}},
        {"first": 10, "share": "12%", "then": {"http": {"status": 429}}},
        {"first": 10, "share": "12%", "then": {"transport": {"fail": "reset", "at": 3}}},
    ],
}
CLASSES = ("http_5xx", "throttled", "truncated")

SCENARIO = """
schema: harness/v1
name: truth
seed: 3
targets:
  main: {kind: openai, url: "%s"}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {kind: uniform, min: 20, max: 60}
      output_tokens: {kind: fixed, value: 12}
load:
  {kind: open, arrival: {kind: constant}, rate: 25/s, warmup: 1s, duration: 5s, cooldown: 2s}
slo: {ttft: {p50: 1s}, error_rate: {max: 80%%}}
validity: {max_send_lag: {p99: 60s}, max_client_cpu: 100%%}
"""


@contextmanager
def scripted(script: dict[str, Any]) -> Iterator[str]:
    command = [sys.executable, "-m", "harness.testing", "--script", json.dumps(script)]
    with subprocess.Popen(
        [*command, "--exit-with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        yield child.stdout.readline().split()[1]
        child.terminate()


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run and the endpoint's log of it."""
    folder = tmp_path_factory.mktemp("truth")
    with scripted(SCRIPT) as url:
        (folder / "truth.yaml").write_text(SCENARIO % url)
        ran = subprocess.run(
            [*HARNESS, "run", "truth.yaml", "--json", "--progress", "none"],
            capture_output=True, text=True, cwd=folder, timeout=120, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        base = url.removesuffix("/v1")
        with urllib.request.urlopen(f"{base}/script/log", timeout=60) as reply:
            log = json.loads(reply.read())
    assert ran.returncode in (0, 3, 4), ran.stderr
    run_dir = (folder / "runs" / "latest").resolve()
    (point,) = (run_dir / "points").iterdir()
    stage = json.loads((point / "stages.json").read_text())[0]
    rows = log["requests"] if isinstance(log, dict) else log
    load = {r["request_id"]: r for r in rows if r["recv_ns"] >= stage["start_ns"]}
    table = pq.read_table(point / "requests.parquet").sort_by("intended_ns")
    assert len(load) == len([r for r in rows if r["recv_ns"] >= stage["start_ns"]])
    assert load.keys() == set(column(table, "request_id"))
    return {
        "run": run_dir, "point": point, "stage": stage, "table": table,
        "log": [load[name] for name in column(table, "request_id")],  # in the order of the table
        "result": json.loads(ran.stdout),
        "schedule": pq.read_table(point / "schedule.parquet"),
    }  # fmt: skip


def column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()  # type: ignore[no-any-return]


@pytest.mark.e2e
def test_every_request_sent_was_seen_once(truth: dict[str, Any]) -> None:
    assert truth["table"].num_rows == len(truth["log"])
    ordinals = column(truth["table"], "ordinal")
    assert sorted(ordinals) == list(range(len(ordinals)))


@pytest.mark.e2e
def test_errors_are_told_apart_and_counted_exactly(truth: dict[str, Any]) -> None:
    expected = Counter(CLASSES[r["fault"]] for r in truth["log"] if r["fault"] is not None)
    measured = Counter(c for c in column(truth["table"], "error_class") if c)
    assert measured == expected
    assert set(expected) == set(CLASSES), "the seed must hit every class"


@pytest.mark.e2e
def test_stamps_agree_with_the_sender(truth: dict[str, Any]) -> None:
    """Error = client stamp - the sender's stamp right before its send: never early."""
    errors_ns, ttft_errors_ns = [], []
    columns = ("error_class", "chunk_ns", "first_token_ns", "intended_ns")
    rows = zip(*(column(truth["table"], c) for c in columns), strict=True)
    for (error, chunks, first, _), sent in zip(rows, truth["log"], strict=True):
        if not error:
            # stamped events: the role, 12 tokens, the finish reason, usage
            truth_ns = sent["send_ns"][1:13]
            assert len(sent["send_ns"]) == 15
            errors_ns += [c - s for c, s in zip(chunks, truth_ns, strict=True)]
            ttft_errors_ns.append(first - truth_ns[0])
    assert min(errors_ns) >= 0
    assert statistics.median(errors_ns) < 2_000_000
    assert statistics.median(ttft_errors_ns) < 2_000_000


@pytest.mark.e2e
def test_medians_follow_the_script(truth: dict[str, Any]) -> None:
    """Due times are the script's own, 60 ms and 15 ms; medians are those of the endpoint's sends,
    which a slow machine makes later than due."""
    names = ("error_class", "sent_ns", "first_token_ns", "chunk_ns")
    rows = zip(*(column(truth["table"], name) for name in names), strict=True)
    ttft_ms, true_ttft_ms, gaps_ms, true_gaps_ms = [], [], [], []
    for (error, sent, first, chunks), seen in zip(rows, truth["log"], strict=True):
        if error:
            continue
        due, sends = seen["due_ns"][1:13], seen["send_ns"][1:13]
        assert due[0] - seen["start_ns"] == 60_000_000
        assert {b - a for a, b in pairwise(due)} == {15_000_000}
        assert first - sent >= 60_000_000
        ttft_ms.append((first - sent) / 1e6)
        true_ttft_ms.append((sends[0] - sent) / 1e6)
        gaps_ms += [(b - a) / 1e6 for a, b in pairwise(chunks)]
        true_gaps_ms += [(b - a) / 1e6 for a, b in pairwise(sends)]
    assert 0 <= statistics.median(ttft_ms) - statistics.median(true_ttft_ms) < 2
    assert abs(statistics.median(gaps_ms) - statistics.median(true_gaps_ms)) < 1


@pytest.mark.e2e
def test_arrivals_are_the_schedule(truth: dict[str, Any]) -> None:
    start = truth["stage"]["start_ns"]
    planned = column(truth["schedule"], "intended_ns")
    offsets = [t - start for t in column(truth["table"], "intended_ns")]
    assert offsets == planned[: len(offsets)]
    gaps = {b - a for a, b in pairwise(offsets)}
    assert gaps == {40_000_000}, "a constant process has a coefficient of variation of 0"


@pytest.mark.e2e
def test_token_counts_come_from_usage(truth: dict[str, Any]) -> None:
    columns = ("error_class", "n_in", "n_out", "tok_source")
    rows = zip(*(column(truth["table"], c) for c in columns), strict=True)
    for (error, n_in, n_out, source), seen in zip(rows, truth["log"], strict=True):
        if not error:
            assert (n_in, n_out) == (seen["prompt_tok"], 12)
            assert source.startswith("usage")


@pytest.mark.e2e
def test_the_run_directory_is_whole(truth: dict[str, Any]) -> None:
    manifest = json.loads((truth["run"] / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    for name in ("report.html", "summary.md", "junit.xml", "summary.json", "scenario.yaml"):
        assert (truth["run"] / name).exists(), name
    errors = [
        e["value"]
        for e in truth["result"]["points"][0]["estimates"]
        if e["metric"] == "error_rate" and e["scope"] == "all"
    ]
    assert errors

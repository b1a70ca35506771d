"""The demo in small: the reference engine with its tiny model, driven, recorded and reported.

The engine's own tokenizer is found by itself, so asked and served counts must be equal, request by
request. Only counts are asserted: how fast the machine is, is not the test's business.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]

SCENARIO = """
schema: harness/v1
name: engine
targets:
  main: {kind: reference, model: tiny}
traffic:
  - name: short
    weight: 3
    workload:
      kind: chat
      input_tokens: {kind: uniform, min: 60, max: 200}
      output_tokens: {kind: uniform, min: 4, max: 12}
  - name: raw
    api: completions
    workload:
      kind: chat
      input_tokens: {kind: fixed, value: 90}
      output_tokens: {kind: fixed, value: 6}
load: {kind: closed, concurrency: 3, warmup: 1s, requests: 24, cooldown: 2s, drain: 20s}
slo: {error_rate: {max: 50%}}
validity: {max_send_lag: {p99: 60s}, max_client_cpu: 100%}
"""


@pytest.mark.e2e
def test_engine_load_and_report(tmp_path: Path) -> None:
    (tmp_path / "engine.yaml").write_text(SCENARIO)
    harness = [sys.executable, "-c", "from harness.cli import main; main()"]
    ran = subprocess.run(
        [*harness, "run", "engine.yaml", "--json", "--progress", "none"],
        capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode in (0, 3, 4), ran.stderr
    run_dir = (tmp_path / "runs" / "latest").resolve()
    table = pq.read_table(next(run_dir.glob("points/*/requests.parquet")))
    rows = table.filter(pc.equal(table["phase"], "measured")).to_pylist()
    assert len(rows) >= 24
    for row in rows:
        assert row["error_class"] == "", row["error_detail"]
        assert row["n_out"] == row["asked_out"]
        assert row["finish_reason"] == "length"
        if row["class"] == "short":
            assert row["n_in"] == row["asked_in"]
        assert row["cached_tok"] in (None, 0) or row["cached_tok"] < 32
    result = json.loads(ran.stdout)
    assert {p["name"] for p in result["points"]} == {"main"}
    for name in ("report.html", "summary.md", "junit.xml", "summary.json"):
        assert (run_dir / name).stat().st_size > 0


@pytest.mark.e2e
def test_the_library_scenario_on_speculation_shows_acceptance(tmp_path: Path) -> None:
    """`harness run spec-decode`, shortened: requests, server and report agree on drafts."""
    harness = [sys.executable, "-c", "from harness.cli import main; main()"]
    settings = ["load.requests=12", "load.duration=null", "load.warmup=500ms",
                "validity.max_send_lag.p99=60s", "validity.max_client_cpu=100%"]  # fmt: skip
    sets = [word for setting in settings for word in ("--set", setting)]
    ran = subprocess.run(
        [*harness, "run", "spec-decode", "--json", "--progress", "none", *sets],
        capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode in (0, 1, 3, 4), ran.stderr
    run_dir = (tmp_path / "runs" / "latest").resolve()
    (summary,) = run_dir.glob("points/*/summary.json")
    told = json.loads(summary.read_text())["server"]["speculation"]
    table = pq.read_table(next(run_dir.glob("points/*/requests.parquet"))).to_pylist()
    timings = [json.loads(row["timings"]) for row in table if row["timings"]]
    assert told["num_accepted_tok"] == sum(t["accepted_tokens"] for t in timings) > 0
    assert told["num_draft_tok"] == sum(t["drafted_tokens"] for t in timings)
    assert sum(told["accepted_per_pos"]) == told["num_accepted_tok"]
    assert told["is_synthetic"] is False
    assert "**Speculation**" in (run_dir / "summary.md").read_text()

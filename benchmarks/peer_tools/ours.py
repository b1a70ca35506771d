"""`harness run` with a closed load and nothing else said: warm-up, probes and report included."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.peer_tools.base import Job, Reported, Stat, Stats

TITLE = "harness"
RELEASE = None
ROOT = Path(__file__).parents[2]
METRICS = {
    "ttft_s": ("ttft", "success"),
    "gap_s": ("tpot", "success"),
    "chunk_gap_s": ("itl", "gaps"),
}
SCENARIO = """\
schema: harness/v1
name: peers
targets:
  main: {{kind: openai, url: "{url}"}}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {{kind: fixed, value: 100}}
      output_tokens: {{kind: fixed, value: {num_tok}}}
load: {{kind: closed, concurrency: {num_streams}, requests: {num_requests}{more}}}
"""


def command(job: Job, venv: Path) -> list[str]:
    """venv is not looked at: ours is the Python that runs this."""
    return run_command(job)


def run_command(job: Job, more: str = "") -> list[str]:
    """more: keys added to the scenario's load, after a comma."""
    scenario = job.folder / "peers.yaml"
    fields = {name: getattr(job, name) for name in ("url", "num_tok", "num_streams")}
    text = SCENARIO.format(**fields, num_requests=job.num_requests, more=more)
    scenario.write_text(text, encoding="utf-8")
    return [sys.executable, "-c", "from harness.cli import main; main()", "run", scenario.name]


def environment() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}


def read(folder: Path) -> Reported:
    """Summary first; a p99 it withholds for too few requests is taken from the rows, and marked.

    TTFT is our `ttft`, from the intended send: our own lateness and connecting count against us,
    as connecting does for the peers, who start their clocks before it.
    """
    run = (folder / "runs" / "latest").resolve()
    (point,) = json.loads((run / "summary.json").read_text(encoding="utf-8"))["points"]
    rows = _rows(run)
    spoken = {name: _spoken(point["estimates"], *metric) for name, metric in METRICS.items()}
    # with its median spoken, only the number of requests can withhold a p99
    computed = frozenset(
        f"{name}.p99" for name, stats in spoken.items() if "p50" in stats and "p99" not in stats
    )
    for name in computed:
        metric = name.removesuffix(".p99")
        spoken[metric]["p99"] = float(np.quantile(rows[metric], 0.99))
    return Reported(
        num_requests=point["counts"]["success"],
        computed=computed,
        requests=frozenset(rows["request_id"]),
        remark="; ".join(_remarks(point)),
        **spoken,
    )


def _remarks(point: dict[str, Any]) -> list[str]:
    """A verdict other than pass, and why a median is withheld."""
    said = [] if point["validity"] == "pass" else [f"the tool says: {point['validity']}"]
    for row in point["estimates"]:
        is_whole = (row["metric"], row["population"]) in METRICS.values() and row["scope"] == "all"
        if is_whole and row["stat"] == "p50" and row["value"] is None:
            said.append(f"withholds {row['metric']}: {row['reason'].partition(':')[0]}")
    return said


def _spoken(estimates: list[dict[str, Any]], metric: str, population: str) -> Stats:
    stats: tuple[Stat, ...] = ("mean", "p50", "p99")
    at = {
        row["stat"]: row["value"]
        for row in estimates
        if (row["metric"], row["population"], row["scope"]) == (metric, population, "all")
    }
    return {stat: at[stat] for stat in stats if at.get(stat) is not None}


def _rows(run: Path) -> dict[str, Any]:
    """The measured successes: request ids, and the three metrics in seconds."""
    (path,) = (run / "points").glob("*/requests.parquet")
    names = ["phase", "error_class", "request_id", "intended_ns", "first_token_ns", "last_token_ns"]
    table = pq.read_table(path, columns=[*names, "n_out", "n_first", "chunk_ns"]).to_pylist()
    good = [row for row in table if row["phase"] == "measured" and not row["error_class"]]
    many = [row for row in good if row["n_out"] > row["n_first"]]
    spans = [
        (row["last_token_ns"] - row["first_token_ns"]) / (row["n_out"] - row["n_first"])
        for row in many
    ]
    gaps = [np.diff(row["chunk_ns"]) for row in good]
    return {
        "request_id": [row["request_id"] for row in good],
        "ttft_s": np.array([row["first_token_ns"] - row["intended_ns"] for row in good]) / 1e9,
        "gap_s": np.array(spans) / 1e9,
        "chunk_gap_s": np.concatenate(gaps) / 1e9 if gaps else np.array([]),
    }

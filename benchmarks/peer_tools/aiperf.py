"""NVIDIA's AIPerf: `aiperf profile` with concurrency and a number of requests."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peer_tools.base import Job, Reported, Stat, stats_of

TITLE = "AIPerf"
RELEASE = "aiperf==0.13.0"
NAMES: dict[Stat, str] = {"mean": "avg", "p50": "p50", "p99": "p99"}


def command(job: Job, venv: Path) -> list[str]:
    """Prompts are its default 550 synthetic tokens; the endpoint fixes the answer's length."""
    return [
        str(venv / "bin" / "aiperf"), "profile", "--model", "scripted", "--url", job.base_url,
        "--endpoint-type", "chat", "--streaming", "--tokenizer", str(job.tokenizer),
        "--concurrency", str(job.num_streams), "--request-count", str(job.num_requests),
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """Nothing: told to be offline it refuses a tokenizer folder ("Repo id must be ...")."""
    return {}


def read(folder: Path) -> Reported:
    """profile_export_aiperf.json; ids of the measured requests from profile_export.jsonl."""
    (path,) = folder.glob("artifacts/*/profile_export_aiperf.json")
    summary = json.loads(path.read_text(encoding="utf-8"))
    errors = (summary.get("error_request_count") or {}).get("avg", 0)
    return Reported(
        num_requests=round(summary["request_count"]["avg"]),
        ttft_s=stats_of(summary.get("time_to_first_token"), NAMES, 1e-3),
        gap_s=stats_of(summary.get("inter_token_latency"), NAMES, 1e-3),
        chunk_gap_s=stats_of(summary.get("inter_chunk_latency"), NAMES, 1e-3),
        requests=frozenset(_request_ids(path.with_name("profile_export.jsonl"))),
        remark=f"{errors:.0f} failed" if errors else "",
    )


def _request_ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        row["metadata"]["x_request_id"]
        for row in rows
        if row["metadata"]["benchmark_phase"] == "profiling" and not row.get("error")
    ]

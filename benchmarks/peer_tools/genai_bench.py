"""genai-bench (SGLang project): `genai-bench benchmark`, one concurrency."""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.peer_tools.base import Job, Reported, Stat, Stats, stats_of

TITLE = "genai-bench"
RELEASE = "genai-bench==0.0.5"
NAMES: dict[Stat, str] = {"mean": "mean", "p50": "p50", "p99": "p99"}


def command(job: Job, venv: Path) -> list[str]:
    """It looks once a second whether enough requests are done, so it sends more than asked."""
    return [
        str(venv / "bin" / "genai-bench"), "benchmark",
        "--api-backend", "openai", "--api-base", job.base_url, "--api-key", "none",
        "--api-model-name", "scripted", "--model-tokenizer", str(job.tokenizer),
        "--task", "text-to-text", "--traffic-scenario", f"D(100,{job.num_tok})",
        "--num-concurrency", str(job.num_streams),
        "--max-requests-per-run", str(job.num_requests),
        "--max-time-per-run", str(math.ceil(job.limit_s / 60)),
        "--experiment-folder-name", "experiment",
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def read(folder: Path) -> Reported:
    """`experiment/D<in>_<out>_*_num_concurrency_*.json`. It exports no request ids."""
    (path,) = (folder / "experiment").glob("D*_num_concurrency_*.json")
    aggregated = json.loads(path.read_text(encoding="utf-8"))["aggregated_metrics"]
    lost = aggregated["num_error_requests"]
    return Reported(
        num_requests=aggregated["num_completed_requests"],
        ttft_s=_stats(aggregated["stats"]["ttft"]),
        gap_s=_stats(aggregated["stats"]["tpot"]),
        remark=f"{lost} failed" if lost else "",
    )


def _stats(row: dict[str, float | None]) -> Stats:
    return stats_of(row, NAMES)

"""GuideLLM (vLLM project): `guidellm run` with its concurrent profile."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peer_tools.base import Job, Reported, Stats, stats_of

TITLE = "GuideLLM"
RELEASE = "guidellm==0.8.1"
EXPORT = "bench.json"


def command(job: Job, venv: Path) -> list[str]:
    """It has no default data; 100 prompt tokens are as ours."""
    return [
        str(venv / "bin" / "guidellm"), "run",
        "--backend", f"kind=openai_http,target={job.base_url}",
        "--data", f"kind=synthetic_text,prompt_tokens=100,output_tokens={job.num_tok}",
        "--tokenizer", f"kind=huggingface_auto,model={job.tokenizer}",
        "--profile", f"kind=concurrent,streams={job.num_streams}",
        "--constraint", f"kind=max_requests,count={job.num_requests}",
        "--output", f"kind=json,path={EXPORT}",
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def read(folder: Path) -> Reported:
    """Ids are the endpoint's own: response id `chatcmpl-<ordinal, 24 hex digits>`.

    Its inter-token latency is a mean of each request, repeated for every token of it.
    """
    export = json.loads((folder / EXPORT).read_text(encoding="utf-8"))
    (benchmark,) = export["benchmarks"]
    metrics = benchmark["metrics"]
    totals = metrics["request_totals"]
    lost = totals["errored"] + totals["incomplete"]
    done = benchmark["requests"]["successful"]
    remarks = [f"{lost} failed or unfinished"] if lost else []
    remarks += [f"the tool warns: {row['message']}" for row in benchmark.get("warnings", ())]
    return Reported(
        num_requests=totals["successful"],
        ttft_s=_stats(metrics["time_to_first_token_ms"]["successful"]),
        gap_s=_stats(metrics["inter_token_latency_ms"]["successful"]),
        requests=frozenset(int(row["response_id"].rpartition("-")[2], 16) for row in done),
        remark="; ".join(remarks),
    )


def _stats(row: dict[str, float]) -> Stats:
    percentiles: dict[str, float] = row.get("percentiles") or {}  # type: ignore[assignment]
    named = {"mean": row.get("mean"), "p50": percentiles.get("p50"), "p99": percentiles.get("p99")}
    return stats_of(named, {"mean": "mean", "p50": "p50", "p99": "p99"}, 1e-3)

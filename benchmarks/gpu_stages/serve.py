"""The whole house on one machine: `harness run` drives our server, open loop, rate by rate.

First closed, to learn what the server can take; then shares of that as Poisson arrivals. TTFT of
prompts of one length, and goodput against rate.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.engines.base import ServerProcess
from benchmarks.gpu_stages.base import Context

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
NEEDED = ("locust", "gevent", "click", "pydantic", "ruamel.yaml", "pyarrow", "scipy", "jsonschema",
          "starlette", "uvicorn", "llguidance")  # fmt: skip
SHARES = (0.3, 0.5, 0.7, 0.85, 0.95)


def run(ctx: Context, shape: str) -> None:
    missing = [name for name in NEEDED if not _is_there(name)]
    if missing:
        ctx.put("skipped", skipped=f"not installed here: {', '.join(missing)}")
        return
    if not ctx.is_due("rates", 60 if not ctx.is_toy else 10):
        return
    server = ServerProcess(_command(ctx, shape))
    try:
        capacity = _capacity(ctx, server.port)
        rates = [round(capacity * share, 3) for share in (SHARES if not ctx.is_toy else (0.5,))]
        text = _scenario(ctx, f"open, arrival: {{kind: poisson}}, rate: {rates[0]}/s", rates)
        result = _harness(ctx, text, server.port, len(rates))
        ctx.put("rates", capacity_req_per_s=capacity, points=[_row(p) for p in result["points"]])
    finally:
        server.close()


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _command(ctx: Context, shape: str) -> list[str]:
    s = ctx.sizes
    return [
        sys.executable, "-m", "engine_under_test", "serve",
        "--model", "tiny" if ctx.is_toy else shape, "--dtype", s.dtype,
        "--max-num-seqs", str(max(s.batches)), "--max-model-len", "8192",
        "--max-num-batched-tokens", str(s.budgets[1]), "--no-prefix-cache", "--exit-with-parent",
        "--max-waiting", "4096",
    ]  # fmt: skip


def _capacity(ctx: Context, port: int) -> float:
    """Requests/s of as many users as the batch holds, each asking again at once."""
    num_users = max(ctx.sizes.batches)
    text = _scenario(ctx, f"closed, concurrency: {num_users}", None)
    (point,) = _harness(ctx, text, port, 1)["points"]
    rate = _row(point)["req_per_s"]
    ctx.put("capacity", req_per_s=rate, users=num_users)
    return float(rate)


def _scenario(ctx: Context, load: str, rates: list[float] | None) -> str:
    num_in, num_out = ctx.sizes.serve_lengths
    over = (
        ""
        if rates is None
        else f"""
sweep:
  kind: list
  over: {{load.rate: [{", ".join(f"{r}/s" for r in rates)}]}}
  cooldown: 2s
"""
    )
    warmup_s = max(2, ctx.sizes.serve_s // 3)
    drain = ", drain: 10s" if rates is not None else ""
    return f"""schema: harness/v1
name: gpu
description: Prompts of {num_in} tokens, answers of {num_out}.
targets:
  main: {{kind: endpoint, url: "http://127.0.0.1:1/v1"}}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {{kind: fixed, value: {num_in}}}
      output_tokens: {{kind: fixed, value: {num_out}}}
load:
  {{kind: {load}, warmup: {warmup_s}s, duration: {ctx.sizes.serve_s}s{drain}}}
{over}slo:
  good_request: {{ttft: 100ms, tpot: 50ms}}
"""


def _harness(ctx: Context, text: str, port: int, num_points: int) -> dict[str, Any]:
    file = Path(ctx.folder) / "gpu.yaml"
    file.write_text(text, encoding="utf-8")
    limit_s = 60 + num_points * (4 * ctx.sizes.serve_s + 30)
    done = subprocess.run(
        [*HARNESS, "run", str(file), "--url", f"http://127.0.0.1:{port}/v1", "--json", "--quiet",
         "--no-report", "--no-check-client", "--out", str(Path(ctx.folder) / "runs")],
        capture_output=True, text=True, timeout=limit_s, check=False,
    )  # fmt: skip
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"harness exit {done.returncode}: {done.stderr[-1500:]}") from None
    return found


def _row(point: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a point of a run's summary; None where the sample was too small."""

    def value(metric: str, stat: str | None = None) -> float | None:
        for e in point["estimates"]:
            is_all = e["scope"] == "all" and e["population"] in ("valid", "system")
            if is_all and e["metric"] == metric and (stat is None or e["stat"] == stat):
                return float(e["value"]) if e["value"] is not None else None
        return None

    return {
        "load": point["load"], "validity": point["validity"], "requests": point["counts"]["valid"],
        "failed": point["counts"]["failed"], "req_per_s": value("request_per_s"),
        "goodput_req_per_s": value("goodput_req_per_s"),
        "output_tok_per_s": value("output_tok_per_s"), "ttft_p50_s": value("ttft", "p50"),
        "ttft_p99_s": value("ttft", "p99"), "tpot_p50_s": value("tpot", "p50"),
    }  # fmt: skip

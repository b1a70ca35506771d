"""The whole house on one machine: `harness run` drives our server, open loop, rate by rate.

First closed, to learn what the server can take; then shares of that as Poisson arrivals: the one
that a bar is about long enough for a p99, the others for goodput against rate.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.engines.base import ServerProcess
from benchmarks.gpu_stages.base import Context

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
NEEDED = ("locust", "gevent", "click", "pydantic", "ruamel.yaml", "pyarrow", "scipy", "jsonschema",
          "starlette", "uvicorn", "llguidance")  # fmt: skip
BAR_SHARE, OTHER_SHARES = 0.7, (0.5, 0.9)
BAR_REQUESTS, BAR_S = 1500, (30, 110)  # a p99 needs a thousand that count; seconds, least and most
# Users who begin together get their first answers only when all prompts are through: of 256 prompts
# of 1K after some ten seconds. Arrivals fill a server below its capacity sooner.
WARM_CLOSED_S, WARM_OPEN_S = 15, 8


def run(ctx: Context, shape: str) -> None:
    missing = [name for name in NEEDED if not _is_there(name)]
    if missing:
        ctx.put("skipped", skipped=f"not installed here: {', '.join(missing)}")
        return
    needed_s = 60 if not ctx.is_toy else 5
    if not any(ctx.is_due(_key(share), needed_s) for share in (BAR_SHARE, *OTHER_SHARES)):
        return
    started_s = time.perf_counter()
    server = ServerProcess(_command(ctx, shape))
    try:
        ctx.put("server", ready_s=time.perf_counter() - started_s)
        capacity = ctx.known("capacity", "req_per_s") or _capacity(ctx, server.port)
        seconds = ctx.sizes.serve_s
        if not ctx.is_toy:
            seconds = round(min(max(BAR_REQUESTS / (BAR_SHARE * capacity), BAR_S[0]), BAR_S[1]))
        _rate(ctx, server.port, capacity, BAR_SHARE, seconds)
        for share in OTHER_SHARES:
            _rate(ctx, server.port, capacity, share, ctx.sizes.serve_s)
    finally:
        server.close()


def _key(share: float) -> str:
    return f"{100 * share:.0f} % of capacity"


def _rate(ctx: Context, port: int, capacity: float, share: float, seconds: int) -> None:
    """Poisson arrivals at a share of what the server can take."""
    if not ctx.is_due(_key(share), seconds + WARM_OPEN_S + 20 if not ctx.is_toy else 5):
        return
    load = f"open, arrival: {{kind: poisson}}, rate: {capacity * share:.3f}/s, drain: 10s"
    text = _scenario(ctx, load, seconds, WARM_OPEN_S)
    (point,) = _harness(ctx, text, port, seconds)["points"]
    ctx.put(_key(share), **_row(point))


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _command(ctx: Context, shape: str) -> list[str]:
    s = ctx.sizes
    return [
        sys.executable, "-m", "engine_under_test", "serve",
        *(("--model", "small", "--layers", "1") if ctx.is_toy else ("--model", shape)),
        "--dtype", s.dtype,
        # The lengths are calibrated by a prompt of some 5,000 bytes, each of them a token.
        "--max-num-seqs", str(max(s.batches)), "--max-model-len", "8192",
        "--max-num-batched-tokens", str(s.budgets[1]), "--no-prefix-cache", "--exit-with-parent",
        "--max-waiting", "4096", "--mode", "process",  # what a GPU gets; a rehearsal too
    ]  # fmt: skip


def _capacity(ctx: Context, port: int) -> float:
    """Requests/s of as many users as the batch holds, each asking again at once."""
    num_users = max(ctx.sizes.batches)
    load = f"closed, concurrency: {num_users}"
    text = _scenario(ctx, load, ctx.sizes.serve_s, WARM_CLOSED_S)
    (point,) = _harness(ctx, text, port, ctx.sizes.serve_s)["points"]
    rate = _row(point)["req_per_s"]
    ctx.put("capacity", req_per_s=rate, users=num_users)
    return float(rate)


def _scenario(ctx: Context, load: str, seconds: int, warm_up_s: int) -> str:
    num_in, num_out = ctx.sizes.serve_lengths
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
  {{kind: {load}, warmup: {2 if ctx.is_toy else warm_up_s}s, duration: {seconds}s}}
slo:
  good_request: {{ttft: 100ms, tpot: 50ms}}
"""


def _harness(ctx: Context, text: str, port: int, seconds: int) -> dict[str, Any]:
    file = Path(ctx.folder) / "gpu.yaml"
    file.write_text(text, encoding="utf-8")
    limit_s = 90 + 3 * seconds
    done = subprocess.run(
        [*HARNESS, "run", str(file), "--url", f"http://127.0.0.1:{port}/v1", "--json", "--quiet",
         "--no-report", "--no-check-client", "--out", str(Path(ctx.folder) / "runs")],
        capture_output=True, text=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL,
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
                if e["value"] is None:
                    absent.append(f"{metric} {stat}: {e.get('note') or e.get('reason')}")
                    return None
                return float(e["value"])
        return None

    absent: list[str] = []
    return {
        "load": point["load"], "validity": point["validity"], "requests": point["counts"]["valid"],
        "failed": point["counts"]["failed"], "req_per_s": value("request_per_s"),
        "goodput_req_per_s": value("goodput_req_per_s"),
        "output_tok_per_s": value("output_tok_per_s"), "ttft_p50_s": value("ttft", "p50"),
        "ttft_p99_s": value("ttft", "p99"), "tpot_p50_s": value("tpot", "p50"),
        "absent": "; ".join(absent),
    }  # fmt: skip

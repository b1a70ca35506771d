"""HARNESS_TRACES=FOLDER python -m benchmarks.twin [--requests 1000000] [--json FILE]

What the capacity twin costs on one core: its compilation, once from nothing and once from the disk,
then simulations by CPU time of this process. Without HARNESS_TRACES the real traces are left out,
and said. The server is a 70B model on two H100 (published step profile, see SERVER below).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from harness.decisions.autoscaler import Load, Policy
from harness.decisions.twin import (
    Autoscaled,
    Blocks,
    Deployment,
    Outcome,
    Requests,
    StepModel,
    simulate,
    simulate_autoscaled,
    simulate_fleet,
)  # fmt: skip
from harness.scenario._traces import read_trace

# Vidur's profile of Llama-2-70B on two H100 (a0, b, a1); KV of 320 KiB a token read at 2 x 3.35
# TB/s (c); 4 x 8192 x 80 FLOP a pair of tokens at 45 % of 2 x 990 TFLOP/s (e). Batch and budget are
# those of a common server; 73 GB of KV.
SERVER = StepModel(a0=0.0265, b=0.0153, a1=0.000102, c=4.9e-8, e=2.9e-9)
DEPLOYMENT = Deployment(max_batch=256, max_batched_tokens=2048, kv_tokens=220_000)
DAY_S = 86_400.0
COMPILE = (
    "import time; t = time.process_time(); from harness.decisions.twin import kernel;"
    "print(time.process_time() - t)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One simulation. cpu_s: of this process, from arrays to arrays."""

    name: str
    requests: int
    output_mtok: float
    steps: int
    preemptions: int
    cpu_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    replicas: float


def compile_s() -> tuple[float, float]:
    """CPU seconds to load the kernel in a fresh process: from nothing, then from the disk."""
    with tempfile.TemporaryDirectory(prefix="numba-") as folder:
        env = {**os.environ, "NUMBA_CACHE_DIR": folder}
        first, again = (
            float(subprocess.check_output([sys.executable, "-c", COMPILE], env=env, text=True))
            for _ in range(2)
        )
    return first, again


def chat(n: int, rate: float, seed: int = 1) -> Requests:
    """Poisson arrivals; lengths like Azure's conversations: about 1,155 in, 211 out."""
    rng = np.random.default_rng(seed)
    n_in = np.clip(rng.lognormal(np.log(1000), 0.55, n), 8, 4000).astype(np.int64)
    n_out = np.clip(rng.lognormal(np.log(160), 0.70, n), 4, 1000).astype(np.int64)
    return Requests(np.cumsum(rng.exponential(1 / rate, n)), n_in, n_out)


def measure(name: str, requests: Requests, run: Callable[[], Outcome | Autoscaled]) -> Row:
    begun = time.process_time()
    found = run()
    cpu_s = time.process_time() - begun
    outcome, replicas = (
        (found.outcome, found.billed_s / (found.end_s - found.start_s))
        if isinstance(found, Autoscaled)
        else (found, float(found.replica.max() + 1))
    )
    p50, p99 = np.nanquantile(outcome.ttft_s, [0.5, 0.99])
    return Row(
        name, len(requests), float(requests.n_out.sum()) / 1e6, outcome.totals.num_steps,
        outcome.totals.preemptions, cpu_s, float(p50), float(p99), replicas,
    )  # fmt: skip


def made_up(n: int) -> Iterator[Row]:
    """One replica near two thirds of its capacity, then what makes it harder; then ten."""
    one = chat(n, rate=3.5)
    yield measure("one replica", one, lambda: simulate(SERVER, DEPLOYMENT, one))
    tight = replace(DEPLOYMENT, kv_tokens=60_000)
    yield measure("tight KV, preempting", one, lambda: simulate(SERVER, tight, one))
    reserve = replace(DEPLOYMENT, memory="reserve")
    yield measure("reserved KV", one, lambda: simulate(SERVER, reserve, one))
    drafts = replace(DEPLOYMENT, gamma=3, tau=2.4)
    yield measure("3 drafts, 2.4 accepted", one, lambda: simulate(SERVER, drafts, one))
    ten = chat(n, rate=35.0)
    for router in ("round_robin", "least_loaded", "two_choices"):
        yield measure(
            f"ten replicas, {router}", ten,
            lambda router=router: simulate_fleet(  # type: ignore[misc]
                SERVER, DEPLOYMENT, ten, replicas=10, router=router
            ),
        )  # fmt: skip


def real(folder: Path) -> Iterator[Row]:
    """A real hour all day long, a real hour with its shared prefixes, a real day's rates."""
    trace = read_trace(folder / "azure/AzureLLMInferenceTrace_conv.csv", "azure_csv")
    hour_s, copies = float(trace.arrival_s[-1]) + 0.2, 25
    arrival_s = np.concatenate([trace.arrival_s + hour_s * i for i in range(copies)])
    kept = arrival_s < DAY_S
    day = Requests(
        arrival_s[kept], np.tile(trace.input_tok, copies)[kept],
        np.tile(trace.output_tok, copies)[kept],
    )  # fmt: skip
    yield measure(
        "Azure conversations, their hour for a day, two replicas", day,
        lambda: simulate_fleet(SERVER, DEPLOYMENT, day, replicas=2, router="least_loaded"),
    )  # fmt: skip

    trace = read_trace(folder / "mooncake/conversation_trace.jsonl.gz", "mooncake_jsonl")
    jitter_s = np.random.default_rng(2).random(len(trace)) * 3.0  # times are known to 3 s
    order = np.argsort(trace.arrival_s + jitter_s)
    assert trace.hash_ids is not None
    hour = Requests(
        (trace.arrival_s + jitter_s)[order], trace.input_tok[order], trace.output_tok[order],
        Blocks.of([trace.hash_ids[i] for i in order], trace.block_tok),
    )  # fmt: skip
    cached = replace(DEPLOYMENT, prefix_cache=True)
    for router in ("least_loaded", "prefix_aware"):
        yield measure(
            f"Mooncake conversations, an hour, 16 replicas with prefix cache, {router}", hour,
            lambda router=router: simulate_fleet(  # type: ignore[misc]
                SERVER, cached, hour, replicas=16, router=router
            ),
        )  # fmt: skip

    day = deepseek_day(folder / "servegen")
    policy = Policy(Load(concurrent_requests=50), min_replicas=1, max_replicas=80)
    yield measure(
        "DeepSeek-R1, a day's rates and lengths (ServeGen), autoscaled 1 to 80", day,
        lambda: simulate_autoscaled(SERVER, DEPLOYMENT, day, policy=policy, end_s=DAY_S),
    )  # fmt: skip


def deepseek_day(folder: Path) -> Requests:
    """Poisson within each 10 minutes of the day; input and output lengths drawn apart."""
    rates = np.genfromtxt(folder / "rates_10min.csv", delimiter=",", names=True)
    rows = np.isfinite(rates["deepseekr1_rps"])
    rng = np.random.default_rng(3)
    arrival_s = np.sort(
        np.concatenate([
            start_s + 600 * rng.random(rng.poisson(600 * rate))
            for start_s, rate in zip(
                rates["t_s"][rows], rates["deepseekr1_rps"][rows], strict=True
            )
        ])
    )  # fmt: skip
    table = np.genfromtxt(
        folder / "deepseek-r1-token-hist.csv.gz", delimiter=",", names=True, dtype=None,
        encoding="utf-8",
    )  # fmt: skip
    lengths = []
    for field in ("input_tokens", "output_tokens"):
        part = table[table["field"] == field]
        share = part["expected_requests"] / part["expected_requests"].sum()
        drawn = rng.choice(part["tokens"], len(arrival_s), p=share)
        lengths.append(np.clip(drawn, 1, 100_000).astype(np.int64))
    return Requests(arrival_s, lengths[0], lengths[1])


def table(rows: list[Row]) -> Iterator[str]:
    """As Markdown."""
    yield (
        "| traffic | requests | M output tokens | replicas | steps | preemptions "
        "| ttft p50, p99 s | CPU s |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        yield (
            f"| {row.name} | {row.requests:,} | {row.output_mtok:,.0f} | {row.replicas:.3g} "
            f"| {row.steps:,} | {row.preemptions:,} | {row.ttft_p50_s:.3f}, {row.ttft_p99_s:.3f} "
            f"| {row.cpu_s:.2f} |"
        )


def main() -> int:
    """Print one table; exit 1 where a million requests on one replica took 5 s or more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="all figures, machine and versions")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    first_s, again_s = compile_s()
    print(f"compilation: {first_s:.1f} s of CPU once a machine, {again_s:.1f} s from the disk")
    simulate(SERVER, DEPLOYMENT, chat(10, 1.0))
    rows = list(made_up(given.requests))
    folder = os.environ.get("HARNESS_TRACES")
    if folder:
        rows += real(Path(folder))
    else:
        print("real traces: left out, HARNESS_TRACES names no folder")
    print("\n".join(table(rows)))
    if given.json:
        facts: dict[str, Any] = {
            "machine": machine(["numba", "numpy"], load_before), "compile_s": first_s,
            "load_s": again_s, "rows": [asdict(row) for row in rows],
        }  # fmt: skip
        given.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return int(given.requests >= 1_000_000 and rows[0].cpu_s >= 5)


if __name__ == "__main__":
    sys.exit(main())

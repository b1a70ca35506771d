"""make bench, or: python -m benchmarks.reader [--streams 64,256] [--seconds 4] [--json FILE]

CPU microseconds a chunk and timing error of our reader beside other clients, against the scripted
endpoint in a process of its own. Readers take turns within one run, each in a fresh process, so a
noisy machine hurts all of them: compare the ratios, not the digits. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.endpoint import Endpoint
from benchmarks.machine import machine

FLOOR = "bare_epoll"
# reader -> (title, packages it needs)
READERS = {
    FLOOR: ("bare epoll loop", ()),
    "ours": ("harness, kernel stamps", ("locust",)),
    "ours_user_stamps": ("harness, user stamps", ("locust",)),
    "aiohttp_uvloop": ("aiohttp + uvloop", ("aiohttp", "uvloop")),
    "locust_fasthttp": ("locust FastHttpUser", ("locust",)),
    "locust_http": ("locust HttpUser", ("locust", "requests")),
}
PACKAGES = ("locust", "gevent", "geventhttpclient", "requests", "aiohttp", "uvloop")
LEAD_S = 2.5
Run = dict[str, Any]


def main() -> int:
    flags = _flags()
    runs: list[Run] = []
    load_before = os.getloadavg()[0]
    levels = [int(word) for word in flags.streams.split(",")]
    with Endpoint(_script(flags.rate)) as endpoint:
        port = urlsplit(endpoint.url).port
        assert port is not None
        for repeat in range(flags.repeats):
            for num_streams in levels:
                for name in _in_turn(repeat):
                    runs.append(_one(name, num_streams, port, flags))
    result: Run = {"machine": machine(PACKAGES, load_before), "flags": vars(flags), "runs": runs}
    print(_table(runs, levels))
    print(_footer(result["machine"], flags))
    if flags.json:
        Path(flags.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if any("failed" in run for run in runs) else 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reader")
    parser.add_argument("--streams", default="64,256", help="levels; try 1024 on a quiet machine")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens/s of each stream")
    parser.add_argument("--seconds", type=float, default=4.0, help="streaming time of one run")
    parser.add_argument("--repeats", type=int, default=2, help="turns of each reader")
    parser.add_argument("--json", help="write every run and the machine to this file")
    return parser.parse_args()


def _script(rate: float) -> dict[str, Any]:
    # starts are spread by a law, so that streams do not march in step
    ttft = {"median": f"{LEAD_S * 1.25}s", "p95": f"{LEAD_S * 1.4}s"}
    timing = {"ttft": ttft, "gap": f"{1000 / rate:.9g}ms"}
    return {"timing": timing, "chunks": {"role_first": False}, "log_requests": 0}


def _in_turn(repeat: int) -> list[str]:
    """Each repeat begins with another reader."""
    names = [
        name for name, (_, needs) in READERS.items() if all(map(importlib.util.find_spec, needs))
    ]
    start = repeat % len(names)
    return names[start:] + names[:start]


def _one(name: str, num_streams: int, port: int, flags: argparse.Namespace) -> Run:
    job = {
        "host": "127.0.0.1", "port": port, "num_streams": num_streams,
        "num_tok": max(1, round(flags.rate * flags.seconds)), "lead_s": LEAD_S,
    }  # fmt: skip
    run: Run = {"reader": name, "num_streams": num_streams}
    command = [sys.executable, "-m", "benchmarks.readers", name, json.dumps(job)]
    try:
        limit_s = 60 + 5 * flags.seconds
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=limit_s
        )  # fmt: skip
        run |= json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        run["failed"] = error.stderr.strip().splitlines()[-1]
    except subprocess.TimeoutExpired:
        run["failed"] = f"not done after {limit_s:.0f} s"
    cost = run.get("failed") or f"{run['cpu_us_per_chunk']:.1f} us/chunk"
    print(f"{num_streams:>5} streams  {name:<18} {cost}", file=sys.stderr, flush=True)
    return run


def _table(runs: list[Run], levels: list[int]) -> str:
    lines = [
        "| streams | reader | us CPU/chunk | x epoll | kept | error p50 / p99 ms | chunks/read |"
        " endpoint late p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for num_streams in levels:
        at_level = [r for r in runs if r["num_streams"] == num_streams and "failed" not in r]
        floor = _median([r for r in at_level if r["reader"] == FLOOR], "cpu_us_per_chunk")
        for name, (title, _) in READERS.items():
            mine = [run for run in at_level if run["reader"] == name]
            if not mine:
                lines.append(f"| {num_streams} | {title} | not run | | | | | |")
                continue
            cpu = [run["cpu_us_per_chunk"] for run in mine]
            lines.append(
                f"| {num_streams} | {title} | {min(cpu):.1f}-{max(cpu):.1f} |"
                f" {statistics.median(cpu) / floor:.2f} | {100 * _median(mine, 'kept_ratio'):.0f} %"
                f" | {_median(mine, 'error_p50_ms'):.3f} / {_median(mine, 'error_p99_ms'):.3f}"
                f" | {_median(mine, 'chunks_per_read'):.2f}"
                f" | {_median(mine, 'server_late_p99_ms'):.1f} |"
            )
    return "\n".join(lines)


def _median(runs: list[Run], key: str) -> float:
    return statistics.median(run[key] for run in runs) if runs else float("nan")


def _footer(machine: dict[str, Any], flags: argparse.Namespace) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    busy = machine["load_average_before"]
    return (
        f"\n{machine['date']}; {machine['num_cpus']} CPUs, {machine['cpu']}; Python"
        f" {machine['python']}; {versions}\n"
        f"{flags.rate:g} tokens/s a stream for {flags.seconds:g} s, {flags.repeats} turns each;"
        " CPU is the range over turns, other columns their medians.\n"
        f"Endpoint and reader share this machine; load average {busy:.1f} before (above 0.5: others"
        " are at work, trust ratios and not digits)."
    )


if __name__ == "__main__":
    sys.exit(main())

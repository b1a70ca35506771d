"""Results as Markdown: a table a group, what a step is made of, the features, the machine."""

from __future__ import annotations

from typing import Any

from . import tables
from .results import Results

SMOL = "SmolLM2-135M"
# group: (title, model, ours, theirs)
GROUPS = {
    "tiny": ("tiny (3.5 M parameters), float32, as libraries", "tiny", "ours", "transformers"),
    "smollm2": (f"{SMOL}, float32, as libraries", "smollm2", "ours", "transformers"),
    "f32": (f"{SMOL}, float32, as servers", "smollm2", "our server", "llama.cpp F32"),
    "bf16": (f"{SMOL}, bfloat16, as servers", "smollm2", "our server", "llama.cpp BF16"),
}
STEP_PARTS = (
    "step", "scheduler", "build", "forward", "sample", "rest of step", "detokenise", "word", "send",
)  # fmt: skip


def render(results: Results, missing: list[str], reasons: dict[str, str]) -> str:
    """missing: parts asked for and not measured.  reasons: why a group cannot run here."""
    found = results.parts
    shown = []
    for group, (title, _, ours, theirs) in GROUPS.items():
        points = [part["found"] for name, part in found.items() if name.split()[0] == group]
        rows = sorted(
            (row for point in points for row in point),
            key=lambda row: (row["workload"], row["level"]),
        )
        shown.append(tables.comparison(rows, ours, theirs, title))
        if group in reasons:
            shown.append(f"### {title}\n\nNot run: {reasons[group]}.\n")
    for name, part in found.items():
        kind, _, model = name.partition(" of ")
        if kind in PARTS:
            shown.append(PARTS[kind](model, part["found"]))
    if missing:
        shown.append(f"Not measured, the time was up: {', '.join(missing)}.\n")
    return "\n".join([part for part in shown if part] + [_machine(results)])


def _ceiling(model: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        [r["level"], f"{r['step_ms']:.1f}", f"{r['products_ms']:.1f}",
         f"{r['products_ms'] / r['step_ms']:.0%}", f"{r['mkl_products_ms']:.1f}",
         f"{r['row_major_products_ms']:.1f}"]
        for r in rows
    ]  # fmt: skip
    columns = (
        "requests", "decode step, ms", "its matrix products alone, ms", "share",
        "by MKL alone, ms", "rows as checkpoints have them, ms",
    )  # fmt: skip
    return tables.plain(f"What of a step is matrix products ({model}, float32)", columns, lines)


def _steps(model: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        [r["level"], kind, *(f"{r[key].get(c, 0):,.0f}" for c in STEP_PARTS)]
        for r in rows
        for key, kind in (("cpu_us", "CPU"), ("us", "wall"))
    ]
    title = f"Where a step of {model} goes, us, in the running server"
    return tables.plain(title, ["requests", "time", *STEP_PARTS], lines)


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


PARTS = {"ceiling": _ceiling, "steps": _steps, "features": _features}


def _machine(results: Results) -> str:
    m, parts = results.machine, results.parts.values()
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    hours = sorted(part["at"] for part in parts) or [m["date"]]
    loads = [part["load_average_before"] for part in parts] or [m["load_average_before"]]
    return (
        f"{hours[0]} to {hours[-1]} UTC; {m['num_cpus']} CPUs, {m['cpu']}; Python {m['python']}; "
        f"{versions}; load average before a part {min(loads):.1f} to {max(loads):.1f}; "
        f"{results.wall_s:.0f} s in all"
    )

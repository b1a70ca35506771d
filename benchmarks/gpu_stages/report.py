"""Points as a page: the bars first, met or not, then every table; and all of it as one JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.engines.tables import plain
from benchmarks.gpu_stages.base import Point, read_points

Points = dict[str, list[Point]]  # by stage


class Bar(NamedTuple):
    """One thing that was asked. is_met None: not measured."""

    asked: str
    seen: str
    is_met: bool | None


def write(folder: Path, head: dict[str, Any]) -> tuple[Path, Path]:
    """results.json and results.md, from whatever stages have left so far."""
    points: Points = {f.stem: read_points(f) for f in sorted(folder.glob("*.jsonl"))}
    found = told_bars(head, points)
    told = {"about": head, "bars": [bar._asdict() for bar in found], "stages": points}
    as_json, as_page = folder / "results.json", folder / "results.md"
    for file, text in (
        (as_json, json.dumps(told, indent=1) + "\n"),
        (as_page, page(head, points)),
    ):
        part = file.with_suffix(file.suffix + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    return as_json, as_page


def restore(folder: Path, head: dict[str, Any]) -> str:
    """Make of results.json the points of stages that have no file, and take over how long stages
    took. What they were measured on, where that is not here and now; empty where it is."""
    file = folder / "results.json"
    if not file.is_file():
        return ""
    told = json.loads(file.read_text(encoding="utf-8"))
    before = told["about"]
    if before.get("is_rehearsal") != head["is_rehearsal"]:
        return "a rehearsal" if before.get("is_rehearsal") else "a GPU, not of a rehearsal"
    for name in ("gpu", "torch", "triton"):
        if before["about"].get(name) != head["about"].get(name):
            return f"{name} {before['about'].get(name)}, not {head['about'].get(name)}"
    head["took_s"] = before.get("took_s", {}) | head.get("took_s", {})
    for stage, points in told["stages"].items():
        lines = folder / f"{stage}.jsonl"
        if not lines.exists():
            lines.write_text("".join(json.dumps(p) + "\n" for p in points), encoding="utf-8")
    return ""


def bars(points: Points) -> list[Bar]:
    """What issue and design ask of an H200, held against the points."""
    decode = {p["key"]: p for p in points.get("decode-8b", ())}
    long_prompts = [p for p in points.get("prefill-8b", ()) if p["key"].startswith("S=")]
    rival = {p["key"]: p for p in points.get("transformers-8b", ())}
    one = _of(decode.get("B=1 C=1024"), "roofline_ratio")
    many = [_of(decode.get(f"B={b} C=1024"), "roofline_ratio") for b in (32, 64, 128)]
    prefill = [r for p in long_prompts if (r := p.get("matmul_ratio")) is not None]
    idle = [_of(decode.get(f"B={b} C=1024"), "idle_ratio") for b in (1, 32)]
    ours, theirs = (_of(rival.get(who), "tok_per_s") for who in ("ours", "transformers"))
    return [
        _least("8B decode at batch 1, 1K: >= 80 % of the roofline", [one], 0.80),
        _least("8B decode at batch 32-128, 1K: >= 75 % of the roofline", many, 0.75),
        _least(
            "8B prefill, best length: >= 60 % of the matmul rate", [max(prefill, default=None)], 0.6
        ),
        _most("GPU idle in steady decode: < 3 %", idle, 0.03),
        _times("tokens/s over transformers' best mode: >= 3x", ours, theirs, 3.0),
        _ttft(points),
        _correct(points),
    ]


def told_bars(head: dict[str, Any], points: Points) -> list[Bar]:
    """The same, all open in a rehearsal: toy sizes meet and miss nothing."""
    found = bars(points)
    return [bar._replace(is_met=None) for bar in found] if head.get("is_rehearsal") else found


def _of(point: Point | None, name: str) -> float | None:
    return point.get(name) if point is not None else None


def _least(asked: str, values: Sequence[float | None], limit: float) -> Bar:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return Bar(asked, _percents(known) or "not measured", None)
    return Bar(asked, _percents(known), min(known) >= limit)


def _most(asked: str, values: Sequence[float | None], limit: float) -> Bar:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return Bar(asked, _percents(known) or "not measured", None)
    return Bar(asked, _percents(known), max(known) < limit)


def _percents(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * v:.1f} %" for v in values)


def _times(asked: str, ours: float | None, theirs: float | None, limit: float) -> Bar:
    if ours is None or theirs is None:
        return Bar(asked, "not measured", None)
    return Bar(
        asked, f"{ours / theirs:.2f}x ({ours:,.0f} against {theirs:,.0f})", ours / theirs >= limit
    )


def _ttft(points: Points) -> Bar:
    asked = "TTFT p99 of 1K-token prompts at 70 % of capacity: < 100 ms"
    point = next((p for p in points.get("serve-8b", ()) if p["key"] == "70 % of capacity"), None)
    seen = _of(point, "ttft_p99_s")
    if seen is None:
        why = point.get("absent") if point is not None else ""
        return Bar(asked, f"not measured: {why}" if why else "not measured", None)
    if point is not None and point.get("validity", "pass") != "pass":
        return Bar(asked, f"{1e3 * seen:.1f} ms, but the point is {point['validity']}", None)
    return Bar(asked, f"{1e3 * seen:.1f} ms", seen < 0.1)


def _correct(points: Points) -> Bar:
    checks = [*points.get("correctness", ()), *points.get("correctness-wide", ())]
    failed = [p["key"] for p in checks if not p.get("ok")]
    seen = f"{len(checks) - len(failed)} of {len(checks)}"
    if failed:
        seen += "; not: " + "; ".join(failed[:5])
    return Bar(
        "every kernel equals torch, the engine its CPU self", seen, not failed if checks else None
    )


def page(head: dict[str, Any], points: Points) -> str:
    """Markdown."""
    lines = ["# The engine on a GPU", ""]
    if head.get("is_rehearsal"):
        lines += [
            "**A rehearsal on a CPU at toy sizes: it shows that every stage runs, and nothing of "
            "speed. Figures of a GPU are still open.**",
            "",
        ]
    lines += [
        f"`{head['command']}`",
        "",
        ", ".join(f"{k} {v}" for k, v in head["about"].items()),
        "",
    ]
    marks = {True: "met", False: "**not met**", None: "open"}
    rows = [(bar.asked, bar.seen, marks[bar.is_met]) for bar in told_bars(head, points)]
    gpu = head["about"].get("gpu", "none")
    lines.append(
        plain(f"Bars, asked of an H200 and held against: {gpu}", ("asked", "seen", ""), rows)
    )
    if "H200" not in gpu and not head.get("is_rehearsal"):
        lines += [
            f"**This is no H200.** Shares refer to what this card ({gpu}) itself copies and "
            "multiplies; the limit of TTFT was asked of the faster card.",
            "",
        ]
    skipped = [(s["stage"], s["why"]) for s in head.get("not_run", ())]
    if skipped:
        lines.append(plain("Not run", ("stage", "why"), skipped))
    if head.get("took_s"):
        rows = [(stage, f"{took_s:.0f}") for stage, took_s in head["took_s"].items()]
        lines.append(plain("Time of each stage, its start included", ("stage", "s"), rows))
    for stage, found in points.items():
        for title, columns, table in _tables(stage, found):
            lines.append(plain(title, columns, table))
    return "\n".join(lines).rstrip() + "\n"


def _tables(stage: str, points: list[Point]) -> list[tuple[str, list[str], list[list[str]]]]:
    """One for each set of columns of a stage, lists of rows (kernels, rates) apart."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    nested = []
    for point in points:
        for name, value in point.items():
            if isinstance(value, list) and value:
                title = f"{stage}: {name}, {point['key']}"
                rows = [[_text(v) for v in row.values()] for row in value]
                nested.append((title, [*value[0]], rows))
        columns = tuple(n for n, v in point.items() if not isinstance(v, list))
        tables.setdefault(columns, []).append([_text(point[c]) for c in columns])
    return [(stage, [*columns], rows) for columns, rows in tables.items()] + nested


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)

"""Rows of outcomes as Markdown: tokens a second, ours over theirs, and what a core-second buys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

Row = dict[str, Any]


def rates(row: Row) -> list[float]:
    """Tokens/s of each turn: generated ones in decode-heavy points, prompt tokens in the others."""
    key = "num_out" if row["workload"] == "decode" else "num_in"
    return [turn[key] / turn["wall_s"] for turn in row["turns"]]


def rate_per_cpu_s(row: Row) -> float:
    key = "num_out" if row["workload"] == "decode" else "num_in"
    return median(turn[key] / max(turn["cpu_s"], 1e-9) for turn in row["turns"])


def comparison(rows: Iterable[Row], ours: str, theirs: str, title: str) -> str:
    """Both engines' rows point by point; empty where one of them did not run."""
    table: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        table.setdefault((row["workload"], row["level"]), {})[row["engine"]] = row
    lines = []
    for (workload, level), found in table.items():
        if ours not in found or theirs not in found:
            continue
        a, b = found[ours], found[theirs]
        wall = median(rates(a)) / median(rates(b))
        cpu = rate_per_cpu_s(a) / rate_per_cpu_s(b)
        sizes = f"{a['sizes'][0]} in, {a['sizes'][1]} out"
        lines.append(
            f"| {workload}-heavy, {sizes} | {level} | {_range(rates(a))} | {_range(rates(b))} "
            f"| **{wall:.2f}** | {cpu:.2f} |"
        )
    if not lines:
        return ""
    head = (
        f"### {title}\n\n"
        f"| workload | requests at once | {ours} tok/s | {theirs} tok/s | ours / theirs "
        f"| per CPU-second |\n| --- | --- | --- | --- | --- | --- |"
    )
    return "\n".join([head, *lines, ""])


def plain(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = f"### {title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"
    return "\n".join([head, *(f"| {' | '.join(map(str, row))} |" for row in rows), ""])


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:,.0f}" if len(values) == 1 else f"{median(values):,.0f} ({low:,.0f}-{high:,.0f})"

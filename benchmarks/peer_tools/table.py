"""The rows of a comparison as Markdown, one table a level."""

from __future__ import annotations

from typing import Any

HEAD = (
    "| tool | requests | CPU s | CPU ms/request | TTFT error p50 / p99 ms |"
    " gap error mean / p50 / p99 ms | chunk gap error mean / p50 / p99 ms |"
    " true TTFT p50 / p99 ms | wall s | remark |"
)
RULE = "| --- " * (HEAD.count("|") - 1) + "|"
MARK = "*"
FURTHER = 1000  # requests from one level to another that outweigh what a start costs by chance
FOOTNOTE = (
    f"`{MARK}` the tool withholds this p99 (too few requests); taken from the rows it exports.\n"
    "Error = reported - true. n/r: not reported by the tool."
)


def tables(rows: list[dict[str, Any]]) -> str:
    """rows: as peers.py makes them, in the order they ran."""
    levels = sorted({row["num_streams"] for row in rows})
    parts = []
    for level in levels:
        lines = [_line(row) for row in rows if row["num_streams"] == level]
        parts.append("\n".join([f"**{level} concurrent streams**", "", HEAD, RULE, *lines]))
    return "\n\n".join([*parts, *_slopes(rows), FOOTNOTE])


def _slopes(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence a tool with levels far apart: CPU a request without what starting it costs."""
    said = []
    for tool in dict.fromkeys(row["tool"] for row in rows):
        mine = [row for row in rows if row["tool"] == tool and "failed" not in row]
        mine.sort(key=lambda row: row["num_served"])
        if len(mine) > 1 and mine[0]["num_served"] + FURTHER <= mine[-1]["num_served"]:
            few, many = mine[0], mine[-1]
            slope_s = (many["cpu_s"] - few["cpu_s"]) / (many["num_served"] - few["num_served"])
            said.append(
                f"- {tool}: {1e3 * slope_s:.1f} ms CPU for each further request (from"
                f" {few['num_served']} to {many['num_served']} requests, so without its start)"
            )
    return ["\n".join(said)] if said else []


def _line(row: dict[str, Any]) -> str:
    wall = f"{row['wall_s']:.1f}" if "wall_s" in row else ""
    if "failed" in row:
        cpu = f"{row['cpu_s']:.1f}" if "cpu_s" in row else ""
        return f"| {row['tool']} | - | {cpu} | - | - | - | - | - | {wall} | {row['failed']} |"
    true = row["true"]["ttft_s"]
    cells = [
        row["tool"],
        _requests(row),
        f"{row['cpu_s']:.1f}",
        f"{1e3 * row['cpu_s'] / row['num_served']:.1f}" if row["num_served"] else "-",
        _errors(row, "ttft_s", ("p50", "p99")),
        _errors(row, "gap_s", ("mean", "p50", "p99")),
        _errors(row, "chunk_gap_s", ("mean", "p50", "p99")),
        " / ".join(f"{1e3 * true[stat]:.2f}" for stat in ("p50", "p99") if stat in true),
        wall,
        row["remark"],
    ]
    return "| " + " | ".join(cells) + " |"


def _requests(row: dict[str, Any]) -> str:
    """Measured, and in brackets all the endpoint served where that is more."""
    served = "" if row["num_served"] == row["num_requests"] else f" ({row['num_served']} served)"
    return f"{row['num_requests']}{served}"


def _errors(row: dict[str, Any], name: str, stats: tuple[str, ...]) -> str:
    errors = row["error_ms"][name]
    if not errors:
        return "n/r"
    return " / ".join(
        f"{errors[stat]:+.3f}" + (MARK if f"{name}.{stat}" in row["computed"] else "")
        if stat in errors
        else "n/r"
        for stat in stats
    )

"""What every tool is asked to do, what is read from its export, and the contract of a driver.

A driver is a module: TITLE, RELEASE (what pip installs; None for ours), `command(job, venv)`,
`environment()` and `read(folder)`. It never imports the tool it drives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Stat = Literal["mean", "p50", "p99"]
Stats = dict[Stat, float]


@dataclass(frozen=True, slots=True)
class Job:
    """url: up to /v1. tokenizer: a local folder that counts one token a chunk.

    num_streams: kept open at a time. num_tok: of each answer. folder: empty, the tool's directory.
    """

    url: str
    tokenizer: Path
    num_streams: int
    num_requests: int
    num_tok: int
    limit_s: float
    folder: Path

    @property
    def base_url(self) -> str:
        return self.url.removesuffix("/v1")


@dataclass(frozen=True, slots=True)
class Reported:
    """What a tool's export says of its measured requests. A statistic it lacks is left out.

    ttft_s: time to first token. gap_s: over requests, each one's mean gap between tokens.
    chunk_gap_s: over all gaps between chunks. computed: names such as `ttft_s.p99` which the tool
    withheld and we took from its rows. requests: how the endpoint's log knows the measured
    requests: by X-Request-Id, by ordinal, or None where the export has no ids (all that ended).
    remark: what the tool itself says against the result.
    """

    num_requests: int
    ttft_s: Stats
    gap_s: Stats
    chunk_gap_s: Stats = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    requests: frozenset[str] | frozenset[int] | None = None
    remark: str = ""


class Driver(Protocol):
    """A module of this folder, seen as an object."""

    TITLE: str
    RELEASE: str | None
    command: Callable[[Job, Path], list[str]]
    environment: Callable[[], dict[str, str]]
    read: Callable[[Path], Reported]


def stats_of(
    row: dict[str, float | None] | None, names: dict[Stat, str], unit_s: float = 1.0
) -> Stats:
    """names: statistic -> key of the row; None values and missing keys are left out."""
    found = {stat: (row or {}).get(key) for stat, key in names.items()}
    return {stat: value * unit_s for stat, value in found.items() if value is not None}

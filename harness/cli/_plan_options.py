"""Options that the verbs of `harness plan` share: what the twin is asked, and where a plan goes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class TwinWishes:
    """What the command line asks of a calibrated twin. traffic: a scenario, None: none was named.
    slo: replaces limits by name.  max_batch, step_tok, kv_tok: of a replica, None: as the endpoint
    told, or as the sweep shows."""

    traffic: str | None = None
    slo: tuple[str, ...] = ()
    max_batch: int | None = None
    step_tok: int | None = None
    kv_tok: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PlanOutput:
    """csv: the table goes there too (`-`: stdout).  out: folder of runs, None: the usual one."""

    csv: Path | None
    has_report: bool
    out: Path | None


def twin_options(function: F) -> F:
    """--traffic, --slo, the replica's limits and --seed, gathered into one argument `twin`."""

    @functools.wraps(function)
    def wrapper(
        *args: Any, traffic: str | None, slo: tuple[str, ...], max_batch: int | None,
        step_tokens: int | None, kv_tokens: int | None, seed: int, **kwargs: Any,
    ) -> Any:  # fmt: skip
        wishes = TwinWishes(traffic, slo, max_batch, step_tokens, kv_tokens, seed)
        return function(*args, twin=wishes, **kwargs)

    for option in (
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
                     help="Of the simulated traffic."),
        click.option("--kv-tokens", type=click.IntRange(1), help="Tokens the KV cache holds."),
        click.option("--step-tokens", type=click.IntRange(1), help="Tokens a step holds at most."),
        click.option("--max-batch", type=click.IntRange(1),
                     help="Requests a replica runs at once."),
        click.option("--slo", multiple=True, metavar="NAME=VALUE",
                     help="Replace a limit: ttft=1s, tpot=100ms, e2e_latency=10s,"
                     " attainment=99%."),
        click.option("--traffic", metavar="SCENARIO",
                     help="Whose lengths and limits the requests have; nothing of it is sent."
                     "  [default: sweep; of a trace the lengths are its own]"),
    ):  # fmt: skip
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


def output_options(function: F) -> F:
    """--csv, --no-report and -o, gathered into one argument `output`."""

    @functools.wraps(function)
    def wrapper(
        *args: Any, csv_path: Path | None, no_report: bool, out: Path | None, **kwargs: Any
    ) -> Any:
        if str(csv_path) == "-" and kwargs.get("as_json"):
            raise click.UsageError("with --json stdout is one JSON document; send --csv to a file")
        return function(*args, output=PlanOutput(csv_path, not no_report, out), **kwargs)

    for option in (
        click.option("-o", "--out", type=click.Path(path_type=Path),
                     help="Folder of runs ($HARNESS_OUT)."),
        click.option("--no-report", is_flag=True, help="Leave the run's reports as they are."),
        click.option("--csv", "csv_path", type=click.Path(path_type=Path),
                     help="Write the table there too; - is stdout."),
    ):  # fmt: skip
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


def write_csv(path: Path, text: str) -> None:
    """The table to a file, or to stdout for `-`."""
    from harness.cli._options import echo
    from harness.records import write_bytes

    if str(path) == "-":
        echo(text.rstrip("\n"))
    else:
        write_bytes(path, text.encode())

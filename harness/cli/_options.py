"""Options every verb has, and how a verb speaks: stdout carries the result, stderr the rest."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from harness.errors import HarnessError
from harness.notices import Notice

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Voice:
    """How loud and where to. level: -1 quiet, 0 normal, 1 verbose."""

    level: int
    as_json: bool
    color: Literal["auto", "always", "never"]
    progress: Literal["auto", "bar", "plain", "none"]

    @property
    def is_colored(self) -> bool:
        if self.color == "auto":
            return sys.stderr.isatty() and "NO_COLOR" not in os.environ
        return self.color == "always"

    def say(self, text: str) -> None:
        """A line for people, on stderr; silent with -q."""
        if self.level >= 0:
            mutter(text)

    def error(self, error: HarnessError) -> None:
        """An error that ends nothing, on stderr; said with -q too."""
        mutter(error.render())

    def notices(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            if self.level >= 0 or notice.severity == "invalid":
                mutter(f"{notice.severity}: {notice.sentence}")

    def result(self, text: str, data: Any, output: Path | None = None) -> None:
        """The verb's answer: one JSON document with --json, else text; `-o` sends it to a file."""
        body = json.dumps(data, indent=2, ensure_ascii=False) if self.as_json else text
        if output is None or str(output) == "-":
            echo(body)
        else:
            from harness.records import write_bytes  # slow, and rarely asked for

            write_bytes(output, (body + "\n").encode())


def echo(text: str) -> None:
    """A line on stdout; a reader that left early (`| head`) changes no exit code."""
    try:
        click.echo(text)
    except BrokenPipeError:
        drop_stdout()


def mutter(text: str) -> None:
    """A line on stderr. Where that cannot be written (a full disk, a terminal that went) nothing
    else is harmed: no measurement ends and no exit code changes for it. What an endpoint said may
    be part of it: it gets no control over the terminal."""
    with suppress(OSError):
        click.echo(without_control(text), err=True)


def without_control(text: str) -> str:
    """The text, lines and tabs kept, less what a terminal would obey."""
    return _CONTROL.sub("\ufffd", text)


def drop_stdout() -> None:
    """Nobody reads stdout any more: what follows goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def out_root(out: Path | None = None) -> Path:
    """The folder of runs: as asked, else $HARNESS_OUT, else ./runs."""
    return out or Path(os.environ.get("HARNESS_OUT") or "runs")


def default_workers(asked: int | None) -> int:
    """Load processes: as asked, else one a core with one core left free."""
    return asked or max(1, (os.cpu_count() or 2) - 1)


_JSON = click.option("--json", "as_json", is_flag=True, help="stdout is one JSON document.")


def voice_options(function: F, *, json_option: Callable[..., Any] = _JSON) -> F:
    """-q, -v, --json, --color, --progress, --debug, gathered into one argument `voice`.

    json_option: a verb's own --json, which may pass its value on under another name.
    """
    import functools

    @functools.wraps(function)
    def wrapper(
        *args: Any, quiet: bool, verbose: bool, color: Any, progress: Any, debug: bool,
        as_json: bool = False, **kwargs: Any,
    ) -> Any:  # fmt: skip
        level = -1 if quiet else 1 if verbose else 0
        return function(*args, voice=Voice(level, as_json, color, progress), **kwargs)

    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        click.option(
            "--progress", type=click.Choice(["auto", "bar", "plain", "none"]), default="auto",
            help="Live display; auto is a bar on a terminal, else a line every 10 s.",
        ),
        click.option(
            "--color", type=click.Choice(["auto", "always", "never"]), default="auto",
            help="Colour; auto honours NO_COLOR.",
        ),
        json_option,
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on stderr."),
    ):  # fmt: skip
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


set_option = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE",
    help="Override one value of the scenario; repeatable: --set load.rate=8/s.",
)  # fmt: skip

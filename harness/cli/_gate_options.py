"""The flags of a gate, the same for the verbs that judge one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def gate_options(function: F) -> F:
    """--baseline, --save-baseline and --on-inconclusive, gathered into `gate_flags`."""
    import functools

    @functools.wraps(function)
    def wrapper(
        *args: Any, baseline: str | None, save_baseline: str | None, on_inconclusive: str | None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        flags = {
            "baseline": baseline, "save_baseline": save_baseline,
            "on_inconclusive": on_inconclusive,
        }  # fmt: skip
        return function(*args, gate_flags=flags, **kwargs)

    for option in (
        click.option(
            "--on-inconclusive", type=click.Choice(["pass", "fail"]),
            help="Exit 0 or 1 for an open question instead of 3; its verdict stays.",
        ),
        click.option(
            "--save-baseline", metavar="NAME",
            help="Keep the candidate's runs as one more session of this baseline.",
        ),
        click.option(
            "--baseline", metavar="NAME_OR_RUN",
            help="Judge against this stored baseline or earlier run instead of the gate's own.",
        ),
    ):  # fmt: skip
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]

"""The named flags that change a scenario; the same for every verb that loads one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def target_options(function: F) -> F:
    """--url, --model, --api-key-env and --seed, passed on as `flags` for load_scenario."""
    import functools

    @functools.wraps(function)
    def wrapper(
        *args: Any, url: str | None, model: str | None, api_key_env: str | None, seed: int | None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        flags = {"url": url, "model": model, "api_key_env": api_key_env, "seed": seed}
        return function(*args, flags=flags, **kwargs)

    for option in (
        click.option("--seed", type=click.IntRange(min=0), help="Replace the scenario's seed."),
        click.option("--api-key-env", metavar="NAME", help="Variable that holds the API key."),
        click.option("-m", "--model", help="Model id of the only target."),
        click.option("-u", "--url", help="Base URL of the only target (up to /v1)."),
    ):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]

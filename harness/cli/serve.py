"""`harness serve`: starts an endpoint to aim at, and prints its one ready line."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli._children import serve_until_interrupt, start_reference, start_scripted
from harness.cli._options import Voice, voice_options


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--model", default="tiny", show_default=True, help="tiny, a shape or a directory.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True,
    help="0 picks a free port.",
)  # fmt: skip
@click.option("--scripted", metavar="SCRIPT", help="Serve this script instead of a model.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
@voice_options
def command(
    model: str, port: int, scripted: str | None, flags: tuple[str, ...], voice: Voice
) -> int:
    """Start the reference engine, or with --scripted an endpoint with known timings.

    Prints one line, `ready http://127.0.0.1:PORT/v1`, then serves until Ctrl-C. FLAGS after `--`
    go to the engine as they are: `harness serve -- --max-num-seqs 16`.
    """
    child = (
        start_scripted(Path(scripted), port)
        if scripted
        else start_reference(model, _as_mapping(flags), port)
    )

    def tell() -> None:
        voice.result(f"ready {child.base_url}", {"base_url": child.base_url})
        voice.say("serving until Ctrl-C")

    with child:
        return serve_until_interrupt(child, tell)


def _as_mapping(flags: tuple[str, ...]) -> dict[str, str | bool]:
    """`--a 1 --b` -> {a: 1, b: true}."""
    found: dict[str, str | bool] = {}
    name = ""
    for word in flags:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value or True
        elif name:
            found[name] = word
        else:
            raise click.UsageError(f"'{word}' is not a flag of the engine; flags start with --")
    return found

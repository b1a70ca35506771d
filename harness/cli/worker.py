"""`harness worker`: this host's cores for a run that another host drives."""

from __future__ import annotations

import click

from harness.cli._options import Voice, default_workers, mutter, voice_options
from harness.errors import ExitCode, strongest


@click.command()
@click.option(
    "--master", required=True, metavar="HOST:PORT",
    help="Where `harness run --remote-workers` waits; it prints this command.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Load processes (cores but one).")
@voice_options
def command(master: str, workers: int | None, voice: Voice) -> int:
    """Send a share of the load of a run on another host, until that run is over.

    \b
      export HARNESS_TOKEN=...            the same as on the master's host
      harness worker --master 10.0.0.5:5557 --workers 2

    The scenario and its files come from the master; API keys do not: export them here as well. Exit
    code 0 when the run is over, 2 when this host was refused, 4 when it could not be trusted.
    """
    from harness.load import RemoteWorkers

    count = default_workers(workers)
    with RemoteWorkers(master, count) as remote:
        voice.say(f"{count} load worker{'s' * (count > 1)} for {master}")
        errors = remote.serve(voice.say)
    for text in dict.fromkeys(error.render() for error in errors):
        mutter(text)
    return int(strongest([error.exit_code for error in errors])) if errors else int(ExitCode.OK)

"""`harness doctor`: what this machine and this client can measure, before a target is blamed."""

from __future__ import annotations

from functools import partial

import click

from harness.cli._options import Voice, voice_options

_json_option = click.option(
    "--json", "json_file", is_flag=False, flag_value="-", metavar="FILE",
    help="Write everything to FILE as one JSON document; alone, or with -, to stdout.",
)  # fmt: skip


@click.command()
@click.argument("url", required=False)
@click.option("-m", "--model", default="auto", help="Model id at URL; its first when left out.")
@click.option("--api-key-env", metavar="NAME", help="Variable that holds URL's API key.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests/s to check.")
@click.option("--streams", type=click.IntRange(min=1), help="Answers at a time to check.")
@click.option(
    "--tokens-per-s", type=click.FloatRange(min=0, min_open=True), default=50.0, show_default=True,
    help="Speed of each stream, a chunk a token.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(min=0.5), default=5.0, show_default=True,
    help="Measured time, shared by the loads.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Load processes (cores but one).")
@partial(voice_options, json_option=_json_option)
def command(
    url: str | None, model: str, api_key_env: str | None, rate: float | None, streams: int | None,
    tokens_per_s: float, seconds: float, workers: int | None, json_file: str | None, voice: Voice,
) -> int:  # fmt: skip
    """Check this machine, the endpoint at URL, and the load generator's own timing error.

    The client is put under load against the scripted endpoint, which knows when it sent each chunk:
    rising loads of 64, 256 and 1,024 streams, or with --rate or --streams the load you mean to use
    and one of which that is 60 %. Nothing but a handful of tiny requests goes to URL.

    \b
      harness doctor
      harness doctor http://localhost:8000/v1 --streams 200
    """
    if json_file and "://" in json_file:
        raise click.UsageError("--json takes a FILE; write URL first: harness doctor URL --json")
    from harness.cli import _doctor  # slow: after the flags were checked
    from harness.cli._client_loads import asked_loads

    machine = _doctor.read_machine()
    target = _doctor.examine(url, model, api_key_env) if url else None
    loads = asked_loads(streams, rate, tokens_per_s)
    check = _doctor.check(loads, seconds, workers, machine, voice)
    diagnosis = _doctor.Diagnosis(machine, target, check)
    _doctor.tell(diagnosis, json_file, voice)
    return int(diagnosis.exit_code)

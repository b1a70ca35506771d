"""`harness run`: measure, judge, report."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from harness.cli._gate_options import gate_options
from harness.cli._options import Voice, set_option, voice_options


@click.command()
@click.argument("scenario", required=False)
@click.option("-u", "--url", help="Aim at this OpenAI-compatible endpoint (up to /v1).")
@click.option("-m", "--model", help="Model id; the endpoint's first when left out.")
@click.option("--api-key-env", metavar="NAME", help="Variable that holds the API key.")
@click.option("--seed", type=click.IntRange(min=0), help="Replace the scenario's seed.")
@click.option("--workers", type=click.IntRange(min=1), help="Load processes (cores but one).")
@click.option(
    "--remote-workers", type=click.IntRange(min=1), metavar="M",
    help="Wait for M load processes of other hosts; local ones then only with --workers.",
)  # fmt: skip
@click.option(
    "--bind", default="127.0.0.1", show_default=True, metavar="ADDR[:PORT]",
    help="Where they reach this host; a free port by default. Needs HARNESS_TOKEN.",
)  # fmt: skip
@click.option(
    "--check-client/--no-check-client", "checks_client", default=None,
    help="Measure this client's own error first; by default from 5,000 chunks/s, 200 requests/s or"
    " 128 users on.",
)  # fmt: skip
@click.option("--resume", metavar="RUN", help="Measure the points that RUN still misses.")
@gate_options
@click.option("--no-report", is_flag=True, help="Records and summary only.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of runs ($HARNESS_OUT).")
@set_option
@voice_options
def command(
    scenario: str | None, url: str | None, model: str | None, api_key_env: str | None,
    seed: int | None, workers: int | None, remote_workers: int | None, bind: str,
    checks_client: bool | None, resume: str | None, no_report: bool, out: Path | None,
    overrides: tuple[str, ...], gate_flags: dict[str, Any], voice: Voice,
) -> int:  # fmt: skip
    """Run SCENARIO: a file, or a name from the library such as `quickstart`.

    \b
      harness run quickstart --url http://localhost:8000/v1 --model my-model
      harness run sweep --set load.rate=4/s
      harness run --resume latest
    """
    if not scenario and not resume:
        raise click.UsageError("name a SCENARIO (try: harness run quickstart) or give --resume RUN")
    if resume and (scenario or url or model or overrides or seed is not None):
        raise click.UsageError("--resume repeats the stored scenario; give it alone")
    from harness.cli import _job, _run  # slow: after the flags were checked

    wishes = _job.GateWishes(**gate_flags)
    team = _job.Team.of(workers, remote_workers, bind)
    with ExitStack() as stack:
        job = (
            _job.resumed_job(resume, out)
            if resume
            else _job.new_job(
                scenario or "", overrides, url=url, model=model, api_key_env=api_key_env,
                seed=seed, out=out,
            )
        )  # fmt: skip
        job = _job.gated_job(job, wishes, voice)
        voice.notices(job.notices)
        endpoints = _run.open_endpoints(job, stack, voice)
        run = _run.measure(job, endpoints, team, stack, voice, checks_client)
    return _run.conclude(run, job, not no_report, voice, wishes)

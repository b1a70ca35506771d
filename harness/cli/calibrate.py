"""`harness calibrate`: the gate's own load, the same thing in both arms: what is noise here."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from harness.cli._options import Voice, set_option, voice_options


@click.command()
@click.argument("scenario")
@click.option(
    "--blocks", type=click.IntRange(min=4, max=64), default=20, show_default=True,
    help="A/A blocks; fewer than 20 tell little of the rate of false alarms.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Load processes (cores but one).")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of runs ($HARNESS_OUT).")
@set_option
@voice_options
def command(
    scenario: str, blocks: int, workers: int | None, out: Path | None, overrides: tuple[str, ...],
    voice: Voice,
) -> int:  # fmt: skip
    """Measure SCENARIO's gate with its baseline in both arms, and keep what scatters.

    Prints for each metric how much two runs of the same thing differ, the noise floor below which
    no limit is accepted, order effect, drift, and how often such a gate fails for no reason. It is
    kept in calibrations.jsonl beside the runs; `expand` and `run` use it on this machine for this
    load from then on.
    """
    from harness.cli import _calibrate, _job, _run

    team = _job.Team.of(workers, None, "127.0.0.1")
    with ExitStack() as stack:
        job = _job.new_job(
            scenario, overrides, url=None, model=None, api_key_env=None, seed=None, out=out
        )
        declared = job.loaded.document.gate
        job = _calibrate.aa_job(job, blocks)
        voice.notices(job.notices)
        endpoints = _run.open_endpoints(job, stack, voice)
        run = _run.measure(job, endpoints, team, stack, voice, False)
    return _calibrate.conclude_calibration(run, job, declared.blocks if declared else 8, voice)

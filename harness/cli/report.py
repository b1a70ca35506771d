"""`harness report`: renders runs again from their records; no target is needed."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.cli._options import Voice, voice_options


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--format", "formats", multiple=True,
    type=click.Choice(["html", "markdown", "junit", "json"]),
    help="Repeatable; the scenario's own choice when left out.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Write one format there instead of into the run; - is stdout.",
)  # fmt: skip
@voice_options
def command(
    runs: tuple[str, ...], formats: tuple[str, ...], output: Path | None, voice: Voice
) -> int:
    """Render RUNS again: directories, or `latest`. Works on partial runs."""
    if output is not None and (len(formats) != 1 or len(runs) != 1):
        raise click.UsageError("-o takes one RUN and one --format")
    if voice.as_json and str(output) == "-" and formats != ("json",):
        raise click.UsageError("with --json stdout is one JSON document; send -o to a file")
    from harness.errors import ExitCode, strongest
    from harness.records import Run, RunDirectory
    from harness.scenario import expand, load_resolved
    from harness.scenario.advice import unknown_variables

    root = Path(os.environ.get("HARNESS_OUT") or "runs")
    opened = [Run.open(name, out_root=root) for name in runs]
    voice.notices(unknown_variables(os.environ))
    from harness.cli import _finish  # slow, these two: a wrong name is told before
    from harness.cli._judge import judge

    codes, documents = [], []
    for run in opened:
        run.require_whole()
        document = load_resolved(run.path / "scenario.resolved.yaml").document
        judgement = judge(run, expand(document))
        view = _finish.make_view(run, document, judgement, ())
        codes.append(judgement.exit_code)
        if output is not None:
            _finish.write_one(run, view, judgement, formats[0], output)
            if str(output) != "-":
                documents.append(_finish.result_data(run, view, judgement))
            continue
        chosen = [f for f in (formats or document.output.reports) if f != "json"]
        with _finish.printed_anyway(run, view, judgement, None if voice.as_json else voice):
            _finish.write_reports(run, view, judgement, chosen)
            if run.manifest.status != "running":  # else its writer may be at work on the manifest
                RunDirectory.open(run.path).refresh()
        documents.append(_finish.result_data(run, view, judgement))
    if documents and voice.as_json:
        voice.result("", documents[0] if len(documents) == 1 else documents)
    return int(strongest([ExitCode(code) for code in codes]))

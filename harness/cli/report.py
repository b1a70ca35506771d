"""`harness report`: renders runs again from their records; no target is needed."""

from __future__ import annotations

import os
from typing import Any

import click

from harness.cli._destination import destinations, out_option, require_format
from harness.cli._options import Voice, echo, out_root, voice_options, without_control

FILES = {
    "html": "report.html", "markdown": "summary.md", "junit": "junit.xml", "json": "summary.json",
    "csv": "points.csv",
}  # fmt: skip


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--format", "formats", multiple=True,
    type=click.Choice(list(FILES)),
    help="Repeatable; the scenario's own choice when left out.",
)  # fmt: skip
@out_option("Write there instead of into the run.")
@click.option(
    "--samples", "num_samples", type=click.IntRange(min=1), metavar="N",
    help="Show the first N answers of each point that were kept (output.samples).",
)  # fmt: skip
@voice_options
def command(
    runs: tuple[str, ...], formats: tuple[str, ...], output: str | None,
    num_samples: int | None, voice: Voice,
) -> int:  # fmt: skip
    """Render RUNS again: directories, or `latest`. Works on partial runs.

    \b
      harness report latest
      harness report latest --out page.html
      harness report latest --format html --format junit --out reports/
    """
    if output is not None:
        if len(runs) != 1:
            raise click.UsageError("--out takes one RUN")
        if num_samples:
            raise click.UsageError("--samples shows answers here; leave out --out")
        require_format(output, formats, FILES)
    if voice.as_json and output == "-" and formats != ("json",):
        raise click.UsageError("with --json stdout is one JSON document; send --out to a file")
    from harness.errors import ExitCode, strongest
    from harness.records import Run, RunDirectory
    from harness.scenario import expand, load_resolved
    from harness.scenario.advice import unknown_variables

    root = out_root()
    opened = [Run.open(name, out_root=root) for name in runs]
    voice.notices(unknown_variables(os.environ))
    from harness.cli import _finish  # slow, these two: a wrong name is told before
    from harness.cli._judge import judge

    codes, documents = [], []
    for run in opened:
        run.require_whole()
        document = load_resolved(run.path / "scenario.resolved.yaml").document
        places = destinations(output, formats, FILES, document.output.reports) if output else []
        judgement = judge(run, expand(document))
        view = _finish.make_view(run, document, judgement, ())
        codes.append(judgement.exit_code)
        if output is not None:
            _finish.write_there(run, view, judgement, places, voice)
            if output != "-":
                documents.append(_finish.result_data(run, view, judgement))
            continue
        chosen = [f for f in (formats or document.output.reports) if f != "json"]
        with _finish.printed_anyway(run, view, judgement, None if voice.as_json else voice):
            _finish.write_reports(run, view, judgement, chosen)
            if run.manifest.status != "running":  # else its writer may be at work on the manifest
                RunDirectory.open(run.path).refresh()
        kept = {p.label: p.samples(num_samples) for p in run.points} if num_samples else {}
        more = {"samples": kept} if num_samples else {}
        documents.append(_finish.result_data(run, view, judgement) | more)
        if num_samples and not voice.as_json:
            _show_samples(kept)
    if documents and voice.as_json:
        voice.result("", documents[0] if len(documents) == 1 else documents)
    return int(strongest([ExitCode(code) for code in codes]))


def _show_samples(kept: dict[str, list[dict[str, Any]]]) -> None:
    """Each answer by point and request, reasoning and calls told apart from what a user sees."""
    if not any(kept.values()):
        echo("\nno answers were kept: set output.samples in the scenario")
    for label, rows in kept.items():
        for row in rows:
            echo(f"\nanswer {row.get('request_id', '?')} of point {label}")
            texts = [(n, str(row[n])) for n in ("reasoning", "visible", "calls") if row.get(n)]
            for name, text in texts or [("text", "none came")]:
                echo(f"  {name}: {without_control(text)}")

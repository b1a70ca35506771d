"""`harness claims`: published statements held against stored runs and a price sheet."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli._options import Voice, voice_options


@click.command()
@click.argument("source", metavar="FILE_OR_NAME")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--only", multiple=True, metavar="ID", help="Judge this claim alone; repeatable.")
@click.option(
    "--prices", metavar="SHEET", default=None,
    help="Another price sheet than the claims name: a file, or one that ships.",
)  # fmt: skip
@click.option(
    "--evidence", type=click.Path(path_type=Path), default=None, metavar="FILE",
    help="Bills, batches and capacities that no run can hold (harness/evidence/v1).",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="ID.PATH=VALUE",
    help="Change a claim: C12.value=3, C1.scope.target=main; repeatable.",
)  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["html", "markdown", "json"]), default=None)
@click.option(
    "-o",
    "--out",
    "--output",
    "output",
    type=click.Path(path_type=Path),
    help="Write --format there; - is stdout.",
)
@voice_options
def command(
    source: str, runs: tuple[str, ...], only: tuple[str, ...], prices: str | None,
    evidence: Path | None, overrides: tuple[str, ...], kind: str | None, output: Path | None,
    voice: Voice,
) -> int:  # fmt: skip
    """Judge every claim of FILE_OR_NAME: supported, refuted, inconsistent, inconclusive, or not
    testable.

    \b
      harness claims guide                      what arithmetic settles; nothing is sent
      harness claims guide RUN...               the measurable ones, from stored runs
      harness claims guide --only C7
      harness claims guide RUN --set C14.value=150tok/s       your provider's own figure

    Exit 1 where a claim is refuted or inconsistent and its file does not expect it, 3 where one is
    inconclusive (with --only also where it is not testable), else 0.
    """
    if (kind is None) != (output is None):
        raise click.UsageError("--format and -o belong together")
    from harness.cli._claims import judge_file, print_findings, render_findings

    judged = judge_file(source, runs, only, prices, evidence, overrides)
    voice.notices(judged.notices)
    if kind is not None and output is not None:
        render_findings(judged, kind, output)
    elif voice.as_json:
        voice.result("", judged.to_json())
    else:
        print_findings(judged, voice)
    return int(judged.exit_code)

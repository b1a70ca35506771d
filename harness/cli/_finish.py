"""What a run leaves behind and prints at its end: summaries, reports, verdict, next command."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

import reports
from harness.analysis.client_check import CLIENT_CHECK, ClientCheck
from harness.cli._cost import costs_of, gpus_of, stored_answer
from harness.cli._endpoints import odd_counts
from harness.cli._judge import Judgement
from harness.cli._options import Voice, drop_stdout, echo
from harness.cli._plan_file import read_plan
from harness.errors import UsageError
from harness.notices import Notice
from harness.records import PointRecords, Run, RunDirectory, write_bytes
from harness.scenario import Scenario
from harness.scenario.providers import told_model
from harness.scenario.sweep import is_calibration
from reports.view import Row, Table, View

FILES = {
    "html": "report.html", "markdown": "summary.md", "junit": "junit.xml", "csv": "points.csv",
}  # fmt: skip
STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "invalid": "magenta"}
STYLES |= {"ok": "green", "notice": "yellow", "absent": "yellow"}


NOT_ON_CONSOLE = ("why", "p50, 95% interval")
PIPE_WIDTH = 120  # off a terminal nobody has to fit 80 columns


class _Console(Console):
    """A rich console whose reader may leave: the verdict stays the exit code."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        drop_stdout()


def plain_console(voice: Voice, pipe_width: int) -> Console:
    """A console on stdout, as wide as the terminal, or pipe_width off one."""
    is_plain = voice.color == "never" or (voice.color == "auto" and "NO_COLOR" in os.environ)
    return _Console(
        no_color=is_plain, color_system=None if is_plain else "auto",  # None: no bold either
        force_terminal=True if voice.color == "always" else None,
        highlight=False, width=None if sys.stdout.isatty() else pipe_width,
    )  # fmt: skip


def make_view(
    run: Run, document: Scenario, judgement: Judgement, notices: Sequence[Notice]
) -> View:
    """The View of a judged run."""
    # a point that was killed before its facts were written has none
    found = {
        (p.meta["target"], _model_of(document, p), p.meta["base_url"])
        for p in run.points
        if "facts" in p.meta
    }
    check = read_check(run.path)
    facts = reports.RunFacts(
        run_id=run.manifest.run_id,
        scenario=document.name,
        description=document.description,
        status=run.manifest.status,
        created_utc=run.manifest.created_utc,
        provenance=run.manifest.provenance,
        given_text=run.given_text,
        resolved_text=run.resolved_yaml,
        targets=tuple(sorted(found)),
        duration_s=duration_s(run),
        reproduce=reproduce_command(run),
        client_check=check,
        costs=costs_of(document, judgement.summaries) if judgement.status == "complete" else (),
        crossover=stored_answer(run) if judgement.status == "complete" else None,
        replicas=read_plan(run)["replicas"] if judgement.status == "complete" else None,
        gpus=gpus_of(document, run.manifest.provenance),
    )
    stored = [Notice.from_json(n) for p in run.points for n in p.meta.get("notices", ())]
    known = (p.meta for p in run.points if "facts" in p.meta)
    odd = (odd_counts(meta["target"], meta["token_plan"]) for meta in known)
    stored += {n.sentence: n for n in odd if n is not None}.values()
    said = (*notices, *stored, *(check.notices if check else ()))
    if is_calibration(document.sweep):
        from harness.cli._calibration_judge import calibration_view

        return calibration_view(facts, run, judgement, said)
    if judgement.comparison is not None:
        return reports.build_gate_view(
            facts, judgement.comparison, judgement.summaries, judgement.verdicts,
            judgement.outcome, judgement.headlines, said,
        )  # fmt: skip
    return reports.build_view(
        facts, judgement.summaries, judgement.verdicts, judgement.outcome, judgement.headlines,
        said,
    )  # fmt: skip


def _model_of(document: Scenario, records: PointRecords) -> str:
    target = document.targets.get(records.meta["target"])
    sent = str(records.meta["facts"]["model"])
    return told_model(target, sent) if target is not None else sent


def read_check(run_path: Path) -> ClientCheck | None:
    """What the check of the client before the run found; None where there was none."""
    path = run_path / CLIENT_CHECK
    try:
        return ClientCheck.from_json(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "records cannot be read", where=str(path), why=str(error),
            do="restore it from a copy of the run, or move it away: the report then leaves it out",
        ) from error  # fmt: skip


def duration_s(run: Run) -> float:
    """From the run's creation to its end; 0 for a run that was killed."""
    begin, end = run.manifest.created_utc, run.manifest.finished_utc
    if not end:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def reproduce_command(run: Run) -> str:
    """The command that repeats the run from its own resolved scenario."""
    path = f"{run.path.parent.name}/{run.path.name}/scenario.resolved.yaml"
    return f"harness run {shlex.quote(path)}"


def write_reports(run: Run, view: View, judgement: Judgement, formats: Sequence[str]) -> list[Path]:
    """summary.json always (run and points), then the asked formats; each replaced in one step."""
    folders = {p.index: p.path for p in run.points}
    for summary in judgement.windows or judgement.summaries:
        name = "summary.json" if summary.meta.stage_index == 0 else (
            f"summary-{summary.meta.stage_index}.json"
        )  # fmt: skip
        _write_json(folders[summary.meta.index] / name, summary.to_json())
    written = [_write_json(run.path / "summary.json", run_summary(judgement, view))]
    # a page of many points leaves most of their figures to the sheet
    needed = ["csv"] if "html" in formats and reports.leaves_figures_out(view) else []
    for name in dict.fromkeys([*formats, *needed]):
        path = run.path / FILES[name]
        write_bytes(path, render(view, name).encode())
        written.append(path)
    return written


def render_again(run: Run, document: Scenario, judgement: Judgement) -> list[Path]:
    """The reports of a stored run in its own formats, with what was planned from it since; the
    manifest's digests follow."""
    view = make_view(run, document, judgement, ())
    written = write_reports(run, view, judgement, document.output.reports)
    if run.manifest.status != "running":  # else its writer may be at work on the manifest
        RunDirectory.open(run.path).refresh()
    return written


def render(view: View, name: str) -> str:
    """The View in one format."""
    if name == "html":
        return reports.render_html(view)
    if name == "csv":
        return reports.render_csv(view)
    return reports.render_markdown(view) if name == "markdown" else reports.render_junit(view)


def write_one(run: Run, view: View, judgement: Judgement, name: str, output: Path) -> None:
    """One format to a file, or to stdout for `-`."""
    text = (
        json.dumps(run_summary(judgement, view), indent=1, ensure_ascii=False)
        if name == "json"
        else render(view, name)
    )
    if str(output) == "-":
        echo(text)
    else:
        write_bytes(output, text.encode())


def write_there(
    run: Run, view: View, judgement: Judgement, places: Sequence[tuple[str, Path]], voice: Voice
) -> None:
    """Every format to its place, each told by its path; stdout holds the document alone."""
    for name, path in places:
        write_one(run, view, judgement, name, path)
        if str(path) != "-" and not voice.as_json:
            echo(f"report   {_short(path)}")


def run_summary(judgement: Judgement, view: View) -> dict[str, Any]:
    """summary.json: what the embedded data says, and the sentences."""
    return {
        "schema": "harness/run-summary/v1",
        "sentences": [s.text for s in view.sentences],
        "exit_code": int(judgement.exit_code),
        **view.data,
    }


def result_data(run: Run, view: View, judgement: Judgement) -> dict[str, Any]:
    """What --json prints for a run."""
    return run_summary(judgement, view) | {"run_dir": str(run.path)}


def append_step_summary(view: View, voice: Voice) -> None:
    """Where a CI system offers a job summary, the Markdown goes there too."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if target:
        try:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(reports.render_markdown(view))
        except OSError as error:
            what = UsageError(
                "the job summary cannot be written", where=target, why=error.strerror or str(error),
                do="correct or unset GITHUB_STEP_SUMMARY; the run itself is whole",
            )  # fmt: skip
            voice.error(what)


@contextmanager
def printed_anyway(
    run: Run, view: View, judgement: Judgement, voice: Voice | None
) -> Iterator[None]:
    """Print the result after the block, also where a file could not be written (None: never)."""
    try:
        yield
    finally:
        if voice is not None:
            print_result(run, view, judgement, voice)


def print_result(run: Run, view: View, judgement: Judgement, voice: Voice) -> None:
    """Verdict, tables, paths and the next command; or one JSON document with --json."""
    if voice.as_json:
        voice.result("", result_data(run, view, judgement))
        return
    console = print_view(view, voice)
    report = run.path / FILES["html"]
    if report.exists():
        console.print(f"report   {_short(report)}", soft_wrap=True)
    console.print(f"records  {_short(run.path)}", soft_wrap=True)
    if advice := what_next(run.path, view, judgement):
        console.print(f"next     {advice}", soft_wrap=True)


def print_view(view: View, voice: Voice) -> Console:
    """Sentences, tables and notices; the console they went to."""
    console = plain_console(voice, PIPE_WIDTH)
    for sentence in view.sentences:
        text = Text(sentence.answer, style=f"bold {STYLES.get(sentence.outcome, '')}".strip())
        console.print(text.append(f" {sentence.detail}", style="not bold default"))
    tables = ([view.verdict_table] if view.verdict_table else []) + list(view.headline)
    for table in tables:
        console.print(rich_table(_without(table, NOT_ON_CONSOLE)))
    for severity, notice in view.notices:
        console.print(Text(f"{severity}: {notice}", style="yellow"))
    return console


def what_next(run_path: Path, view: View, judgement: Judgement) -> str:
    """What to do or type now, as the report says it; empty where nothing is left."""
    if judgement.status != "complete":
        return f"harness run --resume {shlex.quote(_short(run_path))}"
    if judgement.refusal is not None:
        return "see what the endpoint says, then run again"
    return view.next_step.replace("`", "")


def _without(table: Table, dropped: tuple[str, ...]) -> Table:
    """The table less its widest columns, which are in the report."""
    keep = [i for i, (name, _) in enumerate(table.columns) if name not in dropped]
    rows = tuple(Row(tuple(row.cells[i] for i in keep), row.id) for row in table.rows)
    return Table(table.id, table.caption, tuple(table.columns[i] for i in keep), rows)


def rich_table(table: Table) -> RichTable:
    shape = RichTable(
        title=table.caption, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 2, 0, 0), header_style="dim",
    )  # fmt: skip
    for name, align in table.columns:
        shape.add_column(name, justify=align, no_wrap=align == "right")
    for row in table.rows:
        shape.add_row(*(Text(c.text, style=STYLES.get(c.outcome, "")) for c in row.cells))
    return shape


def _short(path: Path) -> str:
    """Relative to where the user stands, when that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _write_json(path: Path, data: dict[str, Any]) -> Path:
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())
    return path

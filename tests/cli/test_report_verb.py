"""`harness report`: from records alone, to files or to stdout, one run or several."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli._finish import reproduce_command


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nonsense",), "there is no run 'nonsense'"),
        ((), "Missing argument"),
        (("a", "-o", "-"), "--out - takes one --format: html"),
        (("a", "--out", "page"), "--out page takes one --format"),
        (("a", "b", "--out", "page.html"), "--out takes one RUN"),
        (("a", "--format", "pdf"), "'pdf' is not one of"),
        (("a", "--samples", "0"), "0 is not in the range"),
        (("a", "--samples", "2", "--format", "json", "-o", "-"), "--samples shows answers here"),
    ],
)
def test_bad_usage_is_2(cli: Any, args: tuple[str, ...], said: str) -> None:
    done = cli.here("report", *args)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.has_no_traceback()


@pytest.mark.slow
def test_stored_runs_are_rendered_again_to_the_same_answer(cli: Any) -> None:
    path = cli.scenario(load={"duration": "2s"}, output={"samples": 3})
    ran = cli.here("run", path, "--no-report", "--progress", "none", env={"NO_COLOR": "1"})
    assert ran.code in (0, 4), ran.err  # 4: this machine was too busy to be a client
    assert "\x1b" not in ran.out + ran.err
    assert "sent" not in ran.err  # no progress line
    assert not (cli.latest / "report.html").exists()

    colored = cli("report", "latest", "--color", "always", "--format", "html")
    assert colored.code == ran.code
    assert "\x1b[1" in colored.out  # bold at least
    html = cli.latest / "report.html"
    digest = hashlib.sha256(html.read_bytes()).hexdigest()
    assert cli.manifest()["files"]["report.html"]["sha256"] == digest

    first = cli.here("report", "latest", "--format", "junit", "-o", "-")
    assert first.out.startswith("<?xml")
    assert first.err == ""

    placed = cli.here("report", "latest", "--out", "pages/")
    assert placed.out.splitlines()[0] == "report   pages/report.html"
    assert {p.name for p in (cli.folder / "pages").iterdir()} >= {"report.html", "summary.md"}
    refused = cli.here("report", "latest", "--out", "/proc/nope/page.html")
    assert (refused.code, refused.out) == (2, "")
    assert "/proc cannot be written" in refused.err
    assert cli.here("report", "latest", "--out", "page.html").code == ran.code
    assert (cli.folder / "page.html").read_bytes() == (
        cli.folder / "pages" / "report.html"
    ).read_bytes()

    sheet = cli.here("report", "latest", "--format", "csv", "-o", "-").out
    rows = list(csv.DictReader(io.StringIO(sheet)))
    (median,) = (
        r for r in rows if (r["metric"], r["stat"], r["population"]) == ("ttft", "p50", "success")
    )
    assert median["point"]
    assert median["n"]
    assert cli.here("report", "latest", "--format", "csv").code == ran.code
    assert (cli.latest / "points.csv").exists()

    two = cli.here("report", "latest", cli.latest.name, "--json", "--format", "json")
    documents = json.loads(two.out)  # one document, whatever the number of runs
    assert len(documents) == 2
    assert documents[0] == documents[1]
    assert documents[0]["exit_code"] == two.code == ran.code

    shown = cli.here("report", "latest", "--samples", "2", "--format", "junit")
    assert shown.out.count("\nanswer ") == shown.out.count("\n  visible: ") == 2

    html.unlink()
    piped = cli.start("report", "latest")
    piped.process.stdout.close()  # a reader that leaves early, as `| head` does
    piped.process.stdout = None
    assert piped.process.stderr.read() == ""
    assert piped.process.wait(100) == ran.code
    assert html.exists()


@pytest.mark.parametrize(
    "verb", ["report", "gate", "plan replicas", "plan crossover", "compare {} "]
)
def test_a_manifest_that_cannot_be_read_is_2_and_says_what_to_do(
    cli: Any, tmp_path: Path, verb: str
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"run_id": "r", ', "utf-8")
    done = cli.here(*verb.format(folder).split(), str(folder))
    assert (done.code, done.out) == (2, "")
    what, where, why, do = done.err.splitlines()
    assert what == "error: the run's manifest cannot be read"
    assert where == f"  where: {folder / 'manifest.json'}"
    assert why.startswith("  why:   it is no JSON, or cut off: ")
    assert do.startswith("  do:    restore it from a copy of the run")


def test_json_is_one_document_whatever_else_is_written(cli: Any) -> None:
    path = cli.scenario(load={"duration": "300ms", "warmup": "100ms"})
    ran = cli.here("run", path, "-q", "--no-report")
    assert ran.code in (0, 3, 4)
    clash = cli.here("report", "latest", "--json", "--format", "html", "-o", "-")
    assert (clash.code, clash.out) == (2, "")
    done = cli.here("report", "latest", "--json", "--format", "markdown", "-o", "x.md",
                    env={"HARNESS_OTU": "x"})  # fmt: skip
    assert json.loads(done.out)["exit_code"] == done.code
    assert (cli.folder / "x.md").exists()
    assert "HARNESS_OTU is not one the harness knows" in done.err


def test_what_to_type_next_names_the_run(cli: Any) -> None:
    path = cli.scenario(load={"duration": "30s"})
    run = cli.start("run", path)
    cli.wait_for_window()
    run.process.kill()
    done = cli.here("report", "latest", "--format", "junit")
    assert f"next     harness run --resume runs/{cli.latest.name}" in done.out


def test_the_command_that_repeats_a_run_bears_any_folder_name() -> None:
    run = SimpleNamespace(path=Path("/a/my runs/2026-x"))
    command = shlex.split(reproduce_command(run))  # type: ignore[arg-type]
    assert command == ["harness", "run", "my runs/2026-x/scenario.resolved.yaml"]

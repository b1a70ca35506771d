"""`harness init`: what it writes validates, and it overwrites nothing."""

from __future__ import annotations

import json
from typing import Any

from harness.scenario._files import library_names


def test_a_fresh_scenario_validates(cli: Any) -> None:
    done = cli("init", "mine", "--from", "smoke")
    assert (done.code, done.out) == (0, "mine.yaml\n")
    assert "harness validate mine.yaml" in done.err
    text = (cli.folder / "mine.yaml").read_text("utf-8")
    assert "name: mine\n" in text
    assert "# Too short to be steady" in text
    assert cli.here("validate", "mine.yaml").out == "mine.yaml: valid, 1 point\n"


def test_nothing_is_overwritten_without_force(cli: Any) -> None:
    (cli.folder / "quickstart.yaml").write_text("precious")
    done = cli.here("init")
    assert done.code == 2
    assert "quickstart.yaml exists" in done.err
    assert (cli.folder / "quickstart.yaml").read_text("utf-8") == "precious"
    assert cli.here("init", "--force").code == 0
    assert "name: quickstart\n" in (cli.folder / "quickstart.yaml").read_text("utf-8")


def test_list_shows_the_library(cli: Any) -> None:
    done = cli.here("init", "--list")
    assert [line.split()[0] for line in done.out.splitlines()] == list(library_names())
    rows = json.loads(cli.here("init", "--list", "--json").out)["scenarios"]
    assert all(row["description"] for row in rows)


def test_wrong_names(cli: Any) -> None:
    assert "did you mean 'smoke'?" in cli.here("init", "x", "--from", "smok").err
    assert cli.here("init", "no good").code == 2
    done = cli.here("init", "no/such/folder")
    assert done.code == 2
    assert done.has_no_traceback()


def test_a_name_that_yaml_reads_as_something_else_is_quoted(cli: Any) -> None:
    for name in ("123", "true", "1e3"):
        assert cli.here("init", name).code == 0
        assert cli.here("validate", f"{name}.yaml").code == 0


def test_a_source_that_is_no_text(cli: Any) -> None:
    (cli.folder / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    for args in (("x", "--from", "latin.yaml"), (".",)):
        done = cli.here("init", *args)
        assert done.code == 2
        assert done.has_no_traceback()

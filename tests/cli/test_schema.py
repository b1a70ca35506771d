"""`harness schema`: JSON Schema on stdout, editor settings on demand."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from harness.decisions.gate_document import gate_schema
from harness.decisions.plan_document import plan_schema


def test_stdout_is_a_json_schema(cli: Any) -> None:
    done = cli("schema")
    assert (done.code, done.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(done.out))
    assert json.loads(cli.here("schema", "--json").out) == json.loads(done.out)


def test_the_schema_of_gate_json_is_published(cli: Any) -> None:
    done = cli.here("schema", "--gate")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == gate_schema()
    assert cli.here("schema", "--gate", "--install").code == 2


def test_the_schema_of_plan_json_is_published(cli: Any) -> None:
    done = cli.here("schema", "--plan")
    assert (done.code, done.err) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(done.out))
    assert json.loads(done.out) == plan_schema()
    assert cli.here("schema", "--plan", "--install").code == 2
    assert cli.here("schema", "--plan", "--gate").code == 2


def test_install_keeps_other_settings(cli: Any) -> None:
    settings = cli.folder / ".vscode" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"editor.tabSize": 2}')
    done = cli.here("schema", "--install")
    assert done.code == 0
    assert done.out.split() == ["harness.schema.json", ".vscode/settings.json"]
    known = json.loads(settings.read_text("utf-8"))
    assert known["editor.tabSize"] == 2
    assert list(known["yaml.schemas"]) == ["./harness.schema.json"]
    assert json.loads((cli.folder / "harness.schema.json").read_text("utf-8"))["properties"]


def test_install_leaves_settings_it_cannot_read(cli: Any) -> None:
    settings = cli.folder / ".vscode" / "settings.json"
    settings.parent.mkdir()
    settings.write_text("// a comment\n{}")
    done = cli.here("schema", "--install")
    assert done.code == 2
    assert "add the schema by hand" in done.err
    assert settings.read_text("utf-8") == "// a comment\n{}"


def test_install_where_nothing_can_be_written(cli: Any) -> None:
    (cli.folder / ".vscode").write_text("a file")
    done = cli.here("schema", "--install")
    assert done.code == 2
    assert ".vscode cannot be written" in done.err
    assert not (cli.folder / "harness.schema.json").exists()

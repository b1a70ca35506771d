"""Classes that ask for calls or documents: their files, and what contradicts itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario import comparability_hash, load_resolved, load_scenario, read_materials

TEXT = """schema: harness/v1
name: t
description: x.
targets: {main: {kind: openai, url: "http://127.0.0.1:1/v1"}}
traffic:
  - name: calls
    workload: {kind: tools, tools_file: my-tools.json, prompts: [Go.]}
load: {kind: closed, concurrency: 1, duration: 5s}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    (tmp_path / "my-tools.json").write_text(json.dumps(tools), "utf-8")
    (tmp_path / "my-schema.json").write_text('{"type": "object"}', "utf-8")
    path = tmp_path / "t.yaml"
    path.write_text(TEXT, "utf-8")
    return path


def test_the_file_is_pinned_read_and_part_of_what_is_compared(written: Path) -> None:
    loaded = load_scenario(str(written), env={})
    materials = read_materials(loaded.document, loaded.search_paths)
    (tools,) = materials.tasks.values()
    assert tools[0]["function"]["name"] == "f"
    resolved = written.with_name("resolved.yaml")
    resolved.write_text(loaded.resolved_yaml(), "utf-8")
    assert str(written.with_name("my-tools.json")) in resolved.read_text("utf-8")
    again = load_resolved(resolved).document
    before = comparability_hash(again)
    file = written.with_name("my-tools.json")
    file.write_text(file.read_text("utf-8").replace('"f"', '"g"'), "utf-8")
    assert comparability_hash(again) != before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("prompts: [Go.]", "tool_choice: auto", "missing; say what is asked"),
        ("prompts: [Go.]", "prompts: ['  ']", "is empty"),
        ("prompts: [Go.]", "prompts: [Go.], tool_choice: none", "none forbids calls"),
        ("- name: calls", "- name: calls\n    api: completions", "must be chat for a workload"),
        ("my-tools.json", "none.json", "none.json"),
        ("prompts: [Go.]", "prompts: [Go.], max_tokens: 0", "max_tokens"),
    ],
)
def test_what_cannot_be_sent_is_said_at_its_place(
    written: Path, old: str, new: str, message: str
) -> None:
    written.write_text(TEXT.replace(old, new), "utf-8")
    with pytest.raises(ScenarioError) as raised:
        load_scenario(str(written), env={})
    assert message in str(raised.value.render())


def test_a_schema_class_needs_no_more_than_its_file(written: Path) -> None:
    task = (
        "{kind: json_schema, schema_file: my-schema.json, input_tokens: {kind: fixed, value: 50}}"
    )
    text = TEXT.replace("{kind: tools, tools_file: my-tools.json, prompts: [Go.]}", task)
    written.write_text(text, "utf-8")
    loaded = load_scenario(str(written), env={})
    assert list(read_materials(loaded.document, loaded.search_paths).tasks.values()) == [
        {"type": "object"}
    ]

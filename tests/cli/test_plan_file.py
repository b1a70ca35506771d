"""plan.json: each verb writes its own part and keeps the other."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from harness.cli._plan_file import keep_part, read_plan
from harness.decisions.plan_document import plan_schema, with_part
from harness.errors import UsageError
from harness.records import Run, RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> Run:
    directory = RunDirectory.create(
        tmp_path, "plan", given_text="", resolved_yaml="", provenance={}
    )
    directory.finish("complete")
    return Run.open(directory.path)


def test_a_part_is_replaced_and_the_other_kept(run: Run) -> None:
    jsonschema.validate(read_plan(run), plan_schema())
    path = keep_part(run, "replicas", {"a": 1})
    keep_part(run, "crossover", {"b": 2})
    keep_part(run, "replicas", {"a": 3})
    plan = json.loads(path.read_text("utf-8"))
    assert (plan["replicas"], plan["crossover"]) == ({"a": 3}, {"b": 2})
    assert plan["run"] == run.manifest.run_id
    again = Run.open(run.path)
    again.require_whole()
    assert "plan.json" in again.manifest.files


def test_a_file_that_is_no_plan_is_refused(run: Run) -> None:
    (run.path / "plan.json").write_text('{"schema": "other"}')
    with pytest.raises(UsageError) as caught:
        keep_part(run, "replicas", {})
    assert "harness/plan/v1" in caught.value.why
    with pytest.raises(ValueError, match="no part"):
        with_part({}, "prices", {})


def test_a_part_that_is_none_is_told_by_its_place_and_may_be_written_anew(run: Run) -> None:
    path = keep_part(run, "crossover", {"answer": "yes"})
    with pytest.raises(UsageError) as caught:
        read_plan(run)
    assert caught.value.why.startswith("crossover: ")
    assert "is a required property" in caught.value.why
    assert "harness plan crossover" in caught.value.do
    path.write_text(path.read_text().replace('{\n  "answer": "yes"\n }', "null"))
    assert read_plan(run)["crossover"] is None
    path.write_text('{"schema": "harness/plan/v1"')
    with pytest.raises(UsageError, match="plan cannot be read"):
        read_plan(run)

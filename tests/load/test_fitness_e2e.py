"""Tool calls and documents over real sockets: what the endpoint sends is judged and stamped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.load import LoadProcess
from harness.records.schema import REQUEST_SCHEMA

from .cases import EARLY_NS, Run, run_cases

pytestmark = pytest.mark.e2e
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        },
    }
]
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["number", "name"],
}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "fit": (3, {}),
    "wrong": (2, {"chunks": {"fit": False}}),
    "cut": (2, {"tokens": {"output_delta": -2}}),
    "broken": (1, {"http": {"status": 500}}),
}


def run(process: LoadProcess, folder: Path, workload: dict[str, Any]) -> Run:
    traffic = [{"name": "chat", "workload": {"prompts": ["Add."], **workload}}]
    return run_cases(process, folder, CASES, traffic=traffic)


def test_calls(load_process: LoadProcess, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS), "utf-8")
    found = run(
        load_process, tmp_path, {"kind": "tools", "tools_file": str(tmp_path / "tools.json")}
    )
    for row, log in zip(found["fit"].rows, found["fit"].logs, strict=True):
        assert (row["error_class"], row["is_fit"], row["finish_reason"]) == ("", True, "tool_calls")
        assert row["first_call_ns"] == row["chunk_ns"][0]  # the name
        assert row["first_argument_ns"] == row["chunk_ns"][1]
        assert row["call_done_ns"] == row["chunk_ns"][-1] >= log.send_ns[-3] - EARLY_NS
    for row in found["wrong"].rows:
        assert (row["error_class"], row["is_fit"]) == ("invalid_output", False)
        assert row["error_detail"] == "call 0: a function that was not offered"
        assert row["call_done_ns"] is None
        assert row["n_out"] > 0, "its tokens are on record, as wasted ones"
    for row in found["cut"].rows:
        assert (row["error_class"], row["finish_reason"]) == ("invalid_output", "length")
        assert row["first_argument_ns"] is not None
    (broken,) = found["broken"].rows
    assert (broken["error_class"], broken["is_fit"]) == ("http_5xx", None)
    summary = found.analyse(is_quiet=True, tool_classes=("chat",))
    values = {(e.metric, e.stat): e for e in summary.estimates if e.scope == "all"}
    assert values["tool_valid", "ratio"].value == pytest.approx(3 / 7)
    assert values["error_rate", "ratio"].value == pytest.approx(5 / 8)
    assert values["valid_tok_per_s", "rate"].n == sum(r["n_out"] for r in found["fit"].rows)


def test_documents(load_process: LoadProcess, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA), "utf-8")
    found = run(
        load_process,
        tmp_path,
        {"kind": "json_schema", "schema_file": str(tmp_path / "schema.json")},
    )
    assert [row["is_fit"] for row in found["fit"].rows] == [True] * 3
    assert {row["error_detail"] for row in found["wrong"].rows} == {
        "the answer breaks the schema: 'type' at $"
    }
    assert {row["error_class"] for row in found["cut"].rows} == {"invalid_output"}
    summary = found.analyse(is_quiet=True, schema_classes=("chat",))
    share = summary.find("schema_valid", "ratio")
    assert share is not None
    assert (share.value, share.n) == (pytest.approx(3 / 7), 7)
    assert summary.find("tool_valid", "ratio") is None


def test_a_class_without_expectations_leaves_the_columns_empty(measure: Any) -> None:
    point = measure({}, {"kind": "closed", "concurrency": 1, "requests": 3})
    for row in point.rows:
        assert (row["is_fit"], row["first_argument_ns"], row["call_done_ns"]) == (None,) * 3
    assert {"is_fit", "first_argument_ns", "call_done_ns"} <= set(REQUEST_SCHEMA.names)


def test_calls_that_need_not_be_made_are_judged_but_fail_nothing(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS), "utf-8")
    workload = {
        "kind": "tools",
        "tools_file": str(tmp_path / "tools.json"),
        "expect": {"valid_call": False},
    }
    found = run(load_process, tmp_path, workload)
    for row in found["wrong"].rows:
        assert (row["error_class"], row["is_fit"]) == ("", False)

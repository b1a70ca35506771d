"""Which changes make two runs incomparable, and what the JSON Schema accepts."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from harness.scenario import (
    comparability_hash,
    json_schema,
    limits_differ,
    question_differences,
)
from harness.scenario._files import library_folder, library_names


def digest(load, *overrides: str) -> str:  # type: ignore[no-untyped-def]
    return comparability_hash(load(overrides=list(overrides)).document)


@pytest.mark.parametrize(
    "override",
    ["targets.main.url=http://x/v1", "labels.a=b", "name=other", "output.samples=5",
     "description=d", "slo.ttft.p95=2s", "validity.min_requests=9", "load.rate=480/min"],
)  # fmt: skip
def test_same_question(load, override: str) -> None:  # type: ignore[no-untyped-def]
    assert digest(load, override) == digest(load)


@pytest.mark.parametrize(
    "override",
    ["load.rate=9/s", "seed=1", "traffic.chat.workload.input_tokens.value=101",
     "tokens={kind: estimated}", "slo.good_request.ttft=1s", "load.warmup=11s"],
)  # fmt: skip
def test_another_question(load, override: str) -> None:  # type: ignore[no-untyped-def]
    assert digest(load, override) != digest(load)


def test_what_differs_is_told_value_by_value(load) -> None:  # type: ignore[no-untyped-def]
    changes = ["load.rate=9/s", "seed=7", "traffic.chat.workload.input_tokens.value=101",
               "load.max_in_flight=5", "name=other"]  # fmt: skip
    a, b = load().document, load(overrides=changes).document
    assert question_differences(a, b) == (
        "load.max_in_flight is not given in the baseline, 5 in the candidate",
        "load.rate is 8/s in the baseline, 9/s in the candidate",
        "seed is 0 in the baseline, 7 in the candidate",
        "traffic.chat.workload.input_tokens.value is 100 in the baseline, 101 in the candidate",
    )
    assert question_differences(a, a) == ()


def test_other_limits_call_other_requests_good(load) -> None:  # type: ignore[no-untyped-def]
    a = load().document
    assert limits_differ(a, load(overrides=["slo.ttft.p95=2s"]).document)
    assert limits_differ(a, load(overrides=["traffic.chat.slo.ttft.p50=2s"]).document)
    assert not limits_differ(a, load(overrides=["load.rate=9/s", "slo.ttft.p95=1000ms"]).document)


def test_limits_count_where_they_decide_what_is_good(load) -> None:  # type: ignore[no-untyped-def]
    with_goodput = "slo.goodput_req_per_s.min=1/s"
    assert digest(load, with_goodput) != digest(load, with_goodput, "slo.ttft.p95=2s")


def test_a_file_counts_by_its_bytes(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name, text in (("a.csv", "n\n1\n2\n"), ("b.csv", "n\n1\n2\n"), ("c.csv", "n\n1\n3\n")):
        (tmp_path / name).write_text(text)
    found = [
        digest(load, f"traffic.chat.workload.input_tokens={{kind: empirical, file: {name}.csv,"
               " column: n}")
        for name in "abc"
    ]  # fmt: skip
    assert found[0] == found[1] != found[2]


def test_schema_is_valid_and_accepts_the_library() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name in library_names():
        data = YAML(typ="safe").load(library_folder() / f"{name}.yaml")
        assert list(validator.iter_errors(data)) == [], name


def test_schema_refuses_typos_and_bare_numbers() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    data = YAML(typ="safe").load(library_folder() / "quickstart.yaml")
    data["load"]["duration"] = 50
    data["slo"]["ttft"] = {"p50": "fast"}
    data["trafic"] = []
    broken = {"/".join(map(str, e.absolute_path)) for e in validator.iter_errors(data)}
    assert "" in broken  # the unknown key
    assert any(path.startswith("load") for path in broken)
    assert any(path.startswith("slo/ttft") for path in broken)

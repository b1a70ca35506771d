"""Sweeps: how many points, in which order, with which seeds and labels."""

from __future__ import annotations

import re

import pytest

from harness.errors import ScenarioError
from harness.scenario import expand, load_scenario
from harness.scenario.document import ListSweep, OpenLoad, Scenario


def points(load, *overrides: str):  # type: ignore[no-untyped-def]
    return expand(load(overrides=list(overrides)).document)


def test_no_sweep_is_one_point(load) -> None:  # type: ignore[no-untyped-def]
    (point,) = points(load)
    assert (point.index, point.label, point.target_name, point.repeat) == (0, "main", "main", 0)
    assert point.document == load().document
    assert [stage.name for stage in point.stages] == ["main"]


def test_list_applies_each_value(load) -> None:  # type: ignore[no-untyped-def]
    found = points(load, "sweep={kind: list, over: {load.rate: [60/min, 0.5/s, 8/s]}}")
    assert [p.document.load.rate for p in found] == [1.0, 0.5, 8.0]
    assert [p.label for p in found] == ["rate-60-per-min", "rate-0.5", "rate-8"]
    assert [dict(p.swept) for p in found][1] == {"load.rate": "0.5/s"}
    assert len({p.seed for p in found}) == 1  # two levels differ in nothing but the level


def test_grid_times_repeat_times_targets(load) -> None:  # type: ignore[no-untyped-def]
    found = points(
        load, "targets.other={kind: reference}", "sweep.kind=grid", "sweep.repeat=2",
        "sweep.over={load.rate: [1/s, 2/s], traffic.chat.weight: [1, 2, 3]}",
    )  # fmt: skip
    assert len(found) == 2 * 3 * 2 * 2
    assert [p.index for p in found] == list(range(24))
    assert len({p.label for p in found}) == 24
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", p.label) for p in found)
    assert {p.seed for p in found if p.repeat == 0}.isdisjoint(
        p.seed for p in found if p.repeat == 1
    )
    assert found[0].target.kind == "openai"
    assert found[1].target.kind == "reference"


def test_zip_is_a_table(load, faults) -> None:  # type: ignore[no-untyped-def]
    table = "{load.rate: [1/s, 2/s, 3/s], traffic.chat.weight: [3, 2, 1]}"
    found = points(load, f"sweep={{kind: zip, over: {table}}}")
    assert [(p.document.load.rate, p.traffic[0].weight) for p in found] == [(1, 3), (2, 2), (3, 1)]
    assert found[0].label == "rate-1-weight-3"
    (fault,) = faults(overrides=["sweep={kind: zip, over: {load.rate: [1/s], seed: [1, 2]}}"])
    assert fault.path == "sweep.over"
    assert "there are 1 of load.rate, 2 of seed" in fault.message
    # as many points as rows, not as many as combinations
    values = ", ".join(str(i) for i in range(1, 200))
    columns = f"{{traffic.chat.weight: [{values}], seed: [{values}]}}"
    assert len(points(load, f"sweep={{kind: zip, over: {columns}}}")) == 199


def test_targets_of_the_sweep(load) -> None:  # type: ignore[no-untyped-def]
    found = points(
        load, "targets.other={kind: reference}",
        "sweep={kind: list, over: {load.rate: [1/s]}, targets: [other]}",
    )  # fmt: skip
    assert [p.target_name for p in found] == ["other"]


def test_shuffled_order_is_seeded(load) -> None:  # type: ignore[no-untyped-def]
    sweep = "sweep={kind: list, over: {load.rate: [1/s,2/s,3/s,4/s,5/s,6/s]}, order: shuffled}"
    first, again = points(load, sweep), points(load, sweep)
    other = points(load, sweep, "seed=1")
    assert [p.label for p in first] == [p.label for p in again]
    assert sorted(p.label for p in first) == sorted(p.label for p in other)
    assert [p.label for p in first] != [p.label for p in other]  # holds for these two seeds


def test_values_that_read_the_same_get_their_own_label(load) -> None:  # type: ignore[no-untyped-def]
    found = points(load, "sweep={kind: list, over: {name_: [1]}}".replace("name_", "seed"))
    assert [p.label for p in found] == ["seed-1"]
    found = points(load, "sweep={kind: list, over: {load.rate: [8/s, 8 /s, 8./s]}}")
    assert len({p.label for p in found}) == 3


def test_whole_blocks_can_be_swept(load) -> None:  # type: ignore[no-untyped-def]
    found = points(
        load, "sweep={kind: list, over: {load.arrival: [{kind: constant}, {kind: gamma, cv: 3}]}}"
    )
    assert [p.label for p in found] == ["arrival-constant", "arrival-gamma-3"]


def test_bad_value_in_a_document_made_in_code(load) -> None:  # type: ignore[no-untyped-def]
    document = load().document
    sweep = ListSweep(
        kind="list",
        over={
            "load.rate": ("1/s", "x"),
        },
    )
    broken = Scenario.model_validate(
        {**document.model_dump(by_alias=True, exclude_none=True), "sweep": sweep.model_dump()}
    )
    with pytest.raises(ScenarioError) as error:
        expand(broken)
    assert [f.path for f in error.value.faults] == ["load.rate"]
    assert isinstance(document.load, OpenLoad)


def test_seed_is_stable_across_versions(load) -> None:  # type: ignore[no-untyped-def]
    # A changed seed would make old runs and new ones send different traffic.
    assert points(load)[0].seed == 8185438147223679478


def test_too_many_points(faults) -> None:  # type: ignore[no-untyped-def]
    values = ", ".join(str(i) for i in range(1, 102))
    (fault,) = faults(
        overrides=[
            f"sweep={{kind: grid, over: {{traffic.chat.weight: [{values}], seed: [{values}]}}}}"
        ]
    )
    assert "makes 10,201 points" in fault.message


def test_labels_are_unique_whatever_the_values(load) -> None:  # type: ignore[no-untyped-def]
    values = "[a-2, a, A, a, a-1, a-3, 'a ', a!]"
    found = points(load, f"sweep={{kind: list, over: {{traffic.chat.model: {values}}}}}")
    labels = [point.label.lower() for point in found]
    assert len(set(labels)) == len(labels) == 8
    assert labels[:2] == ["model-a-2", "model-a"]


def test_the_ends_of_a_range_are_told_together(load) -> None:  # type: ignore[no-untyped-def]
    over = (
        "{load.rate: [1/s, 2/s], traffic.chat.workload.input_tokens.min: [24, 30],"
        " traffic.chat.workload.input_tokens.max: [24, 430]}"
    )
    found = points(
        load, "traffic.chat.workload.input_tokens={kind: uniform, min: 1, max: 500}",
        f"sweep={{kind: zip, over: {over}}}",
    )  # fmt: skip
    assert [p.label for p in found] == ["rate-1-input-tokens-24", "rate-2-input-tokens-30-to-430"]


def test_labels_of_the_calibration_are_whole_words() -> None:
    """Its table has six columns: batch, requests and prompts tell its points apart."""
    found = expand(load_scenario("twin-sweep", env={}).document)
    labels = [p.label for p in found]
    assert len(set(labels)) == len(found)
    assert max(map(len, labels)) <= 60
    assert "concurrency-16-requests-120-input-tokens-30-to-430" in labels
    assert "concurrency-1-requests-4-input-tokens-24" in labels

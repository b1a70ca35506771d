"""Every scenario that ships is valid, explains itself and can be aimed at any endpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.scenario import expand, load_resolved, load_scenario, read_materials
from harness.scenario._files import library_folder, library_names
from harness.scenario.budget import point_budget
from harness.scenario.document import OpenAITarget
from harness.traffic import build_schedule

CONTEXT_TOK = 8192  # of the model the library aims at by default


@pytest.fixture(params=library_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_library_is_complete() -> None:
    assert {"quickstart", "chat-azure", "sweep", "closed-loop", "smoke"} <= set(library_names())


def test_it_is_valid_and_says_what_it_is_for(name: str) -> None:
    loaded = load_scenario(name, env={})
    assert loaded.name == name
    assert loaded.document.description.count(".") + loaded.document.description.count("?") >= 1
    assert len(loaded.document.description) <= 100
    assert loaded.given_text.startswith("# yaml-language-server: $schema=./harness.schema.json\n")
    assert {n.code for n in loaded.notices} <= {"short_warmup"}


def test_arms_of_the_engine_fall_away_where_another_server_is_aimed_at() -> None:
    arms = expand(load_scenario("spec-arms", env={}).document)
    assert [p.document.targets["main"].flags for p in arms] == [  # type: ignore[union-attr]
        {"spec": "off"}, {"spec": "ngram"}, {"spec": "draft"},
    ]  # fmt: skip
    aimed = load_scenario("spec-arms", url="http://host:1/v1", env={})
    assert len(expand(aimed.document)) == 1
    assert "engine_sweep_dropped" in {n.code for n in aimed.notices}


def test_it_can_be_aimed_anywhere(name: str) -> None:
    loaded = load_scenario(name, url="http://host:1/v1", model="m", env={})
    gate = loaded.document.gate
    for point in expand(loaded.document):
        if gate is not None and point.target_name != gate.candidate:
            continue  # of a gate, the candidate is aimed
        assert isinstance(point.target, OpenAITarget)
        assert (point.target.url, point.target.model) == ("http://host:1/v1", "m")


def test_it_resolves_to_an_equal_document(name: str, tmp_path: Path) -> None:
    loaded = load_scenario(name, env={})
    path = tmp_path / "scenario.resolved.yaml"
    path.write_text(loaded.resolved_yaml(), encoding="utf-8")
    assert load_resolved(path).document == loaded.document
    assert str(library_folder()) not in path.read_text(encoding="utf-8")


def test_no_request_outgrows_the_tiny_context(name: str) -> None:
    loaded = load_scenario(name, env={})
    point = expand(loaded.document)[-1]
    materials = read_materials(point.document, loaded.search_paths)
    for stage in build_schedule(point, materials).stages:
        assert int(np.max(stage.asked_in + np.maximum(stage.asked_out, 0))) <= CONTEXT_TOK


def test_smoke_takes_ten_seconds() -> None:
    loaded = load_scenario("smoke", env={})
    (point,) = expand(loaded.document)
    assert point_budget(point, read_materials(point.document)).load_s == 10


def test_quickstart_asks_what_a_minute_can_show() -> None:
    slo = load_scenario("quickstart", env={}).document.slo
    assert slo.model_dump(exclude_none=True) == {
        "ttft": {"p50": "1s"}, "tpot": {"p50": "100ms"}, "error_rate": {"max": "10%"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "mean_in", "mean_out"), [("conv", 1155, 211), ("code", 2048, 28)]
)
def test_azure_tables_keep_the_means_of_the_trace(
    table: str, mean_in: float, mean_out: float
) -> None:
    from harness.scenario._tables import read_table

    path = library_folder() / "lengths" / f"azure-{table}-2023.csv"
    assert read_table(path, "input").mean == pytest.approx(mean_in, rel=0.005)
    assert read_table(path, "output").mean == pytest.approx(mean_out, rel=0.02)

"""Which load a check puts on the client: the table, the flags, or what a run will ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli._client_loads import (
    RISING,
    ClientLoad,
    asked_loads,
    heaviest_load,
    with_headroom,
)
from harness.scenario import expand, load_scenario, read_materials
from harness.scenario._files import library_names


def heaviest(path: str) -> ClientLoad | None:
    loaded = load_scenario(path)
    return heaviest_load(
        expand(loaded.document), read_materials(loaded.document, loaded.search_paths)
    )


def scenario(folder: Path, load: dict[str, Any], out: int = 100) -> str:
    fixed = {"kind": "fixed"}
    chat = {
        "kind": "chat", "input_tokens": fixed | {"value": 10},
        "output_tokens": fixed | {"value": out},
    }  # fmt: skip
    document = {
        "schema": "harness/v1", "name": "x", "targets": {"t": {"kind": "scripted"}},
        "traffic": [{"name": "chat", "workload": chat}], "load": load,
    }  # fmt: skip
    path = folder / "x.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_without_flags_loads_rise() -> None:
    loads = asked_loads(None, None, 50.0)
    assert tuple(load.streams for load in loads) == RISING
    assert {load.req_per_s for load in loads} == {None}
    # 1.5 s of answer: the first token at 50 ms, 72.5 gaps of 20 ms: 72 whole ones, and the first
    assert {load.answer_tok for load in loads} == {73}
    # a user's cycle is 50 ms + 72 x 20 ms = 1.49 s for 73 chunks
    assert loads[0].chunks_per_s == pytest.approx(64 * 73 / 1.49)


def test_streams_make_a_closed_load_and_a_rate_an_open_one() -> None:
    (closed,) = asked_loads(10, None, 20.0)
    assert closed.stage("a", 2.0) == {
        "name": "a", "duration": "2s", "kind": "closed", "concurrency": 10, "ramp": "1.5s",
    }  # fmt: skip
    (both,) = asked_loads(10, 5.0, 20.0)  # answers of 2 s
    assert (both.req_per_s, both.answer_s, both.answer_tok) == (5.0, 2.0, 40)
    assert both.chunks_per_s == 200.0
    assert both.stage("a", 2.0)["rate"] == "5/s"
    (rate,) = asked_loads(None, 4.0, 50.0)
    assert (rate.streams, rate.answer_s) == (6, 1.5)


def test_long_answers_are_cut_and_come_more_often() -> None:
    load = ClientLoad.open(40, 2.0)  # 20 s each
    assert (load.streams, load.answer_s) == (40, 3.0)
    assert load.req_per_s == pytest.approx(40 / 3)
    # as many chunks/s as 40 streams of 50 tok/s, but for the wait before the first
    assert load.chunks_per_s == pytest.approx(2_000, rel=0.02)


def test_headroom_is_a_load_of_which_the_runs_own_is_sixty_percent() -> None:
    own, above = with_headroom(ClientLoad(60))
    assert (own.streams, above.streams) == (60, 100)
    own, above = with_headroom(ClientLoad.open(60, 30.0))
    assert above.req_per_s == pytest.approx(50.0)
    assert own.answer_tok == above.answer_tok
    assert own.chunks_per_s / above.chunks_per_s == pytest.approx(0.6)


def test_the_heaviest_stage_counts(tmp_path: Path) -> None:
    stages = [
        {"kind": "closed", "name": "a", "concurrency": 3, "duration": "5s"},
        {"kind": "open", "name": "b", "arrival": {"kind": "poisson"}, "duration": "5s",
         "rate": {"kind": "ramp", "from": "2/s", "to": "20/s"}},
    ]  # fmt: skip
    path = scenario(tmp_path, {"kind": "stages", "stages": stages})
    found = heaviest(path)
    assert found is not None
    # at its end the ramp makes 20 req/s x 100 tokens = 2,000 chunks/s, 40 streams at 50 tok/s
    assert (found.streams, found.req_per_s) == (40, 20.0)


@pytest.mark.parametrize(
    ("load", "out", "is_worth"),
    [
        ({"kind": "closed", "concurrency": 99}, 100, False),
        ({"kind": "closed", "concurrency": 128}, 100, True),
        ({"kind": "open", "arrival": {"kind": "constant"}, "rate": "49/s"}, 100, False),
        ({"kind": "open", "arrival": {"kind": "constant"}, "rate": "52/s"}, 100, True),
        ({"kind": "open", "arrival": {"kind": "constant"}, "rate": "199/s"}, 4, False),
        ({"kind": "open", "arrival": {"kind": "constant"}, "rate": "200/s"}, 4, True),
    ],
)
def test_a_run_checks_its_client_from_these_loads_on(
    tmp_path: Path, load: dict[str, Any], out: int, is_worth: bool
) -> None:
    found = heaviest(scenario(tmp_path, load | {"duration": "5s"}, out))
    assert found is not None
    assert found.is_worth_checking is is_worth


@pytest.mark.parametrize("name", sorted(library_names()))
def test_scenarios_that_ship_stay_below_the_threshold(name: str) -> None:
    found = heaviest(name)
    assert found is None or not found.is_worth_checking

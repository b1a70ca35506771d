"""Whole points: intended times, phases, stamps against the script, blocking, stops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from harness.load import Done, LoadProcess, Pulse
from harness.testing import ScriptedServer

from .conftest import Point, drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e
Measure = Callable[..., Point]


def test_open_loop_intended_times_are_the_schedule(measure: Measure) -> None:
    point = measure({}, open_load(50, 40, warmup="200ms"))
    start_ns = point.stages[0]["start_ns"]
    rows = point.rows
    for row in rows:
        assert row["intended_ns"] - start_ns == pytest.approx(row["ordinal"] * 20_000_000, abs=1)
        assert row["row"] == row["ordinal"]
        assert row["intended_ns"] <= row["released_ns"] + 20_000 <= row["sent_ns"] + 20_000
    assert sum(row["phase"] == "measured" for row in rows) == 40
    assert sum(row["phase"] == "warmup" for row in rows) == 10
    t0_ns, t1_ns = point.stages[0]["t0_ns"], point.stages[0]["t1_ns"]
    for row in rows:
        is_inside = t0_ns <= row["intended_ns"] < t1_ns
        assert is_inside == (row["phase"] == "measured")


def test_stamps_are_ordered_and_those_of_the_kernel(measure: Measure) -> None:
    point = measure({"timing": {"ttft": "30ms", "gap": "5ms"}}, open_load(40, 30))
    names = ("sent", "headers", "first_byte", "first_token", "last_token", "end")
    for row in point.rows:
        stamps = [row[f"{name}_ns"] for name in names]
        assert stamps == sorted(stamps)
        assert row["stamp_source"] == "kernel"
        assert row["n_out"] == 8
        assert row["n_first"] == 1
        assert row["tok_source"] == "usage_continuous"
        assert row["chunk_tok"] == [1.0] * 8


def test_stamps_agree_with_the_servers_own_send_times(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    with ScriptedServer({"timing": {"ttft": "20ms", "gap": "10ms"}}) as server:
        scenario = scenario_of(server.base_url, open_load(20, 20))
        point = drive(load_process, make_plan(tmp_path, scenario))
        sent = {log.ordinal: list(log.send_ns) for log in server.requests}
    errors = []
    for row in point.rows:
        tokens = sent[row["ordinal"]][1:9]  # after the role, before finish and usage
        errors += [c - t for c, t in zip(row["chunk_ns"], tokens, strict=True)]
    # loopback stamps inside the sender's send(): a stamp is never before it
    assert min(errors) >= -50_000
    assert np.median(errors) < 5_000_000


def test_closed_loop_by_count_is_exact(measure: Measure) -> None:
    point = measure({}, {"kind": "closed", "concurrency": 3, "requests": 25})
    rows = point.rows
    assert sum(row["phase"] == "measured" for row in rows) == 25
    slots: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        slots.setdefault(row["ordinal"] % 3, []).append(row)
    for mine in slots.values():
        for before, after in itertools.pairwise(mine):
            # a user asks again only once answered
            assert after["intended_ns"] >= before["end_ns"] - 1_000_000
    assert len({row["request_id"] for row in rows}) == len(rows)


def test_max_in_flight_holds_in_order_and_is_counted(measure: Measure) -> None:
    slow = {"timing": {"ttft": "100ms", "gap": "1ms"}}
    point = measure(slow, open_load(100, 30, max_in_flight=2))
    rows = point.rows
    assert sum(row["phase"] == "measured" for row in rows) == 30
    released = [row["released_ns"] for row in rows if row["released_ns"]]
    assert released == sorted(released)
    late = [row["released_ns"] - row["intended_ns"] for row in rows[:30]]
    assert max(late) > 500_000_000  # 30 requests, two at a time, 100 ms each
    assert point.clients[-1]["num_blocked"] > 20
    assert point.clients[-1]["blocked_s"] > 1


def test_late_answers_are_cut_and_kept(measure: Measure) -> None:
    slow = {"timing": {"ttft": "10ms", "gap": "1s"}}
    point = measure(slow, open_load(20, 10, cooldown="300ms", drain="300ms"))
    assert {row["error_class"] for row in point.rows} == {"cut"}
    assert all(len(row["chunk_ns"]) >= 1 for row in point.rows)
    assert point.done.status == "complete"


def test_two_stages_follow_each_other(measure: Measure) -> None:
    load = {
        "kind": "stages", "warmup": "0s",
        "stages": [
            open_load(20, 10, name="low"),
            {"kind": "closed", "name": "users", "concurrency": 2, "requests": 10},
        ],
    }  # fmt: skip
    point = measure({}, load)
    assert {row["stage"] for row in point.rows} == {0, 1}
    first, second = point.stages
    assert second["start_ns"] >= first["load_end_ns"]
    assert [s["name"] for s in point.stages] == ["low", "users"]


def test_salts_differ_and_samples_are_kept(measure: Measure) -> None:
    point = measure({}, open_load(50, 20), samples=5)
    lines = (point.folder / "samples.jsonl").read_text().splitlines()
    assert len(lines) == 5


def test_usage_absent_is_estimated_only_where_asked(measure: Measure) -> None:
    from harness.traffic import TokenPlan

    silent = {"usage": {"where": "absent"}}
    point = measure(silent, open_load(50, 5))
    assert {row["tok_source"] for row in point.rows} == {"absent"}
    assert {row["n_out"] for row in point.rows} == {None}
    point = measure(silent, open_load(50, 5), token_plan=TokenPlan("estimated"))
    assert {row["tok_source"] for row in point.rows} == {"characters"}


def test_pulses_and_client_rows(measure: Measure) -> None:
    point = measure({}, open_load(50, 100))
    pulses = [event for event in point.events if isinstance(event, Pulse)]
    assert pulses[-1].sent > 50
    assert pulses[-1].ttft_p50_s is not None
    # the last row ends with the point: nothing of it is left out
    last = point.clients[-1]
    assert (last["sent"], last["finished"]) == (len(point.rows),) * 2
    assert last["num_receives"] == sum(row["num_receives"] for row in point.rows)
    assert last["t_ns"] > max(row["end_ns"] for row in point.rows)
    assert any(row["send_lag_p99_ns"] is not None for row in point.clients)
    assert all(0 < row["cpu_ratio"] < 1.5 for row in point.clients)
    assert {row["clock_step_ns"] for row in point.clients} == {0}


def test_a_target_that_refuses_the_whole_warmup_ends_the_point(measure: Measure) -> None:
    point = measure({"http": {"status": 503}}, open_load(20, 2000, warmup="1s", cooldown="1s"))
    assert point.done.status == "partial"
    assert "refused every request" in point.done.reason
    assert len(point.rows) < 200


@pytest.mark.slow
def test_stop_drains_and_abort_cuts(load_process: LoadProcess, tmp_path: Path) -> None:
    with ScriptedServer({"timing": {"ttft": "10ms", "gap": "50ms"}}) as server:
        scenario = scenario_of(server.base_url, open_load(20, 4000, drain="20s"))
        for name, act, ended in (("s", "stop", {""}), ("a", "abort", {"", "cut"})):
            run = load_process.run(make_plan(tmp_path / name, scenario))
            events = []
            for event in run:
                events.append(event)
                if isinstance(event, Pulse) and event.sent > 5 and event.phase == "measured":
                    getattr(load_process, act)()
            done = events[-1]
            assert isinstance(done, Done)
            assert done.status == "interrupted"
            point = Point(tmp_path / name, done, events)
            assert {row["error_class"] for row in point.rows} == ended
            assert done.rows == len(point.rows)


def test_a_missing_key_is_said_before_any_request(measure: Measure) -> None:
    keyed = {"headers": {"X-A": {"env": "NOT_SET_ANYWHERE"}}}
    with pytest.raises(UsageError, match="NOT_SET_ANYWHERE is not set"):
        measure({}, open_load(20, 5), target=keyed)


@pytest.mark.parametrize(
    ("status", "keeps_asking", "ended"),
    [(503, True, "complete"), (503, False, "partial"), (401, True, "partial")],
)
def test_an_outage_from_the_start_is_the_finding_where_uptime_is_measured(
    load_process: LoadProcess, tmp_path: Path, status: int, keeps_asking: bool, ended: str
) -> None:
    """Refused throughout: a part of a long probe goes on and has its bad answers on record, where
    any other load ends. What we ask wrongly (401) is no outage and ends it all the same."""
    with ScriptedServer({"http": {"status": status}}) as server:
        scenario = scenario_of(server.base_url, open_load(20, 40, warmup="500ms", cooldown="1s"))
        plan = make_plan(tmp_path, scenario, keeps_asking=keeps_asking)
        point = drive(load_process, plan)
    assert point.done.status == ended
    measured = [row for row in point.rows if row["phase"] == "measured"]
    assert (len(measured) == 40) == (ended == "complete")
    if ended == "partial":
        assert point.done.reason.startswith("the target refused every request of the warm-up")

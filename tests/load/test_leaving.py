"""Users who leave and users who ask again, over real sockets, with what the endpoint saw of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.load import LoadProcess
from harness.testing import ScriptedServer
from harness.testing.record import RequestLog

from .conftest import Point, drive, make_plan, open_load, scenario_of, undisturbed

pytestmark = pytest.mark.e2e
FAST = {"ttft": "10ms", "gap": "2ms"}


def run(
    process: LoadProcess, folder: Path, script: dict[str, Any], chat: dict[str, Any],
    num: int = 30, **more: Any,
) -> tuple[Point, dict[str, RequestLog]]:  # fmt: skip
    """One point whose class has those keys; what the endpoint logged by request id."""
    load = more.pop("load", open_load(50, num))

    def act(folder: Path) -> tuple[Point, dict[str, RequestLog]]:
        with ScriptedServer({"timing": FAST} | script) as server:
            scenario = scenario_of(server.base_url, load, **more)
            scenario["traffic"][0] |= chat
            point = drive(process, make_plan(folder, scenario))
            return point, {log.request_id: log for log in server.requests}

    return undisturbed(folder, act)


def measured(point: Point) -> list[dict[str, Any]]:
    """Rows of the window: load stays on until the last of them has ended."""
    return [row for row in point.rows if row["phase"] == "measured"]


def test_users_leave_after_a_time(load_process: LoadProcess, tmp_path: Path) -> None:
    leaves = {"cancel": {"share": "50%", "after": {"kind": "fixed", "value": "500ms"}}}
    slow = {"timing": {"ttft": "20ms", "gap": "20ms"}}
    point, logs = run(load_process, tmp_path, slow, leaves, out=60)  # 1.2 s an answer
    left = [row for row in measured(point) if row["error_class"] == "cancelled"]
    stayed = [row for row in measured(point) if row["error_class"] == ""]
    assert len(left) + len(stayed) == 30
    assert 3 < len(left) < 27  # binomial(30, 1/2): false alarm below 1e-5
    for row in left:
        assert row["end_ns"] - row["intended_ns"] >= 500_000_000
        assert row["first_token_ns"] < row["end_ns"]
        assert 0 < row["n_out"] == len(row["chunk_ns"]) < 60  # its tokens are kept
        assert "left" in row["error_detail"]
        assert logs[row["request_id"]].outcome == "client_closed"
    for row in stayed:
        assert row["n_out"] == 60
        assert logs[row["request_id"]].outcome == "done"


def test_an_answer_sooner_than_its_user_leaves_is_whole(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    leaves = {"cancel": {"share": "100%", "after": {"kind": "fixed", "value": "50s"}}}
    point, _ = run(load_process, tmp_path, {}, leaves, num=10)
    assert [row["error_class"] for row in measured(point)] == [""] * 10


def test_users_leave_after_tokens_and_before_the_first(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    leaves = {"cancel": {"share": "100%", "after_tokens": {"kind": "fixed", "value": 5}}}
    slow = {"timing": {"ttft": "20ms", "gap": "30ms"}}
    point, _ = run(load_process, tmp_path / "a", slow, leaves, num=10, out=60)
    for row in measured(point):
        assert row["error_class"] == "cancelled"
        assert 5 <= row["n_out"] < 60
    silent = {"timing": {"ttft": "30s", "headers": "30s"}}
    leaves = {"cancel": {"share": "100%", "after": {"kind": "fixed", "value": "100ms"}}}
    point, logs = run(load_process, tmp_path / "b", silent, leaves, num=10)
    assert [row["error_class"] for row in measured(point)] == ["cancelled"] * 10
    assert [row["first_token_ns"] for row in measured(point)] == [None] * 10
    assert {logs[row["request_id"]].outcome for row in measured(point)} == {"client_closed"}


def test_closed_users_go_on_after_they_left(load_process: LoadProcess, tmp_path: Path) -> None:
    leaves = {"cancel": {"share": "100%", "after": {"kind": "fixed", "value": "100ms"}}}
    slow = {"timing": {"ttft": "20ms", "gap": "1s"}}
    load = {"kind": "closed", "concurrency": 2, "requests": 8}
    point, _ = run(load_process, tmp_path, slow, leaves, load=load)
    assert [row["error_class"] for row in measured(point)] == ["cancelled"] * 8


def test_retries_keep_the_first_intended_time(load_process: LoadProcess, tmp_path: Path) -> None:
    asks = {"retry": {"attempts": 3, "wait": "1s"}}
    broken = {"faults": [{"first": 4, "last": 6, "then": {"http": {"status": 503}}}]}
    point, logs = run(load_process, tmp_path, broken, asks)
    rows = measured(point)
    assert len(rows) == 33  # each attempt is a row
    assert {row["request_id"] for row in rows} <= set(logs)  # and a request
    assert Counter(row["error_class"] for row in rows) == {"": 30, "http_5xx": 3}
    by_key = {(row["ordinal"], row["attempt"]): row for row in rows}
    for ordinal in (4, 5, 6):
        first, again = by_key[ordinal, 0], by_key[ordinal, 1]
        assert (first["error_class"], again["error_class"]) == ("http_5xx", "")
        assert again["intended_ns"] == first["intended_ns"]
        assert again["released_ns"] - first["end_ns"] >= 500_000_000  # at least half of wait
        assert again["request_id"] == first["request_id"] + "-r1"
        assert logs[again["request_id"]].opening == logs[first["request_id"]].opening


def test_attempts_end_and_nothing_is_retried_unasked(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    asks = {"retry": {"attempts": 3, "wait": "10ms"}}
    broken = {"http": {"status": 500}}
    point, _ = run(load_process, tmp_path / "a", broken, asks, num=5)
    assert sorted((row["ordinal"], row["attempt"]) for row in measured(point)) == [
        (ordinal, attempt) for ordinal in range(5) for attempt in range(3)
    ]
    point, _ = run(load_process, tmp_path / "b", broken, {}, num=5)
    assert len(measured(point)) == 5
    asks = {"retry": {"attempts": 3, "on": ["throttled"]}}  # a 500 is none
    point, _ = run(load_process, tmp_path / "c", broken, asks, num=5)
    assert len(measured(point)) == 5


def test_retry_after_is_kept_or_too_long(load_process: LoadProcess, tmp_path: Path) -> None:
    busy = {"status": 429, "retry_after": "1s"}
    script = {"faults": [{"first": 0, "last": 1, "then": {"http": busy}}]}
    asks = {"retry": {"attempts": 2, "wait": "1ms"}}
    point, _ = run(load_process, tmp_path / "a", script, asks, num=5)
    again = {row["ordinal"]: row for row in measured(point) if row["attempt"] == 1}
    assert sorted(again) == [0, 1]
    for row in measured(point):
        if row["error_class"] == "throttled":
            assert row["retry_after_s"] == 1.0
            assert again[row["ordinal"]]["released_ns"] - row["end_ns"] >= 1_000_000_000
    asks = {"retry": {"attempts": 2, "wait": "1ms", "max_wait": "500ms"}}
    point, _ = run(load_process, tmp_path / "b", script, asks, num=5)
    assert {row["attempt"] for row in measured(point)} == {0}

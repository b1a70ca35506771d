"""Pitfalls of the client itself: a hub that is held up, slow parsing, a clock that is set, a cap.

A load process is disturbed from inside by patches that a test's launcher applies before it starts:
nothing here needs privileges, and everything but the disturbance is the real thing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.load import LoadProcess
from harness.records import read_spool
from harness.scenario.document import Validity

from .cases import EARLY_NS, MS, Run, launched, run_cases, statuses

pytestmark = pytest.mark.e2e
OUT = 12

DISTURBANCES = """
import time
import gevent
from gevent import monkey
from harness.load import recorder, wire, worker
from harness.load.clock import Axis

hold_up = monkey.get_original("time", "sleep")  # holds the whole process, as busy code would
STEP_NS, AFTER = 1_000_000_000, 250
state = {"receives": 0, "is_stepped": False}

def hold_the_hub():
    # 133 ms a turn: with one of 150 ms every arrival of a fixed rate of 20/s could miss every hold
    def turn():
        while True:
            gevent.sleep(0.083)
            hold_up(0.05)
    gevent.spawn(turn)

def parse_slowly():
    plain = recorder.absorb
    def absorb(*args, **kwargs):
        hold_up(0.02)
        return plain(*args, **kwargs)
    recorder.absorb = absorb

def set_the_clock():
    # an operator moves REALTIME on by a second: for the kernel's stamps and for those who read it
    def realtime_ns():
        return time.time_ns() + STEP_NS * state["is_stepped"]
    worker.Axis = lambda: Axis(realtime_ns)
    plain = wire._timespec
    def timespec(data):
        state["receives"] += 1
        state["is_stepped"] |= state["receives"] > AFTER
        seconds, nanoseconds = plain(data)
        return seconds + state["is_stepped"], nanoseconds
    wire._timespec = timespec
"""


Disturb = Callable[..., Run]


@pytest.fixture
def disturb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disturb:
    """disturb(how, count): that many requests with a chunk each 10 ms, and as many with one each
    70 ms, by a disturbed client."""

    def act(how: str, count: int, **more: object) -> Run:
        with launched(tmp_path, f"{DISTURBANCES}\n{how}()\n", monkeypatch) as process:
            cases = {
                "quick": (count, {"timing": {"ttft": "20ms", "gap": "10ms"}}),
                "slow": (count, {"timing": {"ttft": "20ms", "gap": "70ms"}}),
            }
            return run_cases(process, tmp_path / "point", cases, **more)  # type: ignore[arg-type]

    return act


def errors_ns(run: Run, is_certain: bool) -> np.ndarray:
    """Client stamp less the server's own, of every token chunk that is certain, or is not."""
    found = []
    for seen in run.cases.values():
        for row, log in zip(seen.rows, seen.logs, strict=True):
            sent = log.send_ns[1 : len(row["chunk_ns"]) + 1]
            chunks = zip(row["chunk_ns"], sent, row["chunk_uncertain"], strict=True)
            found += [stamp - true for stamp, true, doubt in chunks if doubt is not is_certain]
    return np.array(found)


def test_08_slow_parsing_moves_no_stamp(disturb: Disturb) -> None:
    """Each answer's parse holds the process for 20 ms, while others stream."""
    run = disturb("parse_slowly", 20, rate=20)
    certain = errors_ns(run, is_certain=True)
    assert len(certain) > 20 * OUT
    assert certain.min() >= -EARLY_NS
    assert np.median(certain) < 5 * MS
    assert max(row["recv_lag_max_ns"] for row in run.rows()) > 15 * MS  # and yet it was held up


def test_09_a_hub_blocked_for_50_ms_shows_its_lag_and_its_doubts(disturb: Disturb) -> None:
    run = disturb("hold_the_hub", 20, rate=20)
    # a lone chunk waits for up to 50 ms; of several in one receive only the last one is exact
    assert max(row["recv_lag_max_ns"] for row in run.rows("slow")) > 35 * MS
    assert sum(row["num_uncertain"] for row in run.rows("quick")) > 10
    certain, doubtful = errors_ns(run, is_certain=True), errors_ns(run, is_certain=False)
    assert np.median(certain) < 5 * MS  # the kernel stamped them while the hub slept
    assert np.median(doubtful) > np.median(certain)
    found = run.analyse()
    assert statuses(found)["receive_lag"] in ("notice", "invalid")
    assert statuses(found)["uncertain_chunks"] == "absent"
    assert found.find("icl", "p50").value is None  # type: ignore[union-attr]
    # the client, not the server, was late to send: by far more than a millisecond
    assert statuses(found)["send_lag"] == "invalid"
    assert not found.is_valid


def test_30_a_clock_set_by_a_second_moves_no_latency_and_is_told(disturb: Disturb) -> None:
    run = disturb("set_the_clock", 30, rate=20)
    steps = [row["clock_step_ns"] for row in read_spool(run.point.folder).clients.to_pylist()]
    assert sum(abs(step) > 900 * MS for step in steps) == 1
    rows = run.rows()
    assert {row["error_class"] for row in rows} == {""}
    # a stamp of the wrong era would be a second off
    for is_certain in (True, False):
        errors = errors_ns(run, is_certain)
        assert not len(errors) or abs(errors).max() < 500 * MS
    assert errors_ns(run, is_certain=True).min() >= -EARLY_NS
    for row in rows:
        stamps = [row[f"{n}_ns"] for n in ("sent", "headers", "first_token", "last_token", "end")]
        assert stamps == sorted(stamps)
    # the step came before the end: receives since the last good sample have our own stamps
    assert {"kernel", "user"} >= {row["stamp_source"] for row in rows}
    found = run.analyse()
    check = next(c for c in found.checks if c.code == "clock_step")
    assert check.status == "notice"
    assert "latencies use the monotonic clock and stand" in check.sentence


def test_14_a_cap_that_is_reached_is_counted_lies_inside_latency_and_voids_the_point(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """20 a second of 110 ms each need 2.2 in flight; two are allowed."""
    slow = {"held": (40, {"timing": {"ttft": "109ms", "gap": "1ms"}, "tokens": {"output": 2}})}
    run = run_cases(load_process, tmp_path, slow, rate=20, load={"max_in_flight": 2})
    rows = run.rows()
    held = [row for row in rows if row["released_ns"] - row["intended_ns"] > 50 * MS]
    assert len(held) > 10
    last = rows[-1]
    wait = last["sent_ns"] - last["intended_ns"]
    assert last["first_token_ns"] - last["intended_ns"] >= wait + 100 * MS  # inside latency
    found = run.analyse()
    assert statuses(found)["blocked"] == "invalid"
    assert not found.is_valid
    assert any("max_in_flight" in reason for reason in found.invalid_reasons)


def test_a_starved_client_voids_the_point(load_process: LoadProcess, tmp_path: Path) -> None:
    """Real CPU time against a limit that any client passes: the check reads what was used."""
    run = run_cases(load_process, tmp_path, {"plain": (60, {})}, rate=40)
    strict = Validity.model_validate({"max_client_cpu": "0.01%"})
    found = run.analyse(validity=strict)
    assert statuses(found)["client_cpu"] == "invalid"
    assert any("a busy client measures itself" in reason for reason in found.invalid_reasons)

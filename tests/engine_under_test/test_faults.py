"""A fault plan hits the same victims for the same seed, and its file is checked to the letter."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine_under_test.faults import BadFaultPlan, FaultPlan, wait_ns

KEYS = [f"request-{n}" for n in range(2000)]


def _plan(**fields: object) -> FaultPlan:
    return FaultPlan.model_validate(fields)


def _victims(plan: FaultPlan) -> list[str]:
    return [k for k in KEYS if plan.for_request(k, step=0)]


def test_victims_repeat_by_seed_and_follow_the_rate() -> None:
    error = {"rate": 0.1}
    first = _victims(_plan(seed=1, error=error))
    assert first == _victims(_plan(seed=1, error=error))
    other = _victims(_plan(seed=2, error=error))
    assert first != other
    # Binomial(2000, 0.1): 200 +- 67 is five sigma. The seeds are fixed: no false alarm.
    assert 133 < len(first) < 267
    assert set(first) < set(_victims(_plan(seed=1, error={"rate": 0.3})))


def test_a_rate_of_one_hits_all_and_zero_none() -> None:
    assert len(_victims(_plan(truncate={"rate": 1, "kind": "no_done"}))) == len(KEYS)
    assert _victims(_plan(error={"rate": 0})) == []


def test_step_times_add_up() -> None:
    plan = _plan(step_time_factor=1.05, step_time_add_ms=2)
    assert plan.step_delay_ns(0, 10_000_000) == 500_000 + 2_000_000
    assert plan.names == ("step_time_factor", "step_time_add_ms")


def test_windows_open_and_close() -> None:
    plan = _plan(
        step_time_add_ms={"value": 1, "steps": [10, 20]},
        error={"rate": 1, "steps": [5, None]},
    )
    assert [plan.step_delay_ns(s, 0) for s in (9, 10, 19, 20)] == [0, 1_000_000, 1_000_000, 0]
    assert [plan.for_request("a", s) is not None for s in (4, 5, 10**9)] == [False, True, True]


def test_stalls_are_drawn_per_step() -> None:
    plan = _plan(stall={"ms": 1, "rate": 0.25})
    stalled = [s for s in range(1000) if plan.step_delay_ns(s, 0)]
    assert 180 < len(stalled) < 320  # Binomial(1000, 0.25), five sigma
    assert stalled == [s for s in range(1000) if plan.step_delay_ns(s, 12345)]


def test_an_empty_plan_does_nothing() -> None:
    plan = _plan()
    assert plan.names == ()
    assert plan.step_delay_ns(0, 10**9) == 0
    assert plan.for_request("a", 0) is None


def test_plans_are_told_apart_by_their_header() -> None:
    one, two = _plan(step_time_factor=1.05), _plan(step_time_factor=1.06)
    assert one.header != two.header
    assert one.header.endswith("faults=step_time_factor")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"step_tim_factor": 1.1}', "step_tim_factor"),
        ('{"step_time_factor": 0.9}', "step_time_factor"),
        ('{"error": {"rate": 2}}', "error.rate"),
        ('{"truncate": {"rate": 1, "kind": "half"}}', "truncate.kind"),
        ('{"error": {"rate": 1, "at": "lunch"}}', "error.at"),
        ('{"stall": {"ms": 1, "steps": [5, 5]}}', "stall.steps"),
        ('{"stall": {"ms": 1, "steps": [-1, null]}}', "stall.steps"),
        ('{"step_time_add_ms": true}', "step_time_add_ms"),
        ("{", "JSON"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(BadFaultPlan, match=named) as raised:
        FaultPlan.from_file(file)
    assert "plan.json" in str(raised.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadFaultPlan, match=r"none\.json"):
        FaultPlan.from_file(tmp_path / "none.json")


def test_waiting_never_ends_early() -> None:
    for delay_ns in (0, 50_000, 1_500_000):
        start = time.monotonic_ns()
        wait_ns(delay_ns)
        assert time.monotonic_ns() - start >= delay_ns

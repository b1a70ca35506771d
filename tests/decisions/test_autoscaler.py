"""The autoscaler's rule, case by case: what is observed when, and how many replicas follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions.autoscaler import Load, Policy, Scaler, wanted

CASES = json.loads((Path(__file__).parents[1] / "autoscaler_cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_table(case: dict[str, Any]) -> None:
    policy = Policy(**{**case["policy"], "capacity": Load(**case["policy"]["capacity"])})
    state = Scaler(case["start"])
    for at_s, load, expected in case["observations"]:
        state = state.step(policy, at_s, Load(**load))
        assert state.replicas == expected, f"at {at_s} s"


loads = st.lists(st.tuples(st.floats(0, 400), st.integers(0, 90)), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(loads, st.integers(0, 2), st.integers(2, 6))
def test_within_bounds_and_never_beyond_what_was_wanted(
    steps: list[tuple[float, int]], least: int, most: int
) -> None:
    policy = Policy(Load(concurrent_requests=10), min_replicas=least, max_replicas=most)
    state, now_s, before = Scaler(least), 0.0, []
    for wait_s, present in steps:
        now_s += wait_s
        load = Load(concurrent_requests=present)
        before.append(wanted(policy, load))
        after = state.step(policy, now_s, load)
        assert least <= after.replicas <= most
        if after.replicas > state.replicas:
            assert after.replicas <= before[-1]  # nobody grows beyond what is wanted now
        if after.replicas < state.replicas:
            assert after.replicas >= min(before[-1], state.replicas)
        state = after


@settings(max_examples=100, deadline=None, derandomize=True)
@given(loads)
def test_looking_twice_at_one_time_changes_nothing(steps: list[tuple[float, int]]) -> None:
    policy = Policy(Load(concurrent_requests=10), max_replicas=6, down_after_s=20)
    state, now_s = Scaler(1), 0.0
    for wait_s, present in steps:
        now_s += wait_s
        load = Load(concurrent_requests=present)
        state = state.step(policy, now_s, load)
        assert state.step(policy, now_s, load) == state


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"capacity": Load()}, "names no load"),
        ({"capacity": Load(req_per_s=0)}, "above 0"),
        ({"utilisation": 0}, r"not in \(0, 1\]"),
        ({"min_replicas": 3, "max_replicas": 2}, "3 to 2 replicas"),
        ({"max_replicas": 0}, "0 to 0 replicas"),
        ({"down_after_s": -1}, "below 0 s"),
        ({"to_zero_after_s": 299}, "least is 300"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Policy(**{"capacity": Load(concurrent_requests=1), **changed})

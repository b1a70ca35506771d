"""The autoscaled fleet: timelines by hand, a fixed fleet as its special case, nobody lost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.decisions.autoscaler import Load, Policy
from harness.decisions.twin import (
    Blocks,
    Deployment,
    Requests,
    StepModel,
    simulate_autoscaled,
    simulate_fleet,
)  # fmt: skip

SECOND = StepModel(1.0, 1.0, 0.0)  # every step takes a second
DEPLOYMENT = Deployment(max_batch=4, max_batched_tokens=64, kv_tokens=10_000)


def at(*arrival_s: float, n_out: int = 5) -> Requests:
    """Each needs one step of prefill and four of decoding: 5 s alone."""
    n = len(arrival_s)
    return Requests(np.array(arrival_s), np.full(n, 10), np.full(n, n_out))


def policy(**changed: Any) -> Policy:
    return Policy(**{"capacity": Load(concurrent_requests=4), "to_zero_after_s": 300, **changed})


def test_from_zero_and_back_by_hand() -> None:
    """At 100.5 the first comes: starts at once, ready 40.5 s later, first token after its step.

    Served by 146. The look at 150 is the first to find nothing; zero follows at 450.
    The second comes at 1000, after that: again a cold start.
    """
    run = simulate_autoscaled(
        SECOND, DEPLOYMENT, at(100.5, 1000.0), policy=policy(), cold_start_s=[40.5], end_s=2000.0
    )
    first, second = run.lives
    assert (first.start_s, first.ready_s, first.stop_s, first.gone_s) == (100.5, 141.0, 450, 450)
    assert (second.start_s, second.ready_s, second.stop_s) == (1000.0, 1040.5, 1350.0)
    assert run.asked == ((0.0, 0), (100.5, 1), (450.0, 0), (1000.0, 1), (1350.0, 0))
    np.testing.assert_allclose(run.outcome.ttft_s, [41.5, 41.5])
    np.testing.assert_allclose(run.outcome.e2e_s, [45.5, 45.5])
    assert run.billed_s == (450 - 141) + math.ceil(1350 - 1040.5)
    assert run.cold_starts == 2
    assert run.is_held.tolist() == [True, True]
    assert run.ready_at(np.array([0, 141, 449, 450, 1100])).tolist() == [0, 1, 1, 0, 1]
    billed = simulate_autoscaled(
        SECOND, DEPLOYMENT, at(100.5, 1000.0), policy=policy(), cold_start_s=[40.5], end_s=2000.0,
        bill_cold_start=True,
    )  # fmt: skip
    assert billed.billed_s == math.ceil(450 - 100.5) + (1350 - 1000)


def test_rejected_while_cold_but_load_all_the_same() -> None:
    """Refused at 0 and 20 (starting), served at 70."""
    run = simulate_autoscaled(
        SECOND, DEPLOYMENT, at(0.0, 20.0, 70.0), policy=policy(), on_cold="reject"
    )
    assert run.outcome.is_refused.tolist() == [True, True, False]
    assert run.outcome.ttft_s[2] == 1.0
    assert run.lives[0].ready_s == 60.0
    assert run.outcome.replica.tolist() == [-1, -1, 0]


def test_a_new_replica_knows_no_prefix() -> None:
    """The same prompt twice on the first replica, twice on the one after it (its table reused)."""
    requests = Requests(
        np.array([0.0, 50.0, 1000.0, 1050.0]), np.full(4, 20), np.full(4, 2),
        Blocks.of([[1, 2]] * 4, 8),
    )  # fmt: skip
    deployment = Deployment(4, 64, 10_000, prefix_cache=True)
    run = simulate_autoscaled(SECOND, deployment, requests, policy=policy(), cold_start_s=[10.0])
    assert run.outcome.replica.tolist() == [0, 0, 1, 1]
    assert run.outcome.cached_tok.tolist() == [0, 16, 0, 16]


def test_up_after_its_window_and_down_after_its_own() -> None:
    """From 0 s 8 are present on one replica of 4: 3 are wanted at 80 %.

    The look at 0 s comes before arrivals at 0 s, so they are seen from 10 s on, asked for at 40.
    """
    requests = at(*[0.0] * 8, n_out=200)
    run = simulate_autoscaled(
        SECOND, DEPLOYMENT, requests, end_s=1200.0, cold_start_s=[10.0],
        policy=policy(min_replicas=1, max_replicas=5),
    )  # fmt: skip
    # 4 run, 4 wait for them to end at 200 s: 8 present until then, 4 after it (2 wanted),
    # none from 400 s on. Down to 2 at 800 s (the first look without 3 was at 200), to 1 at 1000.
    assert run.asked == ((0.0, 1), (40.0, 3), (800.0, 2), (1000.0, 1))
    assert [life.ready_s for life in run.lives] == [0.0, 50.0, 50.0]
    assert [life.gone_s for life in run.lives] == [math.inf, 1000.0, 800.0]
    assert run.billed_s == 1200 + 950 + 750


def test_who_is_told_to_stop_serves_what_it_has() -> None:
    """Two requests of 1,000 s on two replicas; from 10 s on one is wanted. Both are served."""
    run = simulate_autoscaled(
        SECOND, DEPLOYMENT, at(0.0, 0.0, 20.0, n_out=1000), initial=2,
        policy=policy(min_replicas=1, max_replicas=2, down_after_s=10),
    )  # fmt: skip
    assert run.outcome.replica.tolist() == [0, 1, 0]
    assert run.lives[1].stop_s == 10.0
    assert run.lives[1].gone_s == 1000.0
    np.testing.assert_array_equal(run.outcome.e2e_s[:2], [1000, 1000])


def test_a_start_that_is_not_needed_any_more_costs_nothing() -> None:
    run = simulate_autoscaled(
        SECOND, DEPLOYMENT, at(*[0.0] * 8, n_out=60), end_s=1000.0, cold_start_s=[5000.0],
        policy=policy(min_replicas=1, max_replicas=2, down_after_s=60),
    )  # fmt: skip
    assert run.lives[1].ready_s > run.lives[1].gone_s
    assert run.billed_s == 1000


@pytest.mark.parametrize("router", ["round_robin", "least_loaded", "two_choices", "prefix_aware"])
def test_a_fleet_that_may_not_scale_is_a_fixed_one(router: Any) -> None:
    rng = np.random.default_rng(1)
    n = 3_000
    blocks = Blocks.of([[f, f + 1, 100 + i] for i, f in enumerate(10 * rng.integers(0, 9, n))], 16)
    requests = Requests(
        np.cumsum(rng.exponential(0.1, n)), rng.integers(1, 300, n), rng.integers(1, 60, n), blocks
    )
    model = StepModel(0.01, 0.008, 3e-5, 4e-8, 1e-10)
    deployment = Deployment(8, 128, 2_000, prefix_cache=True)
    fixed = simulate_fleet(model, deployment, requests, replicas=3, router=router, seed=4)
    run = simulate_autoscaled(
        model, deployment, requests, router=router, seed=4,
        policy=policy(min_replicas=3, max_replicas=3),
    )  # fmt: skip
    np.testing.assert_array_equal(fixed.replica, run.outcome.replica)
    # a look may split a run of steps in two: the same sums in another order
    np.testing.assert_allclose(fixed.e2e_s, run.outcome.e2e_s, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(fixed.cached_tok, run.outcome.cached_tok)
    assert run.billed_s == 3 * math.ceil(run.end_s)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0, 2000), st.integers(1, 60)), min_size=1, max_size=30),
    st.sampled_from(["hold", "reject"]),
    st.lists(st.sampled_from([0.0, 7.5, 45.0, 400.0]), min_size=1, max_size=3),
    st.integers(0, 1),
)
def test_nobody_is_lost(
    found: list[tuple[float, int]], on_cold: Any, cold_start_s: list[float], least: int
) -> None:
    """All are served once or refused; none before a replica was ready; the bill covers the work."""
    arrival_s, n_out = zip(*sorted(found), strict=True)
    requests = Requests(np.array(arrival_s), np.full(len(found), 20), np.array(n_out))
    run = simulate_autoscaled(
        SECOND, Deployment(2, 32, 500), requests, on_cold=on_cold, cold_start_s=cold_start_s,
        policy=policy(
            capacity=Load(concurrent_requests=2), min_replicas=least, max_replicas=4,
            down_after_s=60,
        ),
    )  # fmt: skip
    served = ~run.outcome.is_refused
    if on_cold == "hold" or least:
        assert served.all()
    for i in np.flatnonzero(served):
        life = run.lives[run.outcome.replica[i]]
        assert arrival_s[i] + run.outcome.queue_s[i] >= life.ready_s
        assert arrival_s[i] + run.outcome.e2e_s[i] <= life.gone_s
    assert run.billed_s >= run.outcome.totals.busy_s - 1e-6
    assert run.outcome.totals.end_s <= run.end_s


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"cold_start_s": []}, "cold starts"),
        ({"every_s": 0}, "more than 0 s apart"),
        ({"on_cold": "drop"}, "not hold or reject"),
        ({"start_s": 5.0}, "before start_s = 5"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        simulate_autoscaled(SECOND, DEPLOYMENT, at(0.0), policy=policy(), **changed)

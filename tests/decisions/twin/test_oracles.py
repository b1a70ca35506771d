"""The twin against formulas that know nothing of it: queueing theory, sums, limits."""

from __future__ import annotations

import numpy as np
import pytest

from harness.decisions.twin import (
    Blocks,
    Deployment,
    Requests,
    StepModel,
    simulate,
    simulate_fleet,
)  # fmt: skip
from harness.decisions.twin.fleet import Router
from harness.decisions.twin.requests import IntArray

STEP = StepModel(a0=0.008, b=0.007, a1=3e-5, c=4e-8, e=1e-10)
WIDE = Deployment(max_batch=256, max_batched_tokens=2048, kv_tokens=400_000)


def poisson(rate: float, n: int, seed: int, n_in: int = 1, n_out: int = 1) -> Requests:
    arrival_s = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))
    return Requests(arrival_s, np.full(n, n_in), np.full(n, n_out))


def azure_like(rate: float, n: int, seed: int) -> Requests:
    rng = np.random.default_rng(seed)
    n_in = np.clip(rng.lognormal(np.log(1000), 0.55, n), 8, 4000).astype(np.int64)
    n_out = np.clip(rng.lognormal(np.log(160), 0.70, n), 4, 1000).astype(np.int64)
    return Requests(np.cumsum(rng.exponential(1 / rate, n)), n_in, n_out)


@pytest.mark.parametrize(("rho", "mean_wait_s"), [(0.5, 0.05), (0.8, 0.2), (0.9, 0.45)])
def test_batch_of_one_is_an_m_d_1_queue(rho: float, mean_wait_s: float) -> None:
    """Each wait by Lindley's recursion; their mean rho s / (2 (1 - rho)), s = .1.

    The mean of 400,000 waits at rho .9 has a standard error of 1.6 %: 6 % is missed by one seed
    in 5,000.
    """
    service_s = 0.1
    requests = poisson(rho / service_s, 400_000, seed=11)
    outcome = simulate(StepModel(service_s, service_s, 0.0), Deployment(1, 1, 100), requests)
    waits_s, wait_s = [0.0], 0.0
    for gap_s in np.diff(requests.arrival_s):
        wait_s = max(0.0, wait_s + service_s - gap_s)
        waits_s.append(wait_s)
    np.testing.assert_allclose(outcome.ttft_s - service_s, waits_s, atol=1e-7)
    np.testing.assert_allclose(outcome.queue_s, waits_s, atol=1e-7)
    assert outcome.queue_s.mean() == pytest.approx(mean_wait_s, rel=0.06)


def test_a_batch_that_starts_at_once_takes_the_sum() -> None:
    """20 prompts of 50 in one step, then 99 decode steps: k t0 + v k (k - 1) / 2."""
    batch, n_in, n_out = 20, 50, 100
    requests = Requests(np.zeros(batch), np.full(batch, n_in), np.full(batch, n_out))
    outcome = simulate(STEP, WIDE, requests)
    prefill_s = max(0.008, 0.007 + 3e-5 * batch * n_in) + 1e-10 * batch * n_in**2 / 2
    k, t0, v = n_out - 1, max(0.008, 0.007 + 3e-5 * batch) + 4e-8 * batch * n_in, 4e-8 * batch
    np.testing.assert_allclose(outcome.ttft_s, prefill_s, rtol=1e-12)
    np.testing.assert_allclose(outcome.tpot_s, (k * t0 + v * k * (k - 1) / 2) / k, rtol=1e-12)
    assert outcome.totals.num_steps == 1 + k


def test_speculation_divides_the_steps() -> None:
    """tau 2.5 with three drafts: 99 tokens after the first in ceil(99 / 2.5) = 40 steps."""
    deployment = Deployment(8, 2048, 400_000, gamma=3, tau=2.5)
    outcome = simulate(STEP, deployment, Requests(np.zeros(1), np.array([50]), np.array([100])))
    assert outcome.totals.num_steps == 1 + 40


@pytest.mark.parametrize("n_in", [1, 100, 2048, 2049, 9000])
def test_an_empty_system_answers_after_its_prefill(n_in: int) -> None:
    requests = Requests(np.array([3.5]), np.array([n_in]), np.array([10]))
    expected_s, done = 0.0, 0
    while done < n_in:
        chunk = min(2048, n_in - done)
        expected_s += max(0.008, 0.007 + 3e-5 * chunk) + 1e-10 * chunk * (done + chunk / 2)
        done += chunk
    outcome = simulate(STEP, WIDE, requests)
    assert outcome.ttft_s[0] == pytest.approx(expected_s, rel=1e-12)
    assert outcome.queue_s[0] == 0


@pytest.mark.parametrize("rate", [4.0, 9.0])
def test_little(rate: float) -> None:
    """Time in service, counted by request and, apart from that, by step."""
    requests = azure_like(rate, 20_000, seed=2)
    outcome = simulate(STEP, WIDE, requests)
    assert outcome.totals.preemptions == 0
    by_request_s = (outcome.e2e_s - outcome.queue_s).sum()
    assert outcome.totals.running_s == pytest.approx(by_request_s, rel=1e-9)


def test_the_fluid_limit_holds_and_is_nearly_reached() -> None:
    """All at once: no faster than 1 / (work of a request + its share of a full batch's steps)."""
    deployment = Deployment(64, 2048, 10_000_000)
    requests = azure_like(1e9, 6_000, seed=3)
    outcome = simulate(StepModel(0.007, 0.007, 3e-5, 4e-8, 1e-10), deployment, requests)
    n_in, later = requests.n_in, requests.n_out - 1
    context = n_in * later + later * (later - 1) / 2
    work_s = 3e-5 * (n_in + later) + 4e-8 * context + 1e-10 * n_in**2 / 2
    fluid_s = (work_s + 0.007 * requests.n_out / 64).sum()
    assert fluid_s <= outcome.totals.end_s <= 1.05 * fluid_s


def test_more_of_everything_never_hurts_a_batch_at_once() -> None:
    """Twice the step's coefficients take exactly twice the time; nothing else moves."""
    requests = Requests(np.zeros(500), *(azure_like(1, 500, seed=4).n_in,) * 2)
    once, twice = (
        simulate(StepModel(*(f * x for x in (0.008, 0.007, 3e-5, 4e-8, 1e-10))), WIDE, requests)
        for f in (1, 2)
    )
    np.testing.assert_array_equal(2 * once.e2e_s, twice.e2e_s)
    np.testing.assert_array_equal(once.preemptions, twice.preemptions)


def test_replicas_apart_are_replicas_alone() -> None:
    """Round robin and sticky: each replica's requests, simulated by themselves, come out alike."""
    requests = azure_like(20.0, 3_000, seed=5)
    session = np.random.default_rng(6).integers(0, 40, len(requests))
    requests = Requests(requests.arrival_s, requests.n_in, requests.n_out, session=session)
    expected: dict[Router, IntArray] = {
        "round_robin": np.arange(3_000) % 3, "sticky": session % 3,
    }  # fmt: skip
    for router, replica in expected.items():
        fleet = simulate_fleet(STEP, WIDE, requests, replicas=3, router=router)
        np.testing.assert_array_equal(fleet.replica, replica)
        for r in range(3):
            own = replica == r
            part = Requests(requests.arrival_s[own], requests.n_in[own], requests.n_out[own])
            np.testing.assert_array_equal(fleet.e2e_s[own], simulate(STEP, WIDE, part).e2e_s)


def test_routers_in_their_known_order() -> None:
    """One at a time, exponential service, load .9: fewest requests beat two choices beat turns."""
    rng = np.random.default_rng(7)
    n_in = np.ceil(rng.exponential(1_000, 60_000)).astype(np.int64)
    requests = Requests(np.cumsum(rng.exponential(1 / 3.6, 60_000)), n_in, np.ones(60_000))
    deployment = Deployment(1, 20_000, 20_000)
    routers: tuple[Router, ...] = ("least_loaded", "two_choices", "round_robin")
    waits = [
        simulate_fleet(
            StepModel(1e-9, 0.0, 1e-3), deployment, requests, replicas=4, router=router, seed=1
        ).queue_s.mean()
        for router in routers
    ]
    assert 1.97 < waits[0] < waits[1] / 1.1  # no router beats one line for all, M/M/4: 1.97 s
    assert waits[1] < waits[2] / 1.5


def test_a_shared_prefix_is_computed_once() -> None:
    """Ten prompts of 4 blocks, the first 3 shared: nine find 3 blocks; the whole is never found."""
    requests = Requests(
        np.arange(10.0), np.full(10, 64), np.full(10, 2),
        Blocks.of([[1, 2, 3, 100 + i] for i in range(10)], 16),
    )  # fmt: skip
    cached = Deployment(8, 2048, 400, prefix_cache=True)
    outcome = simulate(STEP, cached, requests)
    assert outcome.cached_tok.tolist() == [0] + [48] * 9
    assert outcome.totals.prefill_tok == 64 + 9 * 16
    assert simulate(STEP, Deployment(8, 2048, 400), requests).cached_tok.sum() == 0
    equal = Requests(
        np.arange(3.0), np.full(3, 64), np.full(3, 2), Blocks.of([[1, 2, 3, 4]] * 3, 16)
    )
    assert simulate(STEP, cached, equal).cached_tok.tolist() == [0, 48, 48]


def test_the_least_recently_used_prefix_goes_first() -> None:
    """Room for 58 idle tokens beside a prompt, blocks of 16: a, b, a again, c: of the idle b b a a
    the last block of b goes, its first is still there when b returns."""
    order = [0, 1, 0, 2, 0, 1]
    blocks = Blocks.of([[10 * family, 10 * family + 1] for family in order], 16)
    requests = Requests(np.arange(6.0), np.full(6, 33), np.full(6, 2), blocks)
    outcome = simulate(STEP, Deployment(4, 64, 100, prefix_cache=True), requests)
    assert outcome.cached_tok.tolist() == [0, 0, 32, 0, 32, 16]


def test_prefix_aware_keeps_families_together() -> None:
    rng = np.random.default_rng(8)
    family = rng.integers(0, 24, 4_000)
    blocks = Blocks.of(
        [[16 * f + j for j in range(4)] + [1000 + i] for i, f in enumerate(family)], 128
    )
    requests = Requests(
        np.cumsum(rng.exponential(0.05, 4_000)), np.full(4_000, 640), np.full(4_000, 20), blocks
    )
    deployment = Deployment(32, 2048, 6_000, prefix_cache=True)
    routers: tuple[Router, ...] = ("round_robin", "prefix_aware")
    by_turns, by_prefix = (
        simulate_fleet(STEP, deployment, requests, replicas=4, router=router).cached_tok.sum()
        for router in routers
    )
    assert by_prefix > 1.5 * by_turns


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: StepModel(0.0, 0.1, 0.0), "a step takes time"),
        (lambda: StepModel(0.1, float("nan"), 0.0), "b is not a finite"),
        (lambda: StepModel(0.1, 0.1, -1e-5), "a1 is -1e-05, below 0"),
        (lambda: Deployment(0, 1, 1), "max_batch is 0"),
        (lambda: Deployment(8, 7, 100), "raise max_batched_tokens or lower max_batch"),
        (lambda: Deployment(8, 64, 100, gamma=1, tau=2.5), "tau 2.5 with 1 drafts"),
        (lambda: Deployment(8, 64, 100, memory="swap"), "not watermark or reserve"),  # type: ignore[arg-type]
        (lambda: Requests(np.array([1.0, 0.0]), np.ones(2), np.ones(2)), "not in order"),
        (lambda: Requests(np.zeros(2), np.array([1, 0]), np.ones(2)), "n_in has a value below 1"),
        (lambda: Requests(np.zeros(2), np.ones(3), np.ones(2)), "not one row of 2"),
        (lambda: simulate_fleet(STEP, WIDE, poisson(1, 2, 0), replicas=0), "at least one"),
        (
            lambda: simulate_fleet(STEP, WIDE, poisson(1, 2, 0), replicas=2, router="sticky"),
            "needs requests with a session",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=says):
        make()


def test_nobody_came() -> None:
    empty = Requests(np.zeros(0), np.zeros(0), np.zeros(0))
    outcome = simulate(STEP, WIDE, empty)
    assert len(outcome.ttft_s) == 0
    assert outcome.totals.num_steps == 0

"""The sustained rate by the twin: sharp where arithmetic knows it, and honest where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.decisions.hinge import Hinge
from harness.decisions.step_fit import HeldOut, StepFit
from harness.decisions.swept_hull import SweptHull
from harness.decisions.twin import Deployment
from harness.decisions.twin_capacity import (
    Mix,
    Objective,
    at_rate,
    beyond_sweep,
    breaks_first,
    search,
    serve,
    twin_capacity,
)

# every step 10 ms, whatever it holds
FLAT = Hinge(a0=0.01, b=0.01, a1=0.0, d=0.0, c=0.0, e=0.0, o=0.0, loss=0.0, corner=1)
REAL = Hinge(a0=8e-3, b=5e-3, a1=1e-4, d=1e-4, c=1e-7, e=4e-9, o=0.0, loss=0.0, corner=1)
HULL = SweptHull(((1.0, 4000.0), (64.0, 60000.0)), 4000)
WIDE = Deployment(64, 512, 100_000)


def fit_of(hinge: Hinge, draws: tuple[Hinge, ...] = (), overhead_s: float = 0.0) -> StepFit:
    held_out = HeldOut(20, 0.02, 0.04, 0.05)
    return StepFit(hinge, draws, overhead_s, 0.0, held_out, HULL, 512, 1.0, 20, 8)


def mix(n_in: int, n_out: int, cv: float = 1.0) -> Mix:
    return Mix("m", np.array([n_in]), np.array([n_out]), cv)


def test_one_place_and_regular_arrivals_saturate_at_one_over_service_time() -> None:
    """One prompt step and four decode steps of 10 ms: 50 ms a request, 20 requests/s."""
    alone = Deployment(1, 512, 100_000)
    found = twin_capacity(
        fit_of(FLAT), alone, mix(10, 5, cv=0.01), Objective(ttft_s=0.5, attainment=0.9)
    )
    assert found.estimate.value == pytest.approx(20, rel=0.01)
    assert found.breaks_first == "TTFT: every place in the batch is taken"
    assert found.extrapolated == ()


def test_md1_share_of_waits_below_one_service_time() -> None:
    """M/D/1 at rho 0.5: P(W <= s) = (1 - rho) e^rho (Crommelin 1932)."""
    alone = Deployment(1, 512, 100_000)
    requests = mix(10, 1).requests(np.random.default_rng(1), 200_000)
    served = serve(fit_of(FLAT), FLAT, alone, at_rate(requests, 50.0))
    share = served.good_share(Objective(ttft_s=0.02 + 1e-12))
    assert share == pytest.approx(0.5 * np.exp(0.5), abs=0.004)


def test_what_lies_outside_the_engine_counts_once_a_request() -> None:
    requests = mix(10, 3).requests(np.random.default_rng(1), 50)
    plain = serve(fit_of(FLAT), FLAT, WIDE, at_rate(requests, 1.0))
    later = serve(fit_of(FLAT, overhead_s=0.005), FLAT, WIDE, at_rate(requests, 1.0))
    np.testing.assert_allclose(later.ttft_s - plain.ttft_s, 0.005)
    np.testing.assert_allclose(later.e2e_s - plain.e2e_s, 0.005)
    np.testing.assert_array_equal(later.tpot_s, plain.tpot_s)


def test_the_interval_is_that_of_the_draws() -> None:
    slow, fast = (replace(REAL, a0=REAL.a0 * k, b=REAL.b * k, a1=REAL.a1 * k) for k in (1.25, 0.8))
    objective = Objective(ttft_s=0.5, tpot_s=0.05)
    draws = (slow,) * 20 + (fast,) * 20
    found = twin_capacity(fit_of(REAL, draws), WIDE, mix(300, 60), objective, num_requests=2000)
    sure = twin_capacity(fit_of(REAL), WIDE, mix(300, 60), objective, num_requests=2000)
    e = found.estimate
    assert e.value is not None
    assert e.low is not None
    assert e.high is not None
    assert e.value == sure.estimate.value
    assert e.low < 0.9 * e.value < 1.1 * e.value < e.high
    assert len(found.draws) == 40
    assert found.low == e.low


def test_stricter_limits_sustain_less_and_impossible_ones_nothing() -> None:
    rates = [
        twin_capacity(fit_of(REAL), WIDE, mix(300, 60), objective, num_requests=2000).estimate.value
        for objective in (
            Objective(ttft_s=2.0, tpot_s=0.1),
            Objective(ttft_s=0.2, tpot_s=0.1),
            Objective(ttft_s=0.2, tpot_s=0.01),
        )
    ]
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    assert rates[0] != rates[2]
    none = twin_capacity(fit_of(REAL), WIDE, mix(300, 60), Objective(tpot_s=0.001))
    assert none.estimate.value == 0
    assert "lone request" in none.estimate.reason
    assert none.headroom == ()


def test_headroom_falls_from_all_good_to_the_share_asked_for_to_less() -> None:
    found = twin_capacity(fit_of(REAL, (REAL,)), WIDE, mix(300, 60), Objective(ttft_s=0.5))
    by_load = {row.load_ratio: row for row in found.headroom}
    assert by_load[0.3].good_ratio == 1
    assert by_load[1.0].good_ratio >= 0.99
    assert by_load[1.2].good_ratio < 0.99
    assert by_load[1.2].ttft_p95_s > by_load[0.3].ttft_p95_s
    assert all(r.good_low <= r.good_ratio <= r.good_high for r in found.headroom)


@pytest.mark.parametrize(
    ("deployment", "lengths", "objective", "told"),
    [
        (Deployment(64, 512, 1500), (300, 200), Objective(ttft_s=0.3), "the KV cache is full"),
        (Deployment(2, 512, 100_000), (30, 200), Objective(ttft_s=0.3), "place in the batch"),
        (Deployment(256, 512, 900_000), (2000, 2), Objective(ttft_s=2.0), "prompts queue"),
        (Deployment(256, 512, 900_000), (10, 400), Objective(tpot_s=0.015), "steps grow"),
    ],
)
def test_what_breaks_first_is_named(
    deployment: Deployment, lengths: tuple[int, int], objective: Objective, told: str
) -> None:
    found = twin_capacity(fit_of(REAL), deployment, mix(*lengths), objective, num_requests=1500)
    assert told in found.breaks_first


def test_states_beyond_the_sweep_are_named() -> None:
    few = SweptHull(((1.0, 400.0), (4.0, 900.0)), 200)
    requests = mix(300, 100).requests(np.random.default_rng(1), 1000)
    busy = serve(fit_of(REAL), REAL, WIDE, at_rate(requests, 12.0))
    told = " ".join(beyond_sweep(busy, few))
    assert "sequences at once, 4 were swept" in told
    assert "prompts of 300 tokens, 200 were swept" in told
    calm = serve(fit_of(REAL), REAL, WIDE, at_rate(requests, 0.001))
    assert beyond_sweep(calm, HULL) == ()
    assert breaks_first(calm, Objective(ttft_s=10.0)) == ""


def test_gamma_arrivals_keep_rate_and_irregularity() -> None:
    requests = mix(10, 5, cv=3.0).requests(np.random.default_rng(2), 100_000)
    gaps = np.diff(requests.arrival_s)
    assert gaps.mean() == pytest.approx(1.0, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.03)


def test_search_by_hand() -> None:
    assert search(lambda rate: 1.0 if rate <= 7.3 else 0.0, 0.99, 1.0) == pytest.approx(
        7.3, rel=0.003
    )
    assert search(lambda rate: 1.0 if rate <= 0.01 else 0.0, 0.99, 64.0) == pytest.approx(
        0.01, rel=0.003
    )
    assert search(lambda rate: 0.0, 0.99, 1.0) == 0
    assert search(lambda rate: 1.0, 0.99, 1.0, most=37.5) == 37.5
    assert search(lambda rate: 1.0, 0.99, 64.0, most=37.5) == 37.5


def test_no_limit_is_so_generous_that_more_than_saturation_is_sustained() -> None:
    """50 ms a request, one at a time: 20 requests/s, though 4,000 never wait a whole hour."""
    alone = Deployment(1, 512, 100_000)
    found = twin_capacity(fit_of(FLAT, (FLAT,)), alone, mix(10, 5), Objective(ttft_s=3600.0))
    assert found.estimate.value == pytest.approx(20)
    assert found.draws == (pytest.approx(20),)

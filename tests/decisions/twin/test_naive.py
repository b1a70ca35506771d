"""The twin against a naive stepper: equal bit for bit where floats are exact, else to 1e-9 s.

In the first test every coefficient and arrival is a multiple of 2^-20 s, so both sides calculate
without rounding, and ties (an arrival at a step's very end) are decided alike. The second takes
any coefficients; an arrival within 1e-9 s of a boundary may then fall on either side of it, and
such a case is drawn anew.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.decisions.twin import Deployment, Outcome, Requests, StepModel, simulate


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "twin_naive", Path(__file__).with_name("naive.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


naive = _load()
TICK_S = 2.0**-20
Rows = list[tuple[float, int, int]]


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    gamma = draw(st.integers(0, 3))
    max_batch = draw(st.integers(1, 6))
    return Deployment(
        max_batch=max_batch,
        max_batched_tokens=max_batch * (1 + gamma) + draw(st.integers(0, 30)),
        kv_tokens=draw(st.integers(24, 400)),
        memory=draw(st.sampled_from(["watermark", "watermark", "reserve"])),
        block_tok=draw(st.sampled_from([1, 4, 16])),
        gamma=gamma,
        tau=1 + draw(st.integers(0, 8 * gamma)) / 8,
    )


def rows(arrivals: st.SearchStrategy[float]) -> st.SearchStrategy[Rows]:
    one = st.tuples(arrivals, st.integers(1, 90), st.integers(1, 40))
    return st.lists(one, min_size=1, max_size=14).map(
        lambda found: sorted(found, key=lambda x: x[0])
    )


def ticks(most: int, least: int = 0) -> st.SearchStrategy[float]:
    return st.integers(least, most).map(lambda n: n * TICK_S)


GRID = st.builds(
    StepModel,
    a0=ticks(4096, 1),
    b=ticks(4096, -512),
    a1=ticks(256),
    c=ticks(8),
    e=ticks(4),
    d=ticks(64),
)
ANY = st.builds(
    StepModel, a0=st.floats(1e-4, 0.05), b=st.floats(-0.01, 0.05), a1=st.floats(0, 1e-3),
    c=st.floats(0, 1e-5), e=st.floats(0, 1e-6), d=st.floats(0, 1e-3),
)  # fmt: skip


def both(model: StepModel, deployment: Deployment, cases: Rows) -> tuple[Outcome, Any]:
    arrival_s, n_in, n_out = (np.array(column) for column in zip(*cases, strict=True))
    outcome = simulate(model, deployment, Requests(arrival_s, n_in, n_out))
    return outcome, naive.run(model, deployment, cases)


def stamps(found: Any) -> list[tuple[float, float, float, float]]:
    """Queue, first token, end and mean gap of each, as the twin defines them."""
    rows = []
    for s in found.sequences:
        if s.last is None:
            rows.append((math.nan,) * 4)
            continue
        tpot = float((s.last - s.first) / (s.n_out - 1)) if s.n_out > 1 else math.nan
        rows.append((*(float(x - s.arrival) for x in (s.scheduled, s.first, s.last)), tpot))
    return rows


def compare(outcome: Outcome, found: Any, atol: float) -> None:
    mine = np.stack([outcome.queue_s, outcome.ttft_s, outcome.e2e_s, outcome.tpot_s], axis=1)
    np.testing.assert_allclose(mine, stamps(found), rtol=0, atol=atol)
    assert outcome.preemptions.tolist() == [s.preemptions for s in found.sequences]
    assert outcome.is_refused.tolist() == [s.last is None for s in found.sequences]
    totals = outcome.totals
    assert totals.num_steps == found.steps
    assert totals.prefill_tok == found.prefill
    assert totals.preemptions == sum(s.preemptions for s in found.sequences)
    assert Fraction(totals.peak_kv_tok) == found.peak
    seconds = {
        "busy": (totals.busy_s, found.busy), "running": (totals.running_s, found.running),
        "batch": (totals.waiting_for_batch_s, found.blocked["batch"]),
        "kv": (totals.waiting_for_kv_s, found.blocked["kv"]),
        "budget": (totals.waiting_for_budget_s, found.blocked["budget"]),
    }  # fmt: skip
    for name, (twin_s, naive_s) in seconds.items():
        assert abs(twin_s - naive_s) <= atol * 10, name


@settings(max_examples=400, deadline=None, derandomize=True)
@given(GRID, deployments(), rows(ticks(2**18)))
def test_equal_bit_for_bit_on_a_grid(model: StepModel, deployment: Deployment, cases: Rows) -> None:
    outcome, found = both(model, deployment, cases)
    compare(outcome, found, atol=0)


@settings(
    max_examples=200, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)  # fmt: skip
@given(ANY, deployments(), rows(st.floats(0, 0.5)))
def test_equal_to_a_nanosecond(model: StepModel, deployment: Deployment, cases: Rows) -> None:
    outcome, found = both(model, deployment, cases)
    assume(found.closest > Fraction(1, 10**9))
    compare(outcome, found, atol=1e-9)


def test_the_cases_above_meet_every_rule() -> None:
    """A tight cache preempts, a full batch and a small budget hold back, refusals happen."""
    model = StepModel(a0=2**-7, b=2**-7, a1=2**-15, c=2**-20, e=2**-20)
    cases = [(0.0, 40, 30), (0.0, 40, 30), (2**-9, 30, 30), (2**-6, 90, 5), (0.5, 500, 5)]
    deployment = Deployment(max_batch=3, max_batched_tokens=24, kv_tokens=130, gamma=3, tau=2.375)
    outcome, found = both(model, deployment, cases)
    compare(outcome, found, atol=0)
    assert outcome.preemptions.sum() > 0
    assert outcome.is_refused.tolist() == [False, False, False, False, True]
    assert outcome.totals.waiting_for_kv_s > 0
    assert outcome.totals.waiting_for_budget_s > 0
    narrow = Deployment(max_batch=1, max_batched_tokens=24, kv_tokens=130)
    assert both(model, narrow, cases)[0].totals.waiting_for_batch_s > 0

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
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.decisions.twin import Blocks, Deployment, Outcome, Requests, StepModel, simulate_fleet
from harness.decisions.twin.fleet import ROUTERS
from harness.decisions.twin.model import Drafts


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
    drafts: Drafts = draw(st.sampled_from(["last", "first"]))
    return Deployment(
        max_batch=max_batch,
        max_batched_tokens=max_batch * (1 + gamma * (drafts == "first")) + draw(st.integers(0, 30)),
        kv_tokens=draw(st.integers(24, 400)),
        memory=draw(st.sampled_from(["watermark", "watermark", "reserve"])),
        block_tok=draw(st.sampled_from([1, 4, 16])),
        gamma=gamma,
        tau=1 + draw(st.integers(0, 8 * gamma)) / 8,
        drafts=drafts,
        prefix_cache=draw(st.booleans()),
    )


@dataclass(frozen=True)
class Case:
    rows: Rows
    ids: list[list[int]]
    size: int
    session: list[int]
    replicas: int
    router: str

    @property
    def requests(self) -> Requests:
        arrival_s, n_in, n_out = (np.array(column) for column in zip(*self.rows, strict=True))
        blocks = Blocks.of(self.ids, self.size)
        return Requests(arrival_s, n_in, n_out, blocks, np.array(self.session))


@st.composite
def traffic(draw: st.DrawFn, arrivals: st.SearchStrategy[float]) -> Case:
    """Up to 14 requests of a few families; two of a family share the blocks before a fork."""
    size = draw(st.sampled_from([3, 8, 16]))
    found = []
    one = st.tuples(arrivals, st.integers(1, 90), st.integers(1, 40))
    for row in draw(st.lists(one, min_size=1, max_size=14)):
        family, fork = draw(st.integers(0, 2)), draw(st.integers(0, 6))
        length = (row[1] + draw(st.sampled_from([0, row[2]]))) // size
        own = 1000 * (len(found) + 1)
        ids = [100 * family + at if at < fork else own + at for at in range(length)]
        found.append((row, ids, family))
    found.sort(key=lambda entry: entry[0][0])
    rows, ids, session = (list(column) for column in zip(*found, strict=True))
    return Case(
        rows, ids, size, session, draw(st.integers(1, 3)), draw(st.sampled_from(list(ROUTERS)))
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
    r=st.sampled_from([0.0, TICK_S, 512 * TICK_S]),
    g=st.sampled_from([0.0, TICK_S, 16 * TICK_S]),
    h=st.sampled_from([0.0, 700 * TICK_S]),
    idle_s=st.sampled_from([0.0, 4096 * TICK_S, 0.02]),
)
ANY = st.builds(
    StepModel, a0=st.floats(1e-4, 0.05), b=st.floats(-0.01, 0.05), a1=st.floats(0, 1e-3),
    c=st.floats(0, 1e-5), e=st.floats(0, 1e-6), d=st.floats(0, 1e-3),
    r=st.sampled_from([0.0, 1e-3]) | st.floats(0, 5e-3), g=st.sampled_from([0.0, 1e-5]),
    h=st.sampled_from([0.0, 2e-3]),
)  # fmt: skip


def both(model: StepModel, deployment: Deployment, case: Case) -> tuple[Outcome, list[Any]]:
    outcome = simulate_fleet(
        model, deployment, case.requests, replicas=case.replicas, router=case.router, seed=5
    )  # type: ignore[arg-type]
    found = naive.run(
        model, deployment, case.rows, ids=case.ids, size=case.size, replicas=case.replicas,
        router=case.router, session=case.session,
        draws=np.random.default_rng(5).random((len(case.rows), 2)),
    )  # fmt: skip
    return outcome, found


def stamps(sequences: list[Any]) -> list[tuple[float, float, float, float]]:
    """Queue, first token, end and mean gap of each, as the twin defines them."""
    rows = []
    for s in sequences:
        if s.last is None:
            rows.append((math.nan,) * 4)
            continue
        tpot = float((s.last - s.first) / (s.n_out - 1)) if s.n_out > 1 else math.nan
        rows.append((*(float(x - s.arrival) for x in (s.scheduled, s.first, s.last)), tpot))
    return rows


def compare(outcome: Outcome, found: list[Any], atol: float) -> None:
    sequences = found[0].sequences
    mine = np.stack([outcome.queue_s, outcome.ttft_s, outcome.e2e_s, outcome.tpot_s], axis=1)
    assert outcome.replica.tolist() == [s.replica for s in sequences]
    np.testing.assert_allclose(mine, stamps(sequences), rtol=0, atol=atol)
    assert outcome.preemptions.tolist() == [s.preemptions for s in sequences]
    assert outcome.cached_tok.tolist() == [s.cached or 0 for s in sequences]
    assert outcome.is_refused.tolist() == [s.last is None for s in sequences]
    totals = outcome.totals
    assert totals.num_steps == sum(x.steps for x in found)
    assert totals.prefill_tok == sum(x.prefill for x in found)
    assert totals.preemptions == sum(s.preemptions for s in sequences)
    assert Fraction(totals.peak_kv_tok) == max(x.peak for x in found)
    seconds = {
        "busy": (totals.busy_s, sum(x.busy for x in found)),
        "running": (totals.running_s, sum(x.running for x in found)),
        "batch": (totals.waiting_for_batch_s, sum(x.blocked["batch"] for x in found)),
        "kv": (totals.waiting_for_kv_s, sum(x.blocked["kv"] for x in found)),
        "budget": (totals.waiting_for_budget_s, sum(x.blocked["budget"] for x in found)),
    }
    for name, (twin_s, naive_s) in seconds.items():
        assert abs(twin_s - naive_s) <= atol * 10, name


@settings(max_examples=350, deadline=None, derandomize=True)
@given(GRID, deployments(), traffic(ticks(2**18)))
def test_equal_bit_for_bit_on_a_grid(model: StepModel, deployment: Deployment, case: Case) -> None:
    outcome, found = both(model, deployment, case)
    compare(outcome, found, atol=0)


@settings(
    max_examples=120, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)  # fmt: skip
@given(ANY, deployments(), traffic(st.floats(0, 0.5)))
def test_equal_to_a_nanosecond(model: StepModel, deployment: Deployment, case: Case) -> None:
    outcome, found = both(model, deployment, case)
    assume(min(x.closest for x in found) > Fraction(1, 10**9))
    compare(outcome, found, atol=1e-9)


def plain(rows: Rows) -> Case:
    return Case(rows, [[] for _ in rows], 1, [0] * len(rows), 1, "round_robin")


def test_who_gives_way_leaves_its_tokens_to_the_drafts_of_others() -> None:
    """Four tokens a step: two decoders leave two, too few for drafts of both; the one that stays
    has three for its own, in the very step in which the other gave way."""
    model = StepModel(a0=2**-7, b=2**-8, a1=2**-10)
    deployment = Deployment(
        max_batch=2, max_batched_tokens=4, kv_tokens=40, block_tok=0, gamma=3, tau=2.0
    )
    case = plain([(0.0, 3, 30), (0.0, 3, 30)])
    outcome, found = both(model, deployment, case)
    compare(outcome, found, atol=0)
    assert outcome.preemptions.tolist() == [0, 1]


def test_the_cases_above_meet_every_rule() -> None:
    """A tight cache preempts, a full batch and a small budget hold back, refusals happen."""
    model = StepModel(a0=2**-7, b=2**-7, a1=2**-15, c=2**-20, e=2**-20, r=2**-9, g=2**-16, h=2**-9)
    case = plain([(0.0, 40, 30), (0.0, 40, 30), (2**-9, 30, 30), (2**-6, 90, 5), (0.5, 500, 5)])
    deployment = Deployment(max_batch=3, max_batched_tokens=24, kv_tokens=130, gamma=3, tau=2.375)
    outcome, found = both(model, deployment, case)
    compare(outcome, found, atol=0)
    assert outcome.preemptions.sum() > 0
    assert outcome.is_refused.tolist() == [False, False, False, False, True]
    assert outcome.totals.waiting_for_kv_s > 0
    assert outcome.totals.waiting_for_budget_s > 0
    narrow = Deployment(max_batch=1, max_batched_tokens=24, kv_tokens=130)
    assert both(model, narrow, case)[0].totals.waiting_for_batch_s > 0

"""The twin against the reference engine's own scheduler: the same steps at the same times.

The real Scheduler and KVCacheManager plan and book every step; only the model is replaced, by a
clock that moves by the step law. With blocks of one token the twin's account of memory (tokens) is
the engine's (blocks), and both must agree bit for bit, preemptions included. Prefix caches must
agree where nothing is evicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_under_test.kv_cache import KVCacheManager
from engine_under_test.plan import SampledTokens, SchedulerOutput
from engine_under_test.request import Request, SamplingParams
from engine_under_test.scheduler import Scheduler
from harness.decisions.twin import Blocks, Deployment, Requests, StepModel, simulate

TICK_S = 2.0**-20
BLOCK_TOK = 4
Row = tuple[float, int, int]


class AllAccepted:
    """Every draft is made and right."""

    def __init__(self, gamma: int) -> None:
        self.gamma = gamma

    def num_drafts(self, r: Request, num_seqs: int) -> int:
        return self.gamma

    def observe(self, r: Request, max_drafts: int, num_drafts: int, num_accepted: int) -> None:
        """Nothing to learn."""


def step_s(
    m: StepModel,
    out: SchedulerOutput,
    decoding: set[str],
    num_new: int,
    after_tok: int,
    is_cold: bool,
) -> Fraction:
    """By what the engine really put into the step. decoding: who has drawn since admission.
    num_new: who is in a step for the first time.  after_tok: as of a step that reads no prompt.
    is_cold: first of its kind since there was nothing to do."""
    a0, b, a1, c, e, d = (Fraction(x) for x in (m.a0, m.b, m.a1, m.c, m.e, m.d))
    time_s, num_tok, num_decoding = Fraction(m.r) * num_new + Fraction(m.h) * is_cold, 0, 0
    for seq in out.seqs:
        num_tok += seq.num_new
        x = seq.request.num_computed
        if seq.request.request_id in decoding:
            assert seq.num_new == 1 + seq.num_drafts
            num_decoding += 1
            time_s += c * x
        else:
            time_s += e * seq.num_new * (x + Fraction(seq.num_new, 2))
    if num_decoding == len(out.seqs):
        time_s += Fraction(m.g) * after_tok
    return time_s + d * num_decoding + max(a0, b + a1 * num_tok)


@dataclass
class Served:
    """First and last token of each after its arrival, preemptions and cached tokens of each."""

    first_s: list[float]
    last_s: list[float]
    preemptions: list[int]
    cached_tok: list[int]
    num_steps: int


def run_engine(
    model: StepModel,
    deployment: Deployment,
    rows: list[Row],
    prompts: list[list[int]] | None = None,
) -> Served:
    size = BLOCK_TOK if deployment.prefix_cache else 1
    num_blocks = deployment.kv_tokens // size + 1
    kv = KVCacheManager(num_blocks, size, enable_prefix_caching=deployment.prefix_cache)
    scheduler = Scheduler(
        kv, max_num_seqs=deployment.max_batch, max_num_batched_tokens=deployment.max_batched_tokens,
        max_model_len=10**6, clock_ns=lambda: 1,
        draft_lengths=AllAccepted(deployment.gamma) if deployment.gamma else None,
    )  # fmt: skip
    requests = [
        Request(
            str(i),
            prompts[i] if prompts else [7] * n_in,
            SamplingParams(max_tokens=n_out, ignore_eos=True),
        )
        for i, (_, n_in, n_out) in enumerate(rows)
    ]
    first_s, last_s = [0.0] * len(rows), [0.0] * len(rows)
    now, num_come, num_steps, after_tok = Fraction(0), 0, 0, 0
    cold: set[bool] = set()  # kinds of steps: those that read prompts
    decoding: set[str] = set()
    known: set[str] = set()
    while scheduler.has_work or num_come < len(rows):
        if not scheduler.has_work:
            if not num_come or Fraction(rows[num_come][0]) - now >= Fraction(model.idle_s):
                cold = {True, False}
            now = max(now, Fraction(rows[num_come][0]))
        while num_come < len(rows) and rows[num_come][0] <= now:
            scheduler.add(requests[num_come])
            num_come += 1
        out = scheduler.schedule()
        assert out is not None
        for seq in out.seqs:
            if seq.max_drafts:
                seq.put_drafts([7] * seq.max_drafts)
        decoding -= set(out.preempted_ids)
        in_step = {seq.request.request_id for seq in out.seqs}
        read = sum(s.num_new for s in out.seqs if s.request.request_id not in decoding)
        most = min(after_tok, deployment.max_batched_tokens)
        now += step_s(model, out, decoding, len(in_step - known), most, (read > 0) in cold)
        cold -= {read > 0}
        after_tok = after_tok + read if read else 0
        known |= in_step
        num_steps += 1
        decoding |= {seq.request.request_id for seq in out.seqs if seq.is_sampled}
        drawn = [[7] * (1 + seq.num_drafts) if seq.is_sampled else [] for seq in out.seqs]
        for output in scheduler.update(out, SampledTokens(drawn)):
            i = int(output.request_id)
            assert not output.error
            after_s = float(now - Fraction(rows[i][0]))
            first_s[i], last_s[i] = first_s[i] or after_s, after_s
    timings = [r.timings for r in requests]
    return Served(
        first_s, last_s, [t.preemptions for t in timings], [t.cached_tokens for t in timings],
        num_steps,
    )  # fmt: skip


def compare(
    model: StepModel, deployment: Deployment, rows: list[Row],
    prompts: list[list[int]] | None = None,
) -> Served:  # fmt: skip
    served = run_engine(model, deployment, rows, prompts)
    arrival_s, n_in, n_out = (np.array(column) for column in zip(*rows, strict=True))
    blocks = Blocks.of(block_ids(prompts), BLOCK_TOK) if prompts else None
    outcome = simulate(model, deployment, Requests(arrival_s, n_in, n_out, blocks))
    assert outcome.preemptions.tolist() == served.preemptions
    assert outcome.cached_tok.tolist() == served.cached_tok
    assert outcome.ttft_s.tolist() == served.first_s
    assert outcome.e2e_s.tolist() == served.last_s
    assert outcome.totals.num_steps == served.num_steps
    return served


def block_ids(prompts: list[list[int]]) -> list[list[int]]:
    """Equal ids for equal text from the beginning, as a trace has them."""
    names: dict[tuple[int, ...], int] = {}
    return [
        [
            names.setdefault(tuple(prompt[: end + BLOCK_TOK]), len(names))
            for end in range(0, len(prompt) - BLOCK_TOK + 1, BLOCK_TOK)
        ]
        for prompt in prompts
    ]


def ticks(most: int, least: int = 0) -> st.SearchStrategy[float]:
    return st.integers(least, most).map(lambda n: n * TICK_S)


LAW = st.builds(
    StepModel, a0=ticks(4096, 1), b=ticks(4096, -512), a1=ticks(256), c=ticks(8), e=ticks(4),
    d=ticks(64), r=ticks(512), g=ticks(16), h=ticks(512),
    idle_s=st.sampled_from([0.0, 0.02]),
)  # fmt: skip
TRAFFIC = st.lists(
    st.tuples(ticks(2**17), st.integers(1, 90), st.integers(1, 40)), min_size=1, max_size=14
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


@settings(max_examples=250, deadline=None, derandomize=True)
@given(LAW, TRAFFIC, st.integers(1, 6), st.integers(0, 40), st.integers(130, 400))
def test_the_same_steps_at_the_same_times(
    model: StepModel, rows: list[Row], batch: int, more: int, kv_tokens: int
) -> None:
    deployment = Deployment(batch, batch + more, kv_tokens, block_tok=0)
    compare(model, deployment, rows)


def test_preemptions_are_among_them() -> None:
    model = StepModel(2**-7, 2**-7, 2**-15, 2**-20, 2**-20)
    rows = [(i * 2**-8, 30 + i, 40 - i) for i in range(12)]
    assert sum(compare(model, Deployment(6, 32, 150, block_tok=0), rows).preemptions) > 3


@settings(max_examples=60, deadline=None, derandomize=True)
@given(TRAFFIC, st.integers(1, 3), st.integers(1, 6))
def test_drafts_that_all_come_true(rows: list[Row], gamma: int, batch: int) -> None:
    """Room for all, steps of one length: near its end a sequence gets fewer drafts than the twin's.

    Prompts of 2 and more: the engine grants drafts to a prompt of one token in its first step.
    """
    rows = [(at_s, n_in + 1, n_out) for at_s, n_in, n_out in rows]
    deployment = Deployment(
        batch, 4096, 2_000, block_tok=0, gamma=gamma, tau=float(gamma + 1)
    )  # fmt: skip
    compare(StepModel(2**-9, 2**-9, 0.0), deployment, rows)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LAW, TRAFFIC, st.integers(1, 6), st.integers(0, 40), st.data())
def test_the_same_blocks_are_found(
    model: StepModel, rows: list[Row], batch: int, more: int, data: st.DataObject
) -> None:
    """Two families of prompts; each follows its own for a while, then goes its own way."""
    prompts = []
    for i, (_, n_in, _) in enumerate(rows):
        family, fork = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 90))
        shared = [1000 * (1 + family) + at for at in range(min(fork, n_in))]
        prompts.append(shared + [10_000 * (i + 1) + at for at in range(len(shared), n_in)])
    deployment = Deployment(batch, batch + more, 2_000, block_tok=0, prefix_cache=True)
    compare(model, deployment, rows, prompts)

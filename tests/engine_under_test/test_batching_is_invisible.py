"""Whatever the scheduler and a drafter do, a request's tokens are those it would get alone.

Asserted in float64: float32 products differ by batch size in the last bits, and a near tie would
then flip a token (smallest top-2 gap here ~1e-4, float64 noise ~1e-14). Tokens are compared
exactly, greedy and sampled rows mixed, under random arrivals, lengths, budgets, cache sizes,
preemptions and aborts; with n-grams, with a draft model that rarely and one that always agrees, and
with a drafter of garbage. By ratio only greedy requests keep their tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest

from engine_under_test.batch import IntArray
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.plan import SampledTokens, ScheduledSeq
from engine_under_test.request import FinishReason, Request, SamplingParams
from engine_under_test.spec_config import SpecConfig
from engine_under_test.speculative import Proposals
from engine_under_test.step_handle import StepHandle

VOCAB = 512
ROOMY = {"max_num_seqs": 1, "max_num_batched_tokens": 512, "block_size": 16, "num_blocks": 64}


SPECS = {
    "off": None,
    "n-grams": SpecConfig("ngram", num_drafts=4, ngram_min=1, ngram_max=3),
    "adaptive n-grams": SpecConfig("ngram", ngram_min=1, ngram_max=2),
    "a weak draft model": SpecConfig("draft", 3, "match", draft_shape="debug", draft_layers=1),
    "an equal draft model": SpecConfig("draft", 3, "match", draft_shape="debug"),
    "ratio, greedy": SpecConfig("draft", 3, "ratio", draft_shape="debug", draft_layers=1),
    "garbage": SpecConfig("ngram", num_drafts=7),
}


class LateDevice:
    """Computes nothing before somebody waits: a device that lags as far behind as it may.

    Whatever a step reads must be what it was at its launch, or be on the device.
    """

    def __init__(self) -> None:
        self._queued: list[LateStep] = []

    def __call__(self, work: Callable[[], StepHandle]) -> StepHandle:
        step = LateStep(self, work)
        self._queued.append(step)
        return step

    def run_up_to(self, last: LateStep) -> None:
        while last.handle is None:
            step = self._queued.pop(0)
            step.handle = step.work()


class LateStep:
    def __init__(self, device: LateDevice, work: Callable[[], StepHandle]) -> None:
        self.work = work
        self.handle: StepHandle | None = None
        self._device = device

    def tokens(self) -> SampledTokens:
        self._device.run_up_to(self)
        assert self.handle is not None
        return self.handle.tokens()


class Garbage:
    """Proposes anything at all: repetitions, ends of answers, too little, nothing."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def propose(
        self, seqs: Sequence[ScheduledSeq], rows: IntArray, fresh_blocks: Sequence[int]
    ) -> Proposals:
        for s in seqs:
            num = self._rng.randint(0, s.max_drafts)
            choices = (*s.request.token_ids, 0, 16, VOCAB - 1)
            s.put_drafts([self._rng.choice(choices) for _ in range(num)])
        return {}

    def release(self, request_id: str) -> None:
        pass


def engine(**settings: int | bool | SpecConfig | None) -> EngineCore:
    return EngineCore(
        EngineConfig(shape="debug", seed=3, dtype="float64", **settings)  # type: ignore[arg-type]
    )


def drain(core: EngineCore) -> tuple[dict[str, list[int]], dict[str, FinishReason]]:
    tokens: dict[str, list[int]] = {}
    reasons: dict[str, FinishReason] = {}
    while core.has_work:
        for out in core.step():
            tokens.setdefault(out.request_id, []).extend(out.new_token_ids)
            if out.finish_reason is not None:
                reasons[out.request_id] = out.finish_reason
        core.check_integrity()
    return tokens, reasons


@cache
def alone(prompt: tuple[int, ...], params: SamplingParams) -> tuple[list[int], FinishReason]:
    core = engine(**ROOMY, enable_prefix_caching=False)
    core.add(Request("alone", list(prompt), params))
    tokens, reasons = drain(core)
    return tokens["alone"], reasons["alone"]


def random_params(rng: random.Random) -> SamplingParams:
    max_tokens = rng.randint(1, 24)
    if rng.random() < 0.4:
        return SamplingParams(max_tokens=max_tokens, temperature=0.0)
    return SamplingParams(
        max_tokens=max_tokens,
        min_tokens=rng.choice((0, 0, max_tokens // 2)),
        temperature=rng.choice((0.5, 1.0, 1.7)),
        top_p=rng.choice((1.0, 0.9, 0.5)),
        top_k=rng.choice((0, 0, 3, 50)),
        min_p=rng.choice((0.0, 0.0, 0.05)),
        repetition_penalty=rng.choice((1.0, 1.0, 1.3)),
        frequency_penalty=rng.choice((0.0, 0.0, 0.4)),
        presence_penalty=rng.choice((0.0, 0.0, -0.5)),
        logit_bias=rng.choice(((), (), ((7, 3.0), (9, -4.0)))),
        stop_token_ids=rng.choice(((), tuple(range(0, VOCAB, 16)))),
        seed=rng.getrandbits(40),
        logprobs=rng.choice((None, None, 2)),
    )


def random_requests(rng: random.Random, is_greedy: bool = False) -> list[Request]:
    """Prompts that share beginnings, so that the prefix cache has something to do."""
    stem = [rng.randrange(VOCAB) for _ in range(40)]
    requests = []
    for i in range(rng.randint(4, 10)):
        shared = stem[: rng.choice((0, 0, 9, 16, 33, 40))]
        prompt = shared + [rng.randrange(VOCAB) for _ in range(rng.randint(1, 30))]
        priority = rng.choice((0, 0, 0, 1, -1))
        params = random_params(rng)
        if is_greedy:
            params = replace(params, temperature=0.0)
        requests.append(Request(f"r{i}", prompt, params, priority=priority))
    return requests


def random_engine(
    rng: random.Random, spec: SpecConfig | None = None, overlap: bool = False
) -> EngineCore:
    max_num_seqs = rng.randint(2, 8)
    block_size = rng.choice((4, 8, 16))
    needed = -(-94 // block_size)  # the longest sequence: 70 prompt and 24 new tokens
    core = engine(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max(max_num_seqs, rng.choice((8, 17, 64, 256))),
        long_prefill_threshold=rng.choice((3, 16, 1000)),
        block_size=block_size,
        num_blocks=1 + needed + rng.randint(0, needed),
        enable_prefix_caching=rng.random() < 0.7,
        spec=spec,
        overlap=overlap,
    )
    if overlap:
        core._runner.submit = LateDevice()
    return core


CASES = [("off", seed) for seed in range(25)]
CASES += [(name, seed) for name in SPECS if name != "off" for seed in range(100, 112)]
CASES += [("overlapped", seed) for seed in range(200, 225)]


@pytest.mark.parametrize(("spec", "seed"), CASES)
def test_tokens_equal_those_of_running_alone(spec: str, seed: int) -> None:
    rng = random.Random(seed)
    core = random_engine(rng, SPECS.get(spec), overlap=spec == "overlapped")
    pending = random_requests(rng, spec == "ratio, greedy")
    if spec == "garbage":
        core._runner._drafter = Garbage(rng)
    aborted: set[str] = set()
    live: dict[str, Request] = {}
    tokens: dict[str, list[int]] = {}
    reasons: dict[str, FinishReason] = {}
    while pending or core.has_work:
        while pending and rng.random() < 0.4:
            r = pending.pop()
            core.add(r)
            live[r.request_id] = r
        if live and rng.random() < 0.02:
            victim = rng.choice(sorted(live))
            core.abort(victim)
            if victim not in reasons:
                aborted.add(victim)
        for out in core.step():
            assert out.request_id not in aborted
            tokens.setdefault(out.request_id, []).extend(out.new_token_ids)
            if out.finish_reason is not None:
                reasons[out.request_id] = out.finish_reason
        core.check_integrity()
    for name, r in live.items():
        expected, reason = alone(tuple(r.prompt_ids), r.params)
        got = tokens.get(name, [])
        if name in aborted:
            assert got == expected[: len(got)]
            assert r.finish_reason is FinishReason.ABORT
        else:
            assert (got, reasons[name]) == (expected, reason)
            assert r.token_ids == r.prompt_ids + expected
    assert core.stats().kv_usage_ratio == 0


def test_the_random_cases_do_preempt_chunk_and_hit_the_cache() -> None:
    """The property above would be empty if its cases never met the hard paths."""
    preemptions = hits = chunked = 0
    for seed in range(12):
        rng = random.Random(seed)
        core = random_engine(rng)
        for r in random_requests(rng):
            core.add(r)
            chunked += r.num_prompt > core.config.max_num_batched_tokens
        drain(core)
        preemptions += core.stats().num_preemptions
        hits += core.stats().num_prefix_hit_tokens
    assert preemptions > 20
    assert hits > 200
    assert chunked > 10


def test_the_random_cases_do_accept_reject_and_preempt_with_drafts() -> None:
    """Acceptance of each drafter over its cases above: the mixture the property is about."""
    rates = {}
    for name, spec in SPECS.items():
        if spec is None:
            continue
        drafted = accepted = preemptions = 0
        for seed in range(100, 104):
            rng = random.Random(seed)
            core = random_engine(rng, spec)
            if name == "garbage":
                core._runner._drafter = Garbage(rng)
            for r in random_requests(rng, name == "ratio, greedy"):
                core.add(r)
            drain(core)
            drafted += core.stats().num_draft_tokens
            accepted += core.stats().num_accepted_tokens
            preemptions += core.stats().num_preemptions
        assert drafted > 100, name
        assert preemptions > 2, name
        rates[name] = accepted / drafted
    assert 0 < rates["garbage"] < 0.3
    assert 0.01 < rates["a weak draft model"] < 0.9
    assert 0.2 < rates["an equal draft model"] < 1
    assert 0.02 < rates["n-grams"] < 0.9


def test_prefix_cache_changes_no_token_and_is_used() -> None:
    rng = random.Random(0)
    stem = [rng.randrange(VOCAB) for _ in range(64)]
    results = []
    for is_on in (True, False):
        core = engine(num_blocks=40, enable_prefix_caching=is_on)
        for i in range(6):
            params = SamplingParams(max_tokens=8, temperature=1.0, seed=i)
            core.add(Request(f"r{i}", [*stem[: 48 + i], i], params))
            core.step()
        results.append(drain(core)[0])
        assert (core.stats().num_prefix_hit_tokens > 100) == is_on
    assert results[0] == results[1]


def test_cache_salt_isolates() -> None:
    core = engine(num_blocks=40)
    prompt = list(range(64))
    for i, salt in enumerate(("a", "b", "a")):
        r = Request(f"r{i}", prompt, SamplingParams(max_tokens=2, temperature=0), cache_salt=salt)
        core.add(r)
        drain(core)
        assert r.timings.cached_tokens == (48 if i == 2 else 0)


def test_a_request_that_outgrows_the_cache_ends_in_an_error() -> None:
    core = engine(max_num_seqs=2, num_blocks=4, block_size=4)
    core.add(Request("big", list(range(10)), SamplingParams(max_tokens=50, temperature=0)))
    core.add(Request("small", [1, 2], SamplingParams(max_tokens=3, temperature=0)))
    _, reasons = drain(core)
    assert reasons == {"big": FinishReason.ERROR, "small": FinishReason.LENGTH}

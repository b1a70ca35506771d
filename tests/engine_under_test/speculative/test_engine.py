"""Speculation in the running engine: the draft model's cache, the ratio mode's law, counters."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import RequestRefused
from engine_under_test.generate import generate
from engine_under_test.request import Request, SamplingParams
from engine_under_test.spec_config import SpecConfig

VOCAB = 512
EQUAL = SpecConfig("draft", 3, "match", draft_shape="debug")
WEAK = SpecConfig("draft", 2, draft_shape="debug", draft_layers=1)
NGRAM = SpecConfig("ngram", 3, ngram_min=1)


def engine(spec: SpecConfig | None, dtype: str = "float64", **settings: int) -> EngineCore:
    limits = {"num_blocks": 64, "block_size": 4, **settings}
    return EngineCore(EngineConfig(shape="debug", seed=3, dtype=dtype, spec=spec, **limits))  # type: ignore[arg-type]


def drain(core: EngineCore) -> None:
    while core.has_work:
        core.step()
        core.check_integrity()


@pytest.mark.parametrize("mode", ["match", "ratio"])
@pytest.mark.parametrize("seed", range(6))
def test_a_draft_model_equal_to_the_target_is_never_rejected(seed: int, mode: str) -> None:
    """So its cache holds what the target's holds: after full acceptance, prefix hits, preemption,

    steps without drafts and blocks that changed hands. One stale entry would move its logits.
    """
    rng = random.Random(seed)
    spec = SpecConfig("draft", rng.choice((1, 3, 6)), mode, draft_shape="debug")  # type: ignore[arg-type]
    core = engine(spec, num_blocks=21, max_num_seqs=4, max_num_batched_tokens=rng.choice((12, 40)))
    stem = [rng.randrange(VOCAB) for _ in range(24)]
    temperature = 0.0 if mode == "match" else 0.8
    for i in range(12):
        prompt = stem[: rng.choice((0, 8, 24))] + [rng.randrange(VOCAB) for _ in range(9)]
        params = SamplingParams(rng.randint(9, 36), temperature=temperature, seed=i)
        core.add(Request(f"r{i}", prompt, params))
        if i % 3 == 2:
            core._scheduler._draft_lengths._num_drafts = rng.choice((0, 2))  # type: ignore[union-attr]
            for _ in range(rng.randint(1, 9)):
                core.step()
            core._scheduler._draft_lengths._num_drafts = spec.num_drafts  # type: ignore[union-attr]
    drain(core)
    s = core.stats()
    assert s.num_draft_tokens > 40
    assert s.num_accepted_tokens == s.num_draft_tokens
    assert s.num_preemptions > 0
    assert s.num_prefix_hit_tokens > 0


@pytest.mark.parametrize("seed", range(4))
def test_drafts_are_what_the_draft_model_says_of_the_accepted_tokens(seed: int) -> None:
    """Whatever was rejected before: each proposal is the draft model's own greedy continuation."""
    rng = random.Random(seed)
    spec = SpecConfig("draft", 3, "match", draft_shape="debug", draft_layers=1)
    core = engine(spec, num_blocks=24, max_num_seqs=4, max_num_batched_tokens=40)
    drafter, seen = core._runner._drafter, []
    assert drafter is not None
    propose = drafter.propose

    def recording(seqs: Any, rows: Any, fresh: Any) -> Any:
        found = propose(seqs, rows, fresh)
        seen.extend((list(s.request.token_ids), s.request.draft_ids) for s in seqs if s.num_drafts)
        return found

    drafter.propose = recording  # type: ignore[method-assign]
    stem = [rng.randrange(VOCAB) for _ in range(8)]
    for i in range(8):
        prompt = stem[: rng.choice((0, 8))] + [rng.randrange(VOCAB) for _ in range(5)]
        core.add(Request(f"r{i}", prompt, SamplingParams(30, temperature=0, seed=i)))
    drain(core)
    s = core.stats()
    assert 0 < s.num_accepted_tokens < s.num_draft_tokens
    assert s.num_preemptions > 0
    alone = EngineCore(EngineConfig(shape="debug", num_layers=1, seed=3, dtype="float64"))
    for tokens, drafts in rng.sample(seen, 40):
        params = SamplingParams(len(drafts), temperature=0, ignore_eos=True)
        assert generate(alone, [tokens], params) == [drafts]


def test_the_ratio_mode_draws_pairs_from_the_targets_law() -> None:
    """Chi-square over 3,000 seeds on the joint law of three tokens, top_k 3, so 27 outcomes.

    Two drafts a step from a model that disagrees. Seeds are fixed: a false alarm of 1e-3 was drawn
    once. The law itself is enumerated from log-probabilities of an engine without speculation.
    """
    core, prompt, temperature = engine(None, num_blocks=512), [5, 6, 7], 1.7
    law: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(3):
        longer: dict[tuple[int, ...], float] = {}
        for n, (prefix, mass) in enumerate(law.items()):
            params = SamplingParams(1, temperature=0, logprobs=3, ignore_eos=True)
            core.add(Request(f"{len(prefix)}-{n}", [*prompt, *prefix], params))
            (out,) = core.step()
            assert out.logprobs is not None
            top = out.logprobs[0].top
            weights = [math.exp(value / temperature) for _, value in top]
            for (token, _), weight in zip(top, weights, strict=True):
                longer[(*prefix, token)] = mass * weight / sum(weights)
        law = longer
    core = engine(WEAK, "float32", num_blocks=2000, max_num_seqs=64, max_waiting=4000)
    requests = [
        Request(f"r{i}", prompt, SamplingParams(4, temperature=temperature, top_k=3, seed=i))
        for i in range(3000)
    ]
    for r in requests:
        core.add(r)
    while core.has_work:
        core.step()
    outcomes = list(law)
    counts = dict.fromkeys(outcomes, 0)
    for r in requests:
        counts[tuple(r.token_ids[3:6])] += 1
    expected = np.array([law[o] for o in outcomes]) * len(requests)
    assert stats.chisquare([counts[o] for o in outcomes], expected).pvalue > 1e-3
    rate = core.stats().num_accepted_tokens / core.stats().num_draft_tokens
    assert 0.05 < rate < 0.95, "the test needs acceptances and rejections"


@pytest.mark.parametrize("spec", [EQUAL, WEAK, NGRAM], ids=["equal", "ratio", "n-grams"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logprobs_come_with_every_token_and_are_the_targets(
    spec: SpecConfig, temperature: float
) -> None:
    params = SamplingParams(24, temperature=temperature, top_k=2, seed=1, logprobs=2)
    core = engine(spec)
    r = Request("r", [1, 2, 3, 1, 2, 3], params)
    core.add(r)
    entries = [e for _ in range(30) for out in core.step() for e in out.logprobs or []]
    assert [e.token_id for e in entries] == r.token_ids[6:]
    plain = engine(None)
    for n in random.Random(0).sample(range(len(entries)), 6):
        check = SamplingParams(1, temperature=0, logprobs=2)
        plain.add(Request("r", r.token_ids[: 6 + n], check))
        (out,) = plain.step()
        assert out.logprobs is not None
        top = dict(out.logprobs[0].top)
        assert entries[n].logprob == pytest.approx(top[entries[n].token_id])
        assert dict(entries[n].top) == pytest.approx(top)


def test_counters_timings_and_outputs_reconcile() -> None:
    core = engine(SpecConfig("draft", 3, draft_shape="debug", draft_layers=1), num_blocks=200)
    requests = [
        Request(f"r{i}", [i] * 9, SamplingParams(20, temperature=0.5, seed=i)) for i in range(5)
    ]
    for r in requests:
        core.add(r)
    drain(core)
    s, timings = core.stats(), [r.timings for r in requests]
    assert s.num_draft_tokens == sum(t.drafted_tokens for t in timings)
    assert s.num_accepted_tokens == sum(t.accepted_tokens for t in timings)
    assert s.num_accepted_tokens == sum(s.num_accepted_per_pos)
    columns = itertools.zip_longest(*(t.accepted_per_pos for t in timings), fillvalue=0)
    assert list(s.num_accepted_per_pos) == [sum(column) for column in columns]
    assert list(s.num_accepted_per_pos) == sorted(s.num_accepted_per_pos, reverse=True)
    # Every sampled step gives one token and those it accepted.
    assert all(t.prefill_steps + t.decode_steps + t.accepted_tokens == 20 for t in timings)
    core.restart_counters()
    assert core.stats().num_drafts == core.stats().num_accepted_tokens == 0


def test_synthetic_acceptance_meets_its_rates_by_place() -> None:
    """Given rates 0.8, 0.5 and then 0.5; binomial bounds of four standard deviations."""
    spec = SpecConfig("ngram", 3, synthetic_rates=(0.8, 0.5))
    core = engine(spec, "float32", num_blocks=2000, max_num_seqs=32)
    for i in range(32):
        core.add(Request(f"r{i}", [i, 7], SamplingParams(120, temperature=0, seed=i)))
    while core.has_work:
        core.step()
    s = core.stats()
    assert s.num_draft_tokens > 2.9 * s.num_drafts  # every slot is on trial
    tried = [s.num_drafts, *s.num_accepted_per_pos]
    for place, rate in enumerate((0.8, 0.5, 0.5)):
        bound = 4 * (rate * (1 - rate) / tried[place]) ** 0.5 + 0.02  # the last steps have fewer
        assert tried[place + 1] / tried[place] == pytest.approx(rate, abs=bound)


def test_synthetic_acceptance_refuses_what_it_would_falsify() -> None:
    core = engine(SpecConfig("ngram", 3, synthetic_rates=(0.8,)))
    with pytest.raises(RequestRefused, match="synthetic acceptance"):
        core.add(Request("r", [1], SamplingParams(logprobs=1)))


def test_the_adaptive_length_drafts_where_it_pays_and_stops_where_it_does_not() -> None:
    """An equal draft model costs as much as its target, so nothing is gained by it: k goes to 0.

    n-grams cost nothing: on a text in a loop they go to 7.
    """
    core = engine(SpecConfig("draft", draft_shape="debug"), num_blocks=200)
    core.add(Request("r", [1, 2, 3], SamplingParams(60, temperature=0)))
    drain(core)
    assert core.stats().num_drafts <= 3
    core = engine(SpecConfig("ngram", ngram_min=1), num_blocks=200)
    r = Request("r", [7] * 4, SamplingParams(120, temperature=0, logit_bias=((7, 100.0),)))
    core.add(r)
    drain(core)
    assert r.timings.decode_steps <= 120 / 8 + 3
    assert r.timings.accepted_tokens == r.timings.drafted_tokens

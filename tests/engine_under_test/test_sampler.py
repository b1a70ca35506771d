"""The sampler against a naive version of its documented order, one row at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from engine_under_test.logit_edits import apply_bitmask
from engine_under_test.noise import gumbel, stream_key
from engine_under_test.request import Request, SamplingParams
from engine_under_test.sampler import Sampler

VOCAB = 50
EOS = (3,)
NEUTRAL = SamplingParams(temperature=1.0, seed=1)
PARAMS = {
    "greedy": SamplingParams(temperature=0.0),
    "plain": NEUTRAL,
    "cold": SamplingParams(temperature=0.3, seed=2),
    "top_k": SamplingParams(top_k=4, seed=3),
    "top_p": SamplingParams(top_p=0.6, seed=4),
    "min_p": SamplingParams(min_p=0.2, seed=5),
    "all filters": SamplingParams(temperature=1.4, min_p=0.02, top_k=9, top_p=0.8, seed=6),
    "bias": SamplingParams(temperature=0.0, logit_bias=((8, 100.0),)),
    "ban": SamplingParams(logit_bias=((5, -100.0), (6, -100.0)), seed=7),
    "repetition": SamplingParams(repetition_penalty=1.8, seed=8),
    "frequency": SamplingParams(frequency_penalty=1.1, seed=9),
    "presence": SamplingParams(temperature=0.0, presence_penalty=2.0),
    "min_tokens": SamplingParams(min_tokens=9, stop_token_ids=(4, 7), seed=10),
}
PROMPT = [1, 2, 2, 5, 9]
GENERATED = [5, 5, 11, 40]


def request(params: SamplingParams, generated: tuple[int, ...] = tuple(GENERATED)) -> Request:
    return Request("r", PROMPT, params, token_ids=[*PROMPT, *generated])


def some_logits(num_rows: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(num_rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def naive(logits: list[float], r: Request) -> int:
    """The documented order, in plain Python."""
    p, x = r.params, list(logits)
    output = r.token_ids[r.num_prompt :]
    for token, bias in p.logit_bias:
        x[token] += bias
    for token in range(VOCAB):
        if token in r.token_ids:
            x[token] *= 1 / p.repetition_penalty if x[token] > 0 else p.repetition_penalty
        x[token] -= p.frequency_penalty * output.count(token)
        x[token] -= p.presence_penalty * (token in output)
    if len(output) < p.min_tokens:
        for token in (*p.stop_token_ids, *EOS):
            x[token] = -math.inf
    if p.temperature == 0:
        return x.index(max(x))
    x = [v / p.temperature for v in x]
    x = [v if v >= max(x) + (math.log(p.min_p) if p.min_p else -math.inf) else -1e9 for v in x]
    if p.top_k:
        kth = sorted(x)[-p.top_k]
        x = [v if v >= kth else -1e9 for v in x]
    weights = [math.exp(v - max(x)) for v in x]
    mass, nucleus = 0.0, set()
    for token in sorted(range(VOCAB), key=lambda t: -x[t]):
        if mass >= p.top_p:
            break
        mass += weights[token] / sum(weights)
        nucleus.add(token)
    noise = gumbel([stream_key(p.seed or 0, r.num_tokens)], torch.arange(VOCAB))[0].tolist()
    return max(nucleus, key=lambda t: x[t] + noise[t])


def sample(params: list[SamplingParams], logits: torch.Tensor) -> list[int]:
    sampler = Sampler(len(params) + 3, VOCAB, EOS)
    requests = [request(p) for p in params]
    rows = np.arange(len(params))[::-1] + 2
    for row, r in zip(rows.tolist(), requests, strict=True):
        sampler.assign(row, r)
    return [t for (t,) in sampler.sample(logits.clone(), rows, requests).token_ids]


@pytest.mark.parametrize("name", PARAMS)
def test_each_setting_agrees_with_the_naive_sampler(name: str) -> None:
    for seed in range(20):
        logits = some_logits(1, seed)
        expected = naive(logits[0].tolist(), request(PARAMS[name]))
        assert sample([PARAMS[name]], logits) == [expected]


def test_a_row_draws_the_same_in_any_company() -> None:
    params = list(PARAMS.values())
    for seed in range(10):
        logits = some_logits(len(params), seed)
        together = sample(params, logits)
        for i, p in enumerate(params):
            assert sample([p], logits[i : i + 1]) == [together[i]]


def test_a_temperature_that_would_overflow_is_greedy() -> None:
    logits = some_logits(1)
    for temperature in (1e-6, 1e-40, 5e-324):
        assert sample([SamplingParams(temperature=temperature)], logits) == [int(logits.argmax())]


def test_a_top_k_beyond_the_vocabulary_is_off() -> None:
    logits = some_logits(1)
    assert sample([SamplingParams(top_k=10**30, seed=1)], logits) == sample([NEUTRAL], logits)


def test_draws_follow_the_distribution() -> None:
    """Chi-square, 100 seeds by 100 positions; fixed, so a false alarm of 1e-3 was drawn once."""
    probabilities = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
    sampler, rows = Sampler(100, 5, ()), np.arange(100)
    requests = [Request("r", [0], SamplingParams(temperature=1.0, seed=s)) for s in range(100)]
    for row, r in enumerate(requests):
        sampler.assign(row, r)
    counts = np.zeros(5)
    for _ in range(100):
        logits = probabilities.log().repeat(100, 1)
        for r, (token,) in zip(
            requests, sampler.sample(logits, rows, requests).token_ids, strict=True
        ):
            counts[token] += 1
            r.token_ids.append(token)
    assert stats.chisquare(counts, probabilities.numpy().astype(float) * 10_000).pvalue > 1e-3


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (SamplingParams(temperature=0.0), 11),
        (SamplingParams(temperature=0.0, frequency_penalty=0.5), 2),
        (SamplingParams(temperature=0.0, presence_penalty=0.5), 2),
        (SamplingParams(temperature=0.0, repetition_penalty=1.5), 7),
    ],
)
def test_only_repetition_looks_at_the_prompt(params: SamplingParams, expected: int) -> None:
    logits = torch.zeros(1, VOCAB)
    logits[0, [11, 2, 7]] = torch.tensor([1.2, 1.1, 1.0])  # generated, in the prompt, new
    assert sample([params], logits) == [expected]


def test_penalties_survive_losing_the_row() -> None:
    """Counts are rebuilt from the tokens: after preemption the draw is the one without it."""
    params = SamplingParams(frequency_penalty=0.7, repetition_penalty=1.2, seed=4)
    kept, moved = Sampler(2, VOCAB, EOS), Sampler(2, VOCAB, EOS)
    a, b = request(params, ()), request(params, ())
    kept.assign(0, a)
    for i in range(12):
        moved.assign(i % 2, b)
        logits = some_logits(1, i)
        (token,) = kept.sample(logits.clone(), np.array([0]), [a]).token_ids[0]
        assert moved.sample(logits.clone(), np.array([i % 2]), [b]).token_ids[0] == [token]
        a.token_ids.append(token)
        b.token_ids.append(token)


def test_a_reused_row_forgets_its_former_request() -> None:
    sampler = Sampler(1, VOCAB, EOS)
    sampler.assign(0, request(PARAMS["all filters"]))
    sampler.assign(0, request(PARAMS["presence"]))
    sampler.assign(0, request(PARAMS["greedy"]))
    logits = some_logits(1)
    drawn = sampler.sample(logits.clone(), np.array([0]), [request(PARAMS["greedy"])])
    assert drawn.token_ids == [[int(logits.argmax())]]


def test_logprobs_are_those_of_the_raw_logits() -> None:
    params = SamplingParams(temperature=0.0, logit_bias=((8, 100.0),), logprobs=3)
    chosen_only = SamplingParams(temperature=0.0, logprobs=0)
    sampler = Sampler(3, VOCAB, EOS)
    requests = [request(params), request(NEUTRAL), request(chosen_only)]
    for row, r in enumerate(requests):
        sampler.assign(row, r)
    logits = some_logits(3)
    result = sampler.sample(logits.clone(), np.arange(3), requests)
    assert result.logprobs is not None
    biased, nothing, plain = result.logprobs
    expected = logits.log_softmax(dim=-1)
    assert nothing is None
    assert biased is not None
    assert plain is not None
    assert biased[0].token_id == 8
    assert biased[0].logprob == pytest.approx(float(expected[0, 8]), abs=1e-5)
    assert biased[0].rank == int((expected[0] > expected[0, 8]).sum()) + 1
    best = expected[0].topk(3)
    assert [t for t, _ in biased[0].top] == best.indices.tolist()
    assert [v for _, v in biased[0].top] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert (plain[0].rank, plain[0].top) == (1, ())


@pytest.mark.parametrize("name", PARAMS)
def test_a_row_behind_drafts_draws_as_if_they_were_its_tokens(name: str) -> None:
    drafts = [11, 3, 4, 11]
    r = request(PARAMS[name])
    r.draft_ids = drafts
    sampler, offsets = Sampler(1, VOCAB, EOS), list(range(len(drafts) + 1))
    sampler.assign(0, r)
    logits, rows = some_logits(len(offsets), 3), np.zeros(len(offsets), dtype=np.int64)
    got = sampler.sample(logits.clone(), rows, [r] * len(offsets), offsets).token_ids
    for n in offsets:
        alone = request(PARAMS[name], (*GENERATED, *drafts[:n]))
        assert got[n] == [naive(logits[n].tolist(), alone)]
    # Drafts on trial leave nothing behind.
    assert sampler.sample(logits[:1].clone(), rows[:1], [r]).token_ids == got[:1]


@pytest.mark.parametrize("name", PARAMS)
def test_the_distribution_is_what_draws_follow(name: str) -> None:
    """Its support is what the sampler draws, and its logarithm plus noise has the same argmax."""
    sampler, r = Sampler(1, VOCAB, EOS), request(PARAMS[name])
    sampler.assign(0, r)
    rows = np.zeros(1, dtype=np.int64)
    for seed in range(10):
        logits = some_logits(1, seed)
        p = sampler.distribution(logits.clone(), rows, [r])
        noise = gumbel([stream_key(r.params.seed or 0, r.num_tokens)], torch.arange(VOCAB))
        assert float(p.sum()) == pytest.approx(1, abs=1e-5)
        assert [int((p.log() + noise).argmax())] == sampler.sample(logits, rows, [r]).token_ids[0]


def test_a_bitmask_comes_before_everything_and_leaves_logprobs_raw() -> None:
    """Token 40 is far the likeliest, yet forbidden; bits 31 and 32 lie in different words."""
    params = [
        SamplingParams(temperature=0.0, logprobs=0, logit_bias=((40, 100.0),)),
        SamplingParams(seed=1),
        SamplingParams(temperature=0.0),
    ]
    requests, sampler, rows = [request(p) for p in params], Sampler(3, VOCAB, EOS), np.arange(3)
    for row, r in enumerate(requests):
        sampler.assign(row, r)
    logits = some_logits(3)
    logits[:, 40] += 50
    free = torch.full((1, 2), -1, dtype=torch.int32)
    only = torch.tensor([[1 << 31, 1]], dtype=torch.int64).to(torch.int32)
    mask = torch.cat([only, only, free])
    drawn = sampler.sample(logits.clone(), rows, requests, bitmask=mask)
    assert drawn.token_ids[0][0] == 31 + int(logits[0, 32] > logits[0, 31])
    assert drawn.token_ids[1][0] in (31, 32)
    assert drawn.token_ids[2] == [40]
    assert drawn.logprobs is not None
    assert drawn.logprobs[0] is not None
    expected = logits.log_softmax(-1)[0, drawn.token_ids[0][0]]
    assert drawn.logprobs[0][0].logprob == pytest.approx(float(expected), abs=1e-5)
    p = sampler.distribution(logits.clone(), rows, requests, bitmask=mask)
    assert set(p[1].nonzero().flatten().tolist()) == {31, 32}


@pytest.mark.parametrize("vocab_size", [64, 70, 4096])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_a_bitmask_forbids_the_same_however_few_it_forbids(vocab_size: int, share: float) -> None:
    generator = torch.Generator().manual_seed(vocab_size)
    is_forbidden = torch.rand(5, vocab_size, generator=generator) < share
    is_forbidden[:, 3] = False
    num_words = -(-vocab_size // 32)
    bits = torch.zeros(5, num_words * 32, dtype=torch.int64)  # beyond the vocabulary: forbidden
    bits[:, :vocab_size] = (~is_forbidden).long()
    packed = (bits.view(5, num_words, 32) << torch.arange(32)).sum(-1)
    bitmask = torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)
    logits = torch.randn(5, vocab_size, generator=generator)
    expected = logits.masked_fill(is_forbidden, -torch.inf)
    apply_bitmask(logits, bitmask)
    assert torch.equal(logits, expected)

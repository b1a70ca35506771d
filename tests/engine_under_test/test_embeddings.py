"""A prompt's vector is that of one plain forward pass, however it was cut and whoever ran beside.

In float64, against hidden states of the whole prompt at once, normed and pooled here by hand. Chats
in the same batches keep the tokens they have alone (see test_batching_is_invisible, whose random
engines these are): with preemption, prefix hits, aborts, drafts, and steps launched ahead.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch

from engine_under_test.attention import SdpaBackend
from engine_under_test.batch import RowTable, build_batch
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import ConfigError, RequestRefused
from engine_under_test.models import load_model
from engine_under_test.models.llama import Llama
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import (
    NO_TOKENS,
    FinishReason,
    FloatArray,
    Pooling,
    Request,
    RequestOutput,
    SamplingParams,
)

from .test_batching_is_invisible import SPECS, VOCAB, alone, engine, random_engine, random_requests

TIGHT = 1e-12
POOLINGS: tuple[Pooling, ...] = ("last", "mean", "cls")


@cache
def model() -> Llama:
    """The weights of engine()."""
    return load_model(EngineConfig(shape="debug", seed=3, dtype="float64")).model


@cache
def expected(prompt: tuple[int, ...], pooling: Pooling) -> FloatArray:
    """One forward pass over the whole prompt; norm and pooling written out."""
    m, num_blocks = model(), -(-len(prompt) // 16)
    r = Request("r", list(prompt), SamplingParams(), block_ids=list(range(1, num_blocks + 1)))
    attention = SdpaBackend(m.config, num_blocks + 1, 16, m.dtype)
    table = RowTable(1, num_blocks, 16)
    seq = ScheduledSeq(r, len(prompt), is_sampled=False)
    batch = build_batch([seq], np.array([table.sync(r)]), table)
    with torch.inference_mode():
        h = m.forward(batch, attention, attention.build(batch))
        h = h * (h.square().mean(-1, keepdim=True) + m.config.rms_norm_eps).rsqrt() * m.norm[0]
    vector: FloatArray = {"last": h[-1], "mean": h.mean(0), "cls": h[0]}[pooling].numpy()
    return vector


def embedding(name: str, prompt: list[int], pooling: Pooling, priority: int = 0) -> Request:
    return Request(name, prompt, NO_TOKENS, priority=priority, pooling=pooling)


def drain(core: EngineCore) -> dict[str, RequestOutput]:
    """The one output of each embedding."""
    found: dict[str, RequestOutput] = {}
    while core.has_work:
        for out in core.step():
            if out.embedding is not None:
                assert out.request_id not in found
                found[out.request_id] = out
        core.check_integrity()
    return found


def check(out: RequestOutput, r: Request) -> None:
    assert r.pooling is not None
    assert out.embedding is not None
    assert out.embedding.dtype == np.float64
    assert (out.new_token_ids, out.finish_reason) == ([], FinishReason.STOP)
    assert out.timings is r.timings
    wanted = expected(tuple(r.prompt_ids), r.pooling)
    np.testing.assert_allclose(out.embedding, wanted, rtol=TIGHT, atol=TIGHT)


def random_embeddings(rng: random.Random, chats: list[Request]) -> list[Request]:
    """Some of texts of their own, some of a chat's prompt or its beginning."""
    requests = []
    for n in range(rng.randint(3, 8)):
        prompt = [rng.randrange(VOCAB) for _ in range(rng.randint(1, 90))]
        if rng.random() < 0.5:
            shared = rng.choice(chats).prompt_ids
            prompt = shared[: rng.randint(1, len(shared))] + prompt[:10]
        pooling = rng.choice(POOLINGS)
        requests.append(embedding(f"e{n}", prompt, pooling, rng.choice((0, 0, 1, -1))))
    return requests


def run_case(spec: str, seed: int) -> Counter[str]:
    """A random engine and mix; what of the hard paths its embeddings took."""
    rng = random.Random(seed)
    core = random_engine(rng, SPECS.get(spec), overlap=spec == "overlapped")
    chats = random_requests(rng)[:4]
    pending = chats + random_embeddings(rng, chats)
    rng.shuffle(pending)
    live: dict[str, Request] = {}
    vectors: dict[str, RequestOutput] = {}
    while pending or core.has_work:
        while pending and rng.random() < 0.5:
            core.add(r := pending.pop())
            live[r.request_id] = r
        if live and rng.random() < 0.02:
            core.abort(rng.choice(sorted(live)))
        for out in core.step():
            r = live[out.request_id]
            assert r.finish_reason is not FinishReason.ABORT
            if r.pooling is not None:
                assert out.request_id not in vectors
                vectors[out.request_id] = out
        core.check_integrity()
    assert core.stats().kv_usage_ratio == 0
    seen: Counter[str] = Counter()
    for name, r in live.items():
        if r.finish_reason is FinishReason.ABORT:
            assert name not in vectors
        elif r.pooling is None:
            tokens, reason = alone(tuple(r.prompt_ids), r.params)
            assert (r.token_ids[r.num_prompt :], r.finish_reason) == (tokens, reason)
        else:
            check(vectors[name], r)
            assert (r.token_ids, r.timings.decode_steps) == (r.prompt_ids, 0)
            seen[f"{r.pooling} preempted"] += r.timings.preemptions
            seen[f"{r.pooling} chunked"] += r.timings.prefill_steps > 1
            seen[f"{r.pooling} hit"] += r.timings.cached_tokens > 0
    return seen


@pytest.mark.parametrize(
    ("spec", "seeds"),
    [
        ("off", range(6)),
        ("overlapped", range(20, 26)),
        ("n-grams", range(40, 42)),
        ("a weak draft model", range(50, 52)),
    ],
)
def test_vectors_and_chats_in_one_batch_are_what_they_are_alone(spec: str, seeds: range) -> None:
    seen: Counter[str] = sum((run_case(spec, seed) for seed in seeds), Counter())
    assert seen["mean hit"] == seen["cls hit"] == 0
    # The property would be empty if its cases never met the hard paths.
    if len(seeds) > 2:
        assert sum(seen[f"{pooling} preempted"] for pooling in POOLINGS) > 0, seen
        assert min(seen[f"{pooling} chunked"] for pooling in POOLINGS) > 1, seen
        assert seen["last hit"] > 1, seen


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 16, 33, 90])
def test_a_prompt_may_be_cut_anywhere(chunk: int, overlap: bool) -> None:
    core = engine(num_blocks=64, long_prefill_threshold=chunk, overlap=overlap)
    rng = random.Random(chunk)
    requests = [
        embedding(f"{pooling}-{length}", [rng.randrange(VOCAB) for _ in range(length)], pooling)
        for pooling in POOLINGS
        for length in (1, 15, 16, 17, 90)
    ]
    for r in requests:
        core.add(r)
    found = drain(core)
    for r in requests:
        check(found[r.request_id], r)
        assert r.timings.prefill_steps == -(-r.num_prompt // chunk)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_is_cached_serves_the_last_token_and_chats_but_no_mean(pooling: Pooling) -> None:
    core, prompt = engine(num_blocks=64), [(7 * i) % VOCAB for i in range(70)]
    first, again = (embedding(name, prompt, pooling) for name in ("first", "again"))
    chat = Request("chat", [*prompt, 5], SamplingParams(8, temperature=0))
    cached = []
    for r in (first, again, chat):
        core.add(r)
        for out in drain(core).values():
            check(out, r)
        cached.append(r.timings.cached_tokens)
    assert cached == [0, 64 if pooling == "last" else 0, 64]
    assert chat.token_ids[71:] == alone(tuple(chat.prompt_ids), chat.params)[0]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_was_left_halfway_is_in_nobody_elses(pooling: Pooling) -> None:
    """Its row is the next one's, whose sum begins anew; so does its own after a preemption."""
    core = engine(num_blocks=64, max_num_seqs=1, long_prefill_threshold=8)
    core.add(embedding("left", [9] * 60, pooling))
    core.step()
    core.step()
    core.abort("left")
    core.add(r := embedding("next", [3, 1, 4, 1, 5] * 5, pooling))
    check(drain(core)["next"], r)
    # Two that together need more blocks than there are: one has to begin again.
    core = engine(num_blocks=9, block_size=4, max_num_seqs=2, max_num_batched_tokens=3)
    talk = Request("talk", [1, 2, 3], SamplingParams(17, temperature=0, ignore_eos=True))
    core.add(talk)
    for _ in range(4):
        core.step()
    core.add(r := embedding("vector", [2, 7] * 9, pooling, priority=1))
    check(drain(core)["vector"], r)
    assert r.timings.preemptions > 0


def test_an_embedding_runs_beside_chats_and_not_after_them() -> None:
    """One step gives the vectors of all that fit the budget, and every chat its next token."""
    core = engine(num_blocks=64, max_num_batched_tokens=64)
    core.add(chat := Request("chat", [1, 2], SamplingParams(30, temperature=0, ignore_eos=True)))
    core.step()
    for n in range(4):
        core.add(embedding(f"e{n}", [n] * 12, POOLINGS[n % 2]))
    outputs = core.step()
    assert {o.request_id for o in outputs} == {"chat", "e0", "e1", "e2", "e3"}
    assert chat.num_generated == 2
    assert core.stats().num_running == 1
    core.add(embedding("long", [7] * 150, "mean"))
    per_step = []
    while core.stats().num_running > 1 or core.stats().num_waiting:
        per_step.append(sorted(o.request_id for o in core.step()))
    assert per_step == [["chat"], ["chat"], ["chat", "long"]]  # 63 tokens of it a step


def test_a_step_with_embeddings_is_launched_ahead_of_its_booking() -> None:
    core = engine(num_blocks=64, long_prefill_threshold=8, overlap=True)
    core.add(embedding("a", [5] * 20, "mean"))
    assert core.step() == []
    assert core.step() == []
    assert core.step() == []  # the third chunk runs; that it is the last was known beforehand
    (out,) = core.step()
    assert out.embedding is not None
    assert not core.has_work
    assert core._runner.num_ahead == 3


def test_the_window_is_the_prompts_alone() -> None:
    core = engine(num_blocks=64, max_model_len=64, max_num_seqs=1)
    core.add(r := embedding("all", [3] * 64, "last"))
    check(drain(core)["all"], r)
    with pytest.raises(RequestRefused, match=r"has 65 tokens; the context window of 64"):
        core.add(embedding("more", [3] * 65, "last"))
    with pytest.raises(RequestRefused, match="empty"):
        core.add(embedding("none", [], "mean"))
    with pytest.raises(RequestRefused, match="vocabulary"):
        core.add(embedding("odd", [VOCAB], "mean"))
    with pytest.raises(ConfigError, match="'max' is unknown"):
        EngineConfig(shape="debug", pooling="max")  # type: ignore[arg-type]


def test_seeds_of_chats_are_drawn_as_if_there_were_no_embeddings() -> None:
    drawn = []
    for has_company in (False, True):
        core = engine(num_blocks=64)
        if has_company:
            core.add(embedding("e", [1, 2, 3], "last"))
        core.add(chat := Request("chat", [1, 2], SamplingParams(9, temperature=1.0)))
        drain(core)
        drawn.append(chat.token_ids)
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_dtypes_give_float32_near_the_exact_vector(dtype: str) -> None:
    core = EngineCore(
        EngineConfig(shape="debug", seed=3, dtype=dtype, num_blocks=64, long_prefill_threshold=16)  # type: ignore[arg-type]
    )
    for pooling in POOLINGS:
        core.add(embedding(pooling, list(range(50)), pooling))
    for pooling, out in drain(core).items():
        assert out.embedding is not None
        assert out.embedding.dtype == np.float32
        wanted = expected(tuple(range(50)), pooling)  # type: ignore[arg-type]
        cosine = out.embedding @ wanted / np.linalg.norm(out.embedding) / np.linalg.norm(wanted)
        assert cosine > (0.9999 if dtype == "float32" else 0.99)

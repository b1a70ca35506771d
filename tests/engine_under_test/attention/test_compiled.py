"""Attention where the cache lies against one sentence: softmax over what came before."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine_under_test.attention import SdpaBackend, make_backend
from engine_under_test.attention.compiled import CompiledBackend
from engine_under_test.compiled import lanes
from engine_under_test.models import SHAPES

from .layouts import BLOCK, layout

pytestmark = pytest.mark.skipif(not lanes(), reason="this processor has no vectors of 8 floats")
HEADS = [(4, 4, 16), (4, 2, 64), (9, 3, 64), (8, 1, 32), (6, 2, 48)]


def exact(q: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """float64; q [n, H, D] are the last n of the S positions of context [S, 2 * KVH, D]."""
    (num_new, num_heads, head_dim), kvh = q.shape, context.shape[1] // 2
    rows = []
    for i in range(num_new):
        seen = context[: len(context) - num_new + i + 1].double()
        for h in range(num_heads):
            kv_head = h * kvh // num_heads
            weights = (seen[:, kv_head] @ q[i, h].double() / head_dim**0.5).softmax(0)
            rows.append(weights @ seen[:, kvh + kv_head])
    return torch.stack(rows).view(num_new, num_heads * head_dim)


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("seed", range(6))
def test_mixed_batches_match_the_sentence(heads: tuple[int, int, int], seed: int) -> None:
    """Single tokens, drafts to verify, chunks; also the bits of a token that runs alone."""
    rng = random.Random(seed)
    num_heads, kvh, dim = heads
    config = replace(
        SHAPES["debug"], num_heads=num_heads, num_kv_heads=kvh, head_dim=dim, num_layers=1
    )
    assert CompiledBackend.can_run(config)
    lengths = [
        (rng.choice((0, 3, 4, 17, 150)), rng.choice((1, 1, 1, 2, 8, 9, 30, 40)))
        for _ in range(rng.randint(1, 7))
    ]
    backend = CompiledBackend(config, 400, BLOCK)
    batch, order = layout(lengths, rng)
    generator = torch.Generator().manual_seed(seed)
    num_tokens = int(batch.cu_q[-1])
    heads_of = torch.randn(num_tokens, num_heads + 2 * kvh, dim, generator=generator)
    q, kv = heads_of[:, :num_heads], heads_of[:, num_heads:]  # apart, as the model has them
    contexts = []
    for b, i in enumerate(order):
        done = lengths[i][0]
        start, end = int(batch.cu_q[b]), int(batch.cu_q[b + 1])
        past = torch.randn(done, 2 * kvh, dim, generator=generator)
        slots = batch.block_table[b, np.arange(done) // BLOCK] * BLOCK + np.arange(done) % BLOCK
        backend._kv_slots[0][torch.from_numpy(slots)] = past
        contexts.append((start, end, torch.cat([past, kv[start:end]])))
    meta = backend.build(batch)
    found = backend.forward(q, kv, 0, meta)
    expected = torch.cat([exact(q[start:end], c) for start, end, c in contexts])
    # Scores of size 8 at most err by dim roundings, weights and so their mean by as much.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
    covered = sorted([*meta.runs, *((c.start, c.end) for c in meta.chunks)])
    assert [end for _, end in covered] == [*(start for start, _ in covered[1:]), num_tokens]
    for start, end in meta.runs:
        for i in range(start, end):
            out = torch.zeros_like(found)
            backend._attend_own(q, backend._kv[0], meta, i, i + 1, out)
            assert torch.equal(out[i], found[i])


def test_large_scores_do_not_overflow_and_small_weights_vanish() -> None:
    config = replace(SHAPES["debug"], num_heads=2, num_kv_heads=1, head_dim=16, num_layers=1)
    backend = CompiledBackend(config, 8, BLOCK)
    batch, _ = layout([(5, 1)], random.Random(1))
    slots = batch.block_table[0, np.arange(5) // BLOCK] * BLOCK + np.arange(5) % BLOCK
    past = torch.zeros(5, 2, 16)
    past[2, 0], past[:, 1] = 1e4, torch.arange(5.0).unsqueeze(1).expand(5, 16)
    backend._kv_slots[0][torch.from_numpy(slots)] = past
    found = backend.forward(torch.ones(1, 2, 16), torch.zeros(1, 2, 16), 0, backend.build(batch))
    assert torch.equal(found, torch.full((1, 32), 2.0))  # all weight on token 2


def test_heads_that_the_loops_do_not_know_stay_with_sdpa() -> None:
    shape = replace(SHAPES["debug"], num_heads=16, num_kv_heads=1, head_dim=64)
    assert not CompiledBackend.can_run(shape)  # 16 queries a key
    assert not CompiledBackend.can_run(replace(shape, num_kv_heads=16, head_dim=20))


def test_every_size_of_model_attends_so_in_float32_on_one_thread() -> None:
    threads, cpu = torch.get_num_threads(), torch.device("cpu")
    try:
        torch.set_num_threads(1)
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            backend = make_backend("sdpa", SHAPES["debug"], 8, BLOCK, dtype, cpu)
            expected = CompiledBackend if dtype == torch.float32 else SdpaBackend
            assert type(backend) is expected
        torch.set_num_threads(2)
        backend = make_backend("sdpa", SHAPES["debug"], 8, BLOCK, torch.float32, cpu)
        assert type(backend) is SdpaBackend
    finally:
        torch.set_num_threads(threads)

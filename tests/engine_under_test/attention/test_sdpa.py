"""Paged attention against one sentence: softmax over what came before, one head at a time."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine_under_test.attention import SdpaBackend
from engine_under_test.attention.sdpa import MAX_PADDING_TOKENS, _group_bounds
from engine_under_test.models import SHAPES

from .layouts import BLOCK, layout


def naive(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """q [n, H, D] are the last n of the S positions of k, v [S, KVH, D]."""
    num_new, num_heads, head_dim = q.shape
    rows = []
    for i in range(num_new):
        seen = k.shape[0] - num_new + i + 1
        for h in range(num_heads):
            kv_head = h * k.shape[1] // num_heads
            weights = (k[:seen, kv_head] @ q[i, h] / head_dim**0.5).softmax(0)
            rows.append(weights @ v[:seen, kv_head])
    return torch.stack(rows).view(num_new, num_heads * head_dim)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("seed", range(8))
def test_mixed_batches_match_the_naive_version(heads: tuple[int, int], seed: int) -> None:
    rng = random.Random(seed)
    num_heads, kvh = heads
    config = replace(SHAPES["debug"], num_heads=num_heads, num_kv_heads=kvh, num_layers=1)
    lengths = [
        (rng.choice((0, 3, 4, 17, 150)), rng.choice((1, 1, 1, 2, 9)))
        for _ in range(rng.randint(1, 7))
    ]
    backend = SdpaBackend(config, 400, BLOCK, torch.float64)
    batch, order = layout(lengths, rng)
    generator = torch.Generator().manual_seed(seed)
    head_dim, expected = config.head_dim, []
    num_tokens = int(batch.cu_q[-1])
    q = torch.randn(num_tokens, num_heads, head_dim, generator=generator, dtype=torch.float64)
    kv = torch.randn(num_tokens, 2 * kvh, head_dim, generator=generator, dtype=torch.float64)
    for b, i in enumerate(order):
        done = lengths[i][0]
        start, end = int(batch.cu_q[b]), int(batch.cu_q[b + 1])
        past = torch.randn(done, 2 * kvh, head_dim, generator=generator, dtype=torch.float64)
        slots = batch.block_table[b, np.arange(done) // BLOCK] * BLOCK + np.arange(done) % BLOCK
        backend._kv_slots[0][torch.from_numpy(slots)] = past
        context = torch.cat([past, kv[start:end]])
        expected.append(naive(q[start:end], context[:, :kvh], context[:, kvh:]))
    got = backend.forward(q, kv, 0, backend.build(batch))
    torch.testing.assert_close(got, torch.cat(expected), rtol=1e-12, atol=1e-12)


def test_decodes_are_grouped_so_that_padding_stays_small() -> None:
    rng = random.Random(0)
    batch, _ = layout([(n - 1, 1) for n in (5, 6, 7, 900, 905, 1500)], rng)
    assert _group_bounds(batch, 10**9) == [(0, 3), (3, 5), (5, 6)]
    for _ in range(50):
        batch, _ = layout([(rng.randint(0, 700), 1) for _ in range(rng.randint(1, 30))], rng)
        bounds = _group_bounds(batch, 10**9)
        assert [a for a, _ in bounds] == [0, *(b for _, b in bounds[:-1])]
        assert bounds[-1][1] == batch.num_decodes
        for a, b in bounds:
            lens = batch.seq_lens[a:b]
            assert int((lens[-1] - lens).sum()) <= MAX_PADDING_TOKENS


def test_no_group_gathers_more_than_the_buffer_may_hold() -> None:
    batch, _ = layout([(99, 1)] * 10 + [(399, 1)], random.Random(0))
    assert _group_bounds(batch, 300) == [(0, 1), (1, 4), (4, 7), (7, 10), (10, 11)]

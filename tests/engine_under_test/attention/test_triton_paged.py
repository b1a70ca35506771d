"""The Triton kernels, interpreted, against the SDPA backend that the naive version checks.

In float64, where both must agree to rounding; block tables are scattered at random, and scattering
them otherwise changes no bit. The wide grid of shapes runs on a GPU: python -m benchmarks.gpu.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine_under_test.attention import SdpaBackend
from engine_under_test.batch import FlatBatch, RowTable, batch_order, build_batch
from engine_under_test.device import CPU
from engine_under_test.models import SHAPES
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request, SamplingParams

pytest.importorskip("triton", reason="Triton is not installed")
from engine_under_test import kernels
from engine_under_test.attention.triton_paged import TritonBackend

NUM_BLOCKS = 120
# (tokens computed, new tokens) of each sequence: decodes, drafts on trial, chunks, whole prompts.
BATCHES = {
    "decodes": [(0, 1), (4, 1), (90, 1)],
    "one long decode": [(260, 1)],
    "drafts on trial": [(7, 4), (66, 4)],
    "short ones of several lengths": [(5, 1), (70, 3), (12, 8)],
    "prompts and chunks": [(0, 9), (0, 21), (17, 40)],
    "mixed": [(30, 1), (130, 1), (9, 2), (64, 33)],
}


def lay_out(
    lengths: list[tuple[int, int]], block_size: int, rng: random.Random
) -> tuple[FlatBatch, list[int]]:
    """A batch over blocks scattered by rng, and the order it took."""
    needed = [-(-(done + new) // block_size) for done, new in lengths]
    free = list(range(1, NUM_BLOCKS))
    rng.shuffle(free)
    table = RowTable(len(lengths) + 2, max(needed) + 3, block_size)
    table.on_device(CPU)  # an earlier step ran: the rows below reach the device as changes
    seqs = []
    for i, (done, new) in enumerate(lengths):
        blocks = [free.pop() for _ in range(needed[i])]
        tokens = [0] * (done + new)
        r = Request(str(i), tokens, SamplingParams(), num_computed=done, block_ids=blocks)
        seqs.append(ScheduledSeq(r, new, is_sampled=True))
    order = batch_order(seqs)
    seqs = [seqs[i] for i in order]
    rows = np.array([table.sync(s.request) for s in seqs])
    return build_batch(seqs, rows, table), order


def run(
    name: str, heads: tuple[int, int, int], block_size: int, scatter: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the SDPA backend and the kernels make of one step; contexts are written first."""
    num_heads, kvh, head_dim = heads
    lengths = BATCHES[name]
    config = replace(
        SHAPES["debug"], num_heads=num_heads, num_kv_heads=kvh, head_dim=head_dim, num_layers=1
    )
    batch, order = lay_out(lengths, block_size, random.Random(scatter))
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    past = [randn(done, 2 * kvh, head_dim) for done, _ in lengths]
    num_tokens = int(batch.cu_q[-1])
    q, kv = randn(num_tokens, num_heads, head_dim), randn(num_tokens, 2 * kvh, head_dim)
    oracle = SdpaBackend(config, NUM_BLOCKS, block_size, torch.float64)
    backend = TritonBackend(config, NUM_BLOCKS, block_size, torch.float64, CPU)
    for b, i in enumerate(order):
        places = np.arange(lengths[i][0])
        slots = batch.block_table[b, places // block_size] * block_size + places % block_size
        for cache in (oracle._kv_slots[0], backend.slots(0)):
            cache[torch.from_numpy(slots)] = past[i]
    expected = oracle.forward(q, kv, 0, oracle.build(batch))
    return expected, backend.forward(q.clone(), kv, 0, backend.build(batch))


@pytest.mark.parametrize(
    ("heads", "block_size"), [((4, 2, 16), 4), ((6, 2, 24), 16), ((8, 1, 32), 5)]
)
@pytest.mark.parametrize("name", BATCHES)
def test_equals_the_sdpa_backend(name: str, heads: tuple[int, int, int], block_size: int) -> None:
    expected, got = run(name, heads, block_size)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_where_blocks_lie_changes_no_bit() -> None:
    one, other = (run("mixed", (4, 2, 16), 4, scatter)[1] for scatter in (1, 2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("num_splits", [1, 2, 3, 7])
def test_any_number_of_parts_gives_the_same(num_splits: int) -> None:
    """Also more parts than there are keys for: a captured grid does not know the context."""
    generator = torch.Generator().manual_seed(2)
    seq_lens, q = torch.tensor([4, 9, 150]), 3
    cache = torch.randn(64 * 4, 4, 16, generator=generator, dtype=torch.float64)
    queries = torch.randn(9, 4, 16, generator=generator, dtype=torch.float64)
    table = torch.randperm(63, generator=generator)[:60].int().add(1).repeat(3, 1)
    out = torch.full((9, 4, 16), torch.nan, dtype=torch.float64)
    plan = kernels.AttentionPlan(9, 3, q, num_splits, block_m=16, tile=16)
    kernels.paged_attention(
        queries, cache, plan, cu_q=torch.tensor([0, 3, 6, 9]), seq_lens=seq_lens,
        rows=torch.arange(3), table=table, block_size=4, out=out,
    )  # fmt: skip
    for b, length in enumerate(seq_lens.tolist()):
        places = torch.arange(length)
        context = cache[table[b, places // 4].long() * 4 + places % 4]
        for i in range(q):
            seen = length - q + i + 1
            for h in range(4):
                k, v = context[:seen, h // 2], context[:seen, 2 + h // 2]
                weights = (k @ queries[b * q + i, h] / 4).softmax(0)
                torch.testing.assert_close(out[b * q + i, h], weights @ v, rtol=1e-12, atol=1e-12)


def test_half_precision_is_as_near_as_its_rounding() -> None:
    """float16: the interpreter multiplies no bfloat16."""
    generator = torch.Generator().manual_seed(3)
    cache = torch.randn(80, 2, 64, generator=generator).half()
    q = torch.randn(2, 2, 64, generator=generator).half()
    plan = kernels.AttentionPlan(2, 2, 1, 2, block_m=16, tile=32)
    exact, rounded = torch.empty(q.shape, dtype=torch.float64), torch.empty_like(q)
    for queries, entries, out in ((q.double(), cache.double(), exact), (q, cache, rounded)):
        kernels.paged_attention(
            queries, entries, plan, cu_q=torch.tensor([0, 1, 2]), seq_lens=torch.tensor([30, 77]),
            rows=torch.arange(2), table=torch.arange(5).int().repeat(2, 1), block_size=16, out=out,
        )  # fmt: skip
    # Weights and result are rounded to 11 bits each, values lie below 1.
    torch.testing.assert_close(rounded.double(), exact, rtol=2**-9, atol=2**-11)


def test_splits_fill_the_card_and_no_more_than_the_context() -> None:
    def splits(num_seqs: int, max_seq_len: int | None = None) -> int:
        plan = kernels.AttentionPlan.of(
            num_seqs, num_seqs, uniform_q=1, group=4, kv_heads=8, is_split=True,
            max_seq_len=max_seq_len,
        )  # fmt: skip
        return plan.num_splits

    assert [splits(n) for n in (1, 2, 8, 32, 64)] == [32, 17, 5, 2, 1]
    assert [splits(1, n) for n in (1, 64, 65, 1000)] == [1, 1, 2, 16]

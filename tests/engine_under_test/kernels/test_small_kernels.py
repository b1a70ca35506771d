"""Norm, activation, rotation and draw against torch, in float64 where rounding hides faults."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine_under_test.models import SHAPES
from engine_under_test.models.rope import rotate_, rotation_table
from engine_under_test.noise import gumbel, mixed_seed, stream_key

pytest.importorskip("triton", reason="Triton is not installed")
from engine_under_test import kernels

DOUBLE = torch.float64


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


@pytest.mark.parametrize("d", [16, 48, 129])
def test_add_rms_norm(d: int) -> None:
    x, delta, weight = randn(3, d), randn(3, d, seed=1), randn(d, seed=2)
    total = x + delta
    expected = F.rms_norm(total, (d,), weight, 1e-5)
    torch.testing.assert_close(kernels.rms_norm(total, weight, 1e-5), expected, atol=1e-14, rtol=0)
    torch.testing.assert_close(
        kernels.add_rms_norm(x, delta, weight, 1e-5), expected, atol=1e-14, rtol=0
    )
    assert torch.equal(x, total)


@pytest.mark.parametrize("ffn", [8, 100, 2048])
def test_silu_mul(ffn: int) -> None:
    gate_up = randn(2, 2 * ffn)
    expected = F.silu(gate_up[:, :ffn]) * gate_up[:, ffn:]
    torch.testing.assert_close(kernels.silu_mul(gate_up), expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("has_norm", [False, True])
@pytest.mark.parametrize(("heads", "kvh", "d"), [(4, 2, 16), (9, 3, 24)])
def test_rotation_goes_to_queries_and_to_the_cache(
    heads: int, kvh: int, d: int, has_norm: bool
) -> None:
    config = replace(SHAPES["debug"], num_heads=heads, num_kv_heads=kvh, head_dim=d)
    table = rotation_table(config, 50, DOUBLE)
    qkv, positions = randn(5, heads + 2 * kvh, d), torch.tensor([0, 7, 49, 3, 7])
    q_norm, k_norm = (randn(d, seed=3), randn(d, seed=4)) if has_norm else (None, None)
    expected = qkv.clone()
    if has_norm:
        q, k = expected[:, :heads], expected[:, heads : heads + kvh]
        q.copy_(F.rms_norm(q, (d,), q_norm, 1e-6))
        k.copy_(F.rms_norm(k, (d,), k_norm, 1e-6))
    rotate_(expected[:, : heads + kvh], table[positions].unsqueeze(1))
    slots, cache = torch.tensor([11, 2, 30, 0, 5]), torch.zeros(32, 2 * kvh, d, dtype=DOUBLE)
    kernels.rope_write_kv(
        qkv, cache, torch.view_as_real(table), positions, slots, q_norm, k_norm, 1e-6
    )
    torch.testing.assert_close(qkv[:, :heads], expected[:, :heads], atol=1e-13, rtol=0)
    written = torch.zeros_like(cache).index_copy_(0, slots, expected[:, heads:])
    torch.testing.assert_close(cache, written, atol=1e-13, rtol=0)


def test_draws_are_those_of_the_cpu() -> None:
    """The two best of every row here lie 1e-3 apart: float32's last places decide nothing."""
    vocab_size, num_rows = 5000, 12
    logits = randn(num_rows, vocab_size).float()
    temperatures = torch.tensor([0.0, 1.0, 0.7, 1.3], dtype=DOUBLE)
    seeds, positions = [5, -3, 2**63 - 1, 77], torch.arange(num_rows) * 91
    rows = torch.arange(num_rows) % 4
    got = kernels.draw(
        logits, temperatures, torch.tensor([mixed_seed(s) for s in seeds]), positions, rows
    )
    for i in range(num_rows):
        scores = logits[i].double()
        if temperature := float(temperatures[rows[i]]):
            key = stream_key(seeds[rows[i]], int(positions[i]))
            scores = scores / temperature + gumbel([key], torch.arange(vocab_size))[0]
        assert float(scores.topk(2).values.diff().abs()) > 1e-3
        assert int(got[i]) == int(scores.argmax())


def test_a_tie_goes_to_the_lowest_token_in_and_across_parts() -> None:
    logits = torch.zeros(2, 9000)
    logits[0, [8999, 4100, 4097]] = 3.0
    logits[1, [5000, 77]] = 3.0
    zeros = torch.zeros(1, dtype=torch.int64)
    got = kernels.draw(
        logits, torch.zeros(1, dtype=DOUBLE), zeros, zeros.repeat(2), zeros.repeat(2)
    )
    assert got.tolist() == [4097, 77]

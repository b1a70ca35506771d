"""Loops over rows against float64, and for which models there are any."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine_under_test.compiled import host, lanes, suits
from engine_under_test.models import SHAPES
from engine_under_test.models.ops import CompiledOps

CPU = torch.device("cpu")
LARGE = replace(SHAPES["debug"], vocab_size=100_000, hidden_size=256)  # 100 MB
needs_lanes = pytest.mark.skipif(not lanes(), reason="this processor has no vectors of 8 floats")


@needs_lanes
@pytest.mark.parametrize("shape", [(1, 576), (7, 33), (64, 256), (3, 1)])
def test_norms_are_within_a_few_roundings(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator) * 30
    weight = torch.randn(2, shape[1], generator=generator)
    found = CompiledOps().norm(x, weight, 1e-5)
    expected = F.rms_norm(x.double(), shape[1:], weight[0].double(), 1e-5)
    torch.testing.assert_close(found.double(), expected, rtol=2e-6, atol=0)


@needs_lanes
def test_activations_are_within_a_few_roundings_at_every_size() -> None:
    gate = torch.cat([torch.linspace(-200, 200, 4001), torch.logspace(-30, 2, 400)])
    up = torch.randn(len(gate), generator=torch.Generator().manual_seed(2))
    found = CompiledOps().silu_mul(torch.stack([torch.cat([gate, up])] * 3))
    expected = F.silu(gate.double()) * up.double()
    for row in found:
        torch.testing.assert_close(row.double(), expected, rtol=1e-6, atol=1e-33)


def test_only_what_streams_from_memory_is_worth_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert suits(LARGE, torch.float32, CPU) == bool(lanes())
        assert not suits(SHAPES["debug"], torch.float32, CPU)
        assert not suits(LARGE, torch.float64, CPU)
        assert not suits(LARGE, torch.bfloat16, CPU)
        assert not suits(LARGE, torch.float32, torch.device("cuda"))
        torch.set_num_threads(2)
        assert not suits(LARGE, torch.float32, CPU)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    host.lanes.cache_clear()
    assert host.lanes() == 0
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    host.lanes.cache_clear()

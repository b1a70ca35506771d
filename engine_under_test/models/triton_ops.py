"""LayerOps by the fused kernels. Belongs with TritonBackend, which owns the cache they write."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from engine_under_test import kernels
from engine_under_test.attention import AttentionBackend
from engine_under_test.attention.triton_paged import TritonBackend

from .matrix import AnyMatrix


class Rotations(NamedTuple):
    """The whole table [P, D / 2, 2] as cosine and sine, and the positions [T] of a step."""

    table: torch.Tensor
    positions: torch.Tensor


class TritonOps:
    """See LayerOps."""

    def rotations(self, table: torch.Tensor, positions: torch.Tensor) -> Rotations:
        return Rotations(torch.view_as_real(table), positions)

    def norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        return kernels.rms_norm(x, weight[0], eps)

    def onto(
        self, x: torch.Tensor, matrix: AnyMatrix, bias: torch.Tensor | None, y: torch.Tensor
    ) -> torch.Tensor:
        return matrix.product(y, bias)

    def add_norm(
        self, x: torch.Tensor, pending: torch.Tensor, weight: torch.Tensor, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return x, kernels.add_rms_norm(x, pending, weight[0], eps)

    def add(self, x: torch.Tensor, pending: torch.Tensor) -> torch.Tensor:
        return x.add_(pending)

    def silu_mul(self, gate_up: torch.Tensor) -> torch.Tensor:
        return kernels.silu_mul(gate_up)

    def attend(
        self,
        attention: AttentionBackend[Any],
        heads: torch.Tensor,
        num_heads: int,
        layer: int,
        meta: Any,
        rotations: Rotations,
        norms: tuple[torch.Tensor, torch.Tensor] | None,
        eps: float,
    ) -> torch.Tensor:
        assert isinstance(attention, TritonBackend), "the fused write needs its own cache"
        q_norm, k_norm = norms if norms is not None else (None, None)
        kernels.rope_write_kv(
            heads, attention.slots(layer), *rotations, meta.slots, q_norm, k_norm, eps
        )
        return attention.attend(heads[:, :num_heads], layer, meta)

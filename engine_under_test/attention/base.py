"""The contract of an attention backend: it owns the KV cache tensors and reads them by blocks.

Keys and values of a layer share one tensor, keys' heads first, so that a step writes and gathers
them with one operation each; layers never share a tensor.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import torch

from engine_under_test.batch import FlatBatch

Meta = TypeVar("Meta")


class AttentionBackend(Protocol, Generic[Meta]):
    """Paged causal attention with grouped queries."""

    def build(self, batch: FlatBatch) -> Meta:
        """What all layers of one step share: masks, block lists, slots."""

    def forward(self, q: torch.Tensor, kv: torch.Tensor, layer: int, meta: Meta) -> torch.Tensor:
        """Write kv at the batch's slots, then attend.

        q: [T, num_heads, head_dim].  kv: [T, 2 * num_kv_heads, head_dim], keys first.
        Returns [T, num_heads * head_dim].
        """

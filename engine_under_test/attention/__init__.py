"""Attention over the paged KV cache: the contract, and one implementation a file."""

from .base import AttentionBackend
from .sdpa import SdpaBackend, SdpaMetadata

__all__ = ["AttentionBackend", "SdpaBackend", "SdpaMetadata"]

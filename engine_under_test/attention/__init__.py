"""Attention over the paged KV cache: the contract, and one implementation a file.

The Triton backend is imported by `make_backend` alone, so that a CPU needs no Triton.
"""

from .base import AttentionBackend
from .choose import make_backend, resolve_attention
from .sdpa import SdpaBackend, SdpaMetadata

__all__ = [
    "AttentionBackend",
    "SdpaBackend",
    "SdpaMetadata",
    "make_backend",
    "resolve_attention",
]

"""Triton kernels of the decoder, and the functions that launch them.

Written for Triton 3.6 on Hopper. Without a GPU they run in Triton's interpreter, which is how the
tests compare them with torch; it is a thousand times too slow to serve. Sums run in float32, or in
float64 for float64 tensors, which exist for tests alone.
"""

from ._interpreter import is_interpreted
from .activation import silu_mul
from .attention import AttentionPlan, paged_attention
from .norm import add_rms_norm, rms_norm
from .rope import rope_write_kv, write_kv
from .sampling import draw, mixed_seed

__all__ = [
    "AttentionPlan",
    "add_rms_norm",
    "draw",
    "is_interpreted",
    "mixed_seed",
    "paged_attention",
    "rms_norm",
    "rope_write_kv",
    "silu_mul",
    "write_kv",
]

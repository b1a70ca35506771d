"""Inner loops compiled by numba for the processor at hand: no C compiler, nothing built ahead.

Importing a module of this room compiles it, seconds the first time and a fraction of one from the
disk; so it is imported where it is used. `suits` says for which models, `suits_attention` for which
attention alone.
"""

from .choose import suits, suits_attention
from .host import lanes

__all__ = ["lanes", "suits", "suits_attention"]

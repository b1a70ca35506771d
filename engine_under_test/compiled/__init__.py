"""Inner loops compiled by numba for the processor at hand: no C compiler, nothing built ahead.

Importing a module of this room compiles it, seconds the first time and a fraction of one from the
disk; so it is imported where it is used. `suits` says for which models.
"""

from .choose import suits
from .host import lanes

__all__ = ["lanes", "suits"]

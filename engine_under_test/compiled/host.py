"""What this processor computes at once, and how functions are compiled for it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


@cache
def lanes() -> int:
    """float32 numbers in a vector: 16 with AVX-512, 8 with AVX2; 0: nothing is compiled here.

    0 also where numba is missing or is told to compile for another processor, or not at all.
    """
    if any(os.environ.get(f"NUMBA_{x}") for x in ("CPU_NAME", "CPU_FEATURES", "DISABLE_JIT")):
        return 0
    if importlib.util.find_spec("numba") is None:
        return 0
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this system
        return 0
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 0


def compiled(*signature: Any, **options: Any) -> Callable[[F], F]:
    """Compile a function, and keep the result on the disk where one may write.

    numba's key to what is on the disk is the time of the function's file, and the processor: what
    it calls had better stand in the same file.
    """
    import numba

    njit: Any = numba.njit
    settings = {"nogil": True, "error_model": "numpy", **options}

    def decorate(function: F) -> F:
        try:
            made = njit(*signature, cache=True, **settings)(function)
        except RuntimeError:  # no folder that numba may write to
            made = njit(*signature, **settings)(function)
        return cast("F", made)

    return decorate

"""How the twin's functions are compiled, and how the result is kept on the disk."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled() -> Callable[[F], F]:
    """A function of compiled functions: compiled with its caller, for the caller's types."""
    return cast("Callable[[F], F]", numba.njit(nogil=True, error_model="numpy"))


def entry(signature: Any) -> Callable[[F], F]:
    """A function that Python calls: compiled where it stands, kept on the disk where one may write.

    numba's key to what is on the disk is the signature, the function's own code and what it closes
    over, nothing of what it calls: so an entry closes over `sources()`.
    """

    def decorate(function: F) -> F:
        try:
            made = numba.njit(signature, nogil=True, error_model="numpy", cache=True)(function)
        except RuntimeError:  # no folder that numba may write to
            made = numba.njit(signature, nogil=True, error_model="numpy")(function)
        return cast("F", made)

    return decorate


def sources() -> int:
    """A digest of this package's sources."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))

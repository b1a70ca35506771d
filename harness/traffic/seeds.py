"""One seed, many independent random streams, each found by what it is for.

A stream's generator is seeded by a hash of (seed, stream, class, stage, field), so adding a class
or a stage, or drawing more in one stream, changes no other. Nothing here reads a clock or a global
generator.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Stream = Literal["content", "lengths", "arrivals", "assignment", "bootstrap"]


def stream_key(
    seed: int, stream: Stream, class_name: str = "", stage: int = 0, field: str = ""
) -> int:
    """128-bit key of a stream; equal arguments give equal keys on every machine and version."""
    name = "\x1f".join((str(seed), stream, class_name, str(stage), field))
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=b"harness-stream-1")
    return int.from_bytes(digest.digest(), "little")


def generator(
    seed: int, stream: Stream, class_name: str = "", stage: int = 0, field: str = ""
) -> np.random.Generator:
    """The stream's own generator (PCG64), at its start."""
    key = stream_key(seed, stream, class_name, stage, field)
    return np.random.Generator(np.random.PCG64(key))

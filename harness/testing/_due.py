"""When each token chunk is due, as whole nanoseconds after the request's start.

Due times are absolute and fixed by script and seed before the first byte leaves: a late chunk does
not push the next one. What is not decided here: whether the loop is on time; every chunk says so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from hashlib import blake2b

from harness.testing.script import Lognormal, Outage, Timing
from harness.units import NS_PER_S

_Z95 = 1.6448536269514722


def fraction(seed: int, stream: str, ordinal: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = blake2b(f"{seed}/{stream}/{ordinal}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def chunk_offsets_ns(
    timing: Timing, num_chunks: int, prompt_tok: int, seed: int, ordinal: int
) -> list[int]:
    """[num_chunks] ns after the start; non-decreasing. Seeded by (seed, ordinal)."""
    draw = random.Random(f"{seed}/timing/{ordinal}")
    due_ns = _draw_ns(timing.ttft, draw) + _ns(timing.per_prompt_tok * prompt_tok)
    gaps = _gaps_ns(timing, draw)
    stall = timing.stall
    if stall is None and isinstance(timing.gap, float):
        gap_ns = _ns(timing.gap)
        return [due_ns + k * gap_ns for k in range(num_chunks)]
    offsets = []
    for k in range(num_chunks):
        if k:
            due_ns += next(gaps)
        if stall is not None and stall.at == k:
            due_ns += _ns(stall.duration)
        offsets.append(due_ns)
    return offsets


def _gaps_ns(timing: Timing, draw: random.Random) -> Iterator[int]:
    gap = timing.gap
    if isinstance(gap, tuple):
        for value in gap:
            yield _ns(value)
        while True:
            yield _ns(gap[-1])
    while True:
        yield _draw_ns(gap, draw)


def _draw_ns(law: float | Lognormal, draw: random.Random) -> int:
    if not isinstance(law, Lognormal):
        return _ns(law)
    sigma = math.log(law.p95 / law.median) / _Z95
    return _ns(draw.lognormvariate(math.log(law.median), sigma))


def _ns(value_s: float) -> int:
    return round(value_s * NS_PER_S)


def on_grid_ns(due_ns: int, step_s: float | None, origin_ns: int) -> int:
    """The next point of the common grid, or due_ns itself without one."""
    if step_s is None:
        return due_ns
    step_ns = _ns(step_s)
    return origin_ns - (origin_ns - due_ns) // step_ns * step_ns


def after_stalls_ns(due_ns: int, outages: tuple[Outage, ...], origin_ns: int) -> int:
    """due_ns, or the end of the silence it falls into."""
    for outage in outages:
        if outage.kind == "stall":
            since_ns = in_outage_ns(outage, due_ns, origin_ns)
            if since_ns is not None:
                due_ns += _ns(outage.duration) - since_ns
    return due_ns


def in_outage_ns(outage: Outage, at_ns: int, origin_ns: int) -> int | None:
    """How long the outage has lasted at that time; None when it is not on."""
    since_ns = at_ns - origin_ns - _ns(outage.start)
    if since_ns < 0:
        return None
    if outage.every is not None:
        since_ns %= _ns(outage.every)
    return since_ns if since_ns < _ns(outage.duration) else None

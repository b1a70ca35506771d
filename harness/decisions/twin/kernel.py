"""The compiled whole: routers, replicas, one entry.

In this and the other compiled modules `d` is the deployment's record, `s` a replica's, `req` the
requests' (layout.py); `room` has three rows of request numbers: the heap of decoding sequences, who
ends its prompt in this step, and who leaves after it. `p` is the replica's prefix cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba

from ._compiled import compiled, entry, sources
from ._prefixes import Prefixes, cached_blocks
from ._step import advance
from .layout import (
    BLOCK,
    LEAST_LOADED,
    LIMITS,
    NONE,
    PREFIX_AWARE,
    REPLICA,
    REQUEST,
    ROUND_ROBIN,
    STICKY,
    TWO_CHOICES,
)
from .model import TOKEN_UNITS


@compiled()
def choose(
    d: Any,
    replicas: Any,
    req: Any,
    shelf: Any,
    is_open: Any,
    router: int,
    key: int,
    draw: Any,
    i: int,
) -> int:
    """The replica for request i among the open ones. Ties: the first of them."""
    n = len(is_open)
    if router == STICKY:
        return is_open[key % n]  # type: ignore[no-any-return]
    if router == TWO_CHOICES:
        one = int(draw[0] * n)
        other = int(draw[1] * (n - 1))
        other += other >= one
        if n > 1 and replicas[is_open[other]].num_present < replicas[is_open[one]].num_present:
            one = other
        return is_open[one]  # type: ignore[no-any-return]
    if router == LEAST_LOADED:
        best = is_open[0]
        for r in is_open:
            if replicas[r].num_present < replicas[best].num_present:
                best = r
        return best  # type: ignore[no-any-return]
    if router == PREFIX_AWARE:
        best, least = is_open[0], math.inf
        for r in is_open:
            s = replicas[r]
            num_tok = s.pending_tok - cached_blocks(d, req, prefixes_of(shelf, s), i) * d.shared_tok
            cost = num_tok + s.used_units / TOKEN_UNITS
            if cost < least:
                best, least = r, cost
        return best  # type: ignore[no-any-return]
    d.turn += 1
    return is_open[(d.turn - 1) % n]  # type: ignore[no-any-return]


@compiled()
def prefixes_of(shelf: Any, s: Any) -> Any:
    return Prefixes(shelf.block[s.table], shelf.start, shelf.ids, shelf.is_held)


@compiled()
def join(s: Any, req: Any, i: int) -> None:
    """The end of a replica's line."""
    if s.last == NONE:
        s.first = i
    else:
        req[s.last].behind = i
    s.last = i
    s.num_present += 1
    s.pending_tok += req[i].n_in


_RECORD = numba.from_dtype
_INTS = numba.int64[::1]
_SERVE = numba.void(
    _RECORD(LIMITS)[::1], _RECORD(REPLICA)[::1], _RECORD(REQUEST)[::1], numba.int64[:, :, ::1],
    _RECORD(BLOCK)[:, ::1], _INTS, _INTS, numba.uint8[::1],
    _INTS, _INTS, numba.int64, _INTS, numba.float64[:, ::1], numba.float64,
)  # fmt: skip


def _make_serve(version: int) -> Callable[..., None]:
    @entry(_SERVE)
    def serve(
        limits: Any, replicas: Any, req: Any, room: Any,
        block: Any, start: Any, ids: Any, is_held: Any,
        arriving: Any, is_open: Any, router: int, session: Any, draws: Any, until_s: float,
    ) -> None:  # fmt: skip
        """Send who arrives to a replica, then advance all replicas to until_s.

        room: [replicas, 3, max_batch].  block: [tables, ids].  arriving: request numbers in order
        of their enter_s, none after until_s.  is_open: replicas that take new requests, at least
        one where anybody arrives.  session: [n] for STICKY.  draws: [n, 2] in [0, 1) for
        TWO_CHOICES.
        """
        _ = version
        d, shelf = limits[0], Prefixes(block, start, ids, is_held)
        for i in arriving:
            if router != ROUND_ROBIN and router != STICKY:
                for r in is_open:
                    s = replicas[r]
                    advance(d, s, req, prefixes_of(shelf, s), room[r], req[i].enter_s)
            key = session[i] if router == STICKY else 0
            draw = draws[i] if router == TWO_CHOICES else draws[0]
            r = choose(d, replicas, req, shelf, is_open, router, key, draw, i)
            req[i].replica = r
            join(replicas[r], req, i)
        for r in range(len(replicas)):
            s = replicas[r]
            advance(d, s, req, prefixes_of(shelf, s), room[r], until_s)

    return serve


serve = _make_serve(sources())

"""The prefix cache of one replica: which blocks it has, who holds them, which go first. Compiled.

A block is cached or not; a cached one has holders or stands in the line of idle ones, from which
the least recently used is forgotten where running sequences leave no room.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._compiled import compiled
from .layout import NONE
from .model import TOKEN_UNITS


class Prefixes(NamedTuple):
    """block: one replica's records.  Request i has ids[start[i]:start[i + 1]] and holds some."""

    block: Any
    start: Any
    ids: Any
    is_held: Any


@compiled()
def cached_blocks(d: Any, req: Any, p: Any, i: int) -> int:
    """Blocks of i, from its first on, that the replica has; one token stays to be computed."""
    if d.shared_tok == 0:
        return 0
    most = (req[i].n_in + req[i].num_done - 1) // d.shared_tok
    most = min(most, p.start[i + 1] - p.start[i])
    n = 0
    while n < most and p.block[p.ids[p.start[i] + n]].is_cached:
        n += 1
    return n


@compiled()
def unlink_idle(s: Any, p: Any, b: int) -> None:
    older, newer = p.block[b].older, p.block[b].newer
    if older != NONE:
        p.block[older].newer = newer
    else:
        s.idle_oldest = newer
    if newer != NONE:
        p.block[newer].older = older
    else:
        s.idle_newest = older
    s.num_idle -= 1


@compiled()
def trim(d: Any, s: Any, p: Any, growth_units: int) -> None:
    """Forget the least recently used idle blocks that running sequences leave no room for."""
    if d.shared_tok == 0:
        return
    size = d.shared_tok * TOKEN_UNITS
    while s.num_idle > 0 and s.used_units + growth_units + s.num_idle * size > d.kv_units:
        b = s.idle_oldest
        unlink_idle(s, p, b)
        p.block[b].is_cached = 0


@compiled()
def take_cached(d: Any, s: Any, req: Any, p: Any, i: int, num: int) -> None:
    """i holds its first num blocks; those that were idle count as used from now on."""
    for at in range(p.start[i], p.start[i] + num):
        b = p.ids[at]
        if p.block[b].num_holders == 0:
            unlink_idle(s, p, b)
            s.used_units += d.shared_tok * TOKEN_UNITS
        p.block[b].num_holders += 1
        p.is_held[at] = 1
    req[i].num_shared = req[i].num_offered = num


@compiled()
def publish(d: Any, req: Any, p: Any, i: int, num_tok: int) -> None:
    """i has computed its first num_tok tokens: whole blocks can be found; a second copy stays
    private."""
    if d.shared_tok == 0:
        return
    num = min(num_tok // d.shared_tok, p.start[i + 1] - p.start[i])
    for at in range(p.start[i] + req[i].num_offered, p.start[i] + num):
        b = p.ids[at]
        if not p.block[b].is_cached:
            p.block[b].is_cached = 1
            p.block[b].num_holders = 1
            p.is_held[at] = 1
            req[i].num_shared += 1
    req[i].num_offered = max(req[i].num_offered, num)


@compiled()
def let_go(d: Any, s: Any, req: Any, p: Any, i: int) -> None:
    """The last block first, so that a prefix outlives its endings."""
    for j in range(req[i].num_offered):
        at = p.start[i] + req[i].num_offered - 1 - j
        if p.is_held[at]:
            b = p.ids[at]
            p.is_held[at] = 0
            p.block[b].num_holders -= 1
            if p.block[b].num_holders == 0:
                s.used_units -= d.shared_tok * TOKEN_UNITS
                p.block[b].older, p.block[b].newer = s.idle_newest, NONE
                if s.idle_newest != NONE:
                    p.block[s.idle_newest].newer = b
                else:
                    s.idle_oldest = b
                s.idle_newest = b
                s.num_idle += 1
    req[i].num_shared = req[i].num_offered = 0

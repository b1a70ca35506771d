"""Who may come in, and who gives way: the memory rules and the line. Compiled."""

from __future__ import annotations

import math
from typing import Any

from ._compiled import compiled
from ._ends import stop_decoding
from ._prefixes import cached_blocks, let_go, publish, take_cached
from .layout import DECODING, NONE, PREFILLING, WAITING
from .model import TOKEN_UNITS


@compiled()
def leave(d: Any, s: Any, req: Any, p: Any, i: int, kv_units: int) -> None:
    """A running sequence gives its memory and its place back."""
    kv_units -= req[i].num_shared * d.shared_tok * TOKEN_UNITS
    s.used_units -= kv_units + d.half_block_units
    let_go(d, s, req, p, i)
    s.num_running -= 1
    older, newer = req[i].older, req[i].newer
    if older != NONE:
        req[older].newer = newer
    if newer != NONE:
        req[newer].older = older
    else:
        s.newest = older


@compiled()
def held_units(d: Any, req: Any, i: int, kv_units: int) -> int:
    """What the memory rule charges for a sequence with that much KV."""
    if d.is_watermark:
        return kv_units
    return (req[i].n_in + req[i].n_out) * TOKEN_UNITS  # type: ignore[no-any-return]


@compiled()
def preempt(d: Any, s: Any, req: Any, p: Any, heap: Any) -> None:
    """The newest gives way: its KV is lost, its whole tokens are not; it goes to the front."""
    i = s.newest
    kv_units = req[i].computed * TOKEN_UNITS
    if req[i].status == DECODING:
        stop_decoding(s, req, heap, i)
        left = req[i].end_units - s.progress_units
        req[i].num_done = req[i].n_out - (left + TOKEN_UNITS - 1) // TOKEN_UNITS
        kv_units = req[i].base_units + s.progress_units
        publish(d, req, p, i, req[i].n_in + req[i].num_done - 1)
        s.pending_tok += req[i].n_in + req[i].num_done
    else:
        s.prompt = NONE
        s.pending_tok += req[i].computed
    leave(d, s, req, p, i, kv_units)
    req[i].computed = 0
    req[i].status = WAITING
    req[i].preemptions += 1
    s.preemptions += 1
    req[i].behind = s.returned
    s.returned = i


@compiled()
def next_in_line(s: Any) -> int:
    return s.returned if s.returned != NONE else s.first  # type: ignore[no-any-return]


@compiled()
def fits(d: Any, s: Any, req: Any, p: Any, i: int, growth_units: int) -> bool:
    """Whether the first in line may have memory beside what this step takes already."""
    need = held_units(d, req, i, (req[i].n_in + req[i].num_done) * TOKEN_UNITS)
    need += d.half_block_units
    if d.is_watermark and s.num_running > 0:
        need += d.free_units
    if s.used_units + growth_units + need <= d.kv_units:
        return True
    # A cached block that nobody holds costs as much as a new one.
    for at in range(p.start[i], p.start[i] + cached_blocks(d, req, p, i)):
        if p.block[p.ids[at]].num_holders > 0:
            need -= d.shared_tok * TOKEN_UNITS
    return s.used_units + growth_units + need <= d.kv_units  # type: ignore[no-any-return]


@compiled()
def admit(d: Any, s: Any, req: Any, p: Any, i: int) -> None:
    if i == s.returned:
        s.returned = req[i].behind
    else:
        s.first = req[i].behind
        if s.first == NONE:
            s.last = NONE
    req[i].behind = NONE
    num_cached = cached_blocks(d, req, p, i)
    if num_cached > 0:
        take_cached(d, s, req, p, i, num_cached)
    req[i].computed = num_cached * d.shared_tok
    s.pending_tok -= req[i].computed
    s.used_units += d.half_block_units
    if not d.is_watermark:
        s.used_units += held_units(d, req, i, 0) - req[i].computed * TOKEN_UNITS
    if math.isnan(req[i].scheduled_s):
        req[i].scheduled_s = s.now_s
        req[i].cached_tok = req[i].computed
    req[i].status = PREFILLING
    req[i].older, req[i].newer = s.newest, NONE
    if s.newest != NONE:
        req[s.newest].newer = i
    s.newest = i
    s.num_running += 1

"""Continuous batching, one event at a time, compiled.

At a step's boundary `_plan` settles what the step holds, by the rules of the engine's scheduler,
and how many steps alike may follow; `_book` then moves time and sequences over any number of them.
Between two events a step only grows linearly, so k steps take k t0 + v k (k - 1) / 2: the cost is
that of requests, not of tokens. One file on purpose: numba's cache on disk knows of changes in the
file of the compiled function, and of no other.

`d` is the deployment's record, `s` a replica's, `req` the requests' (layout.py); `room` has three
rows of request numbers: the heap of decoding sequences by their ends, who ends its prompt in this
step, and who leaves after it. `p` is the replica's prefix cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba

from .layout import (
    BATCH_FULL,
    BLOCK,
    BUDGET_SPENT,
    DECODING,
    FINISHED,
    FREE,
    KV_FULL,
    LEAST_LOADED,
    LIMITS,
    NONE,
    PREFILLING,
    PREFIX_AWARE,
    REPLICA,
    REQUEST,
    ROUND_ROBIN,
    STICKY,
    TWO_CHOICES,
    WAITING,
)
from .model import TOKEN_UNITS

F = TypeVar("F", bound=Callable[..., Any])
UNBOUNDED = 1 << 60
HEAP, FINISHING, LEAVING = range(3)


class Prefixes(NamedTuple):
    """block: one replica's records.  Request i has ids[start[i]:start[i + 1]] and holds some."""

    block: Any
    start: Any
    ids: Any
    is_held: Any


def _compiled(*signature: Any, **options: Any) -> Callable[[F], F]:
    decorate = numba.njit(*signature, nogil=True, error_model="numpy", **options)
    return cast("Callable[[F], F]", decorate)


@_compiled()
def _sift(heap: Any, req: Any, at: int, size: int) -> None:
    """Move the entry at a place up or down to where its end belongs."""
    i = heap[at]
    end = req[i].end_units
    while at > 0:
        above = (at - 1) >> 1
        if req[heap[above]].end_units <= end:
            break
        heap[at] = heap[above]
        req[heap[at]].heap_at = at
        at = above
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and req[heap[below + 1]].end_units < req[heap[below]].end_units:
            below += 1
        if req[heap[below]].end_units >= end:
            break
        heap[at] = heap[below]
        req[heap[at]].heap_at = at
        at = below
    heap[at] = i
    req[i].heap_at = at


@_compiled()
def _start_decoding(s: Any, req: Any, heap: Any, i: int, kv_units: int) -> None:
    s.num_decoding += 1
    s.context_units += kv_units
    req[i].status = DECODING
    req[i].base_units = kv_units - s.progress_units
    left = req[i].n_out - req[i].num_done
    req[i].end_units = s.progress_units + left * TOKEN_UNITS
    heap[s.num_decoding - 1] = i
    _sift(heap, req, s.num_decoding - 1, s.num_decoding)


@_compiled()
def _stop_decoding(s: Any, req: Any, heap: Any, i: int) -> None:
    """Take a sequence out of the heap, finished or preempted."""
    s.num_decoding -= 1
    s.context_units -= req[i].base_units + s.progress_units
    at = req[i].heap_at
    if at < s.num_decoding:
        heap[at] = heap[s.num_decoding]
        req[heap[at]].heap_at = at
        _sift(heap, req, at, s.num_decoding)


@_compiled()
def _cached_blocks(d: Any, req: Any, p: Any, i: int) -> int:
    """Blocks of i, from its first on, that the replica has; one token stays to be computed."""
    if d.shared_tok == 0:
        return 0
    most = (req[i].n_in + req[i].num_done - 1) // d.shared_tok
    most = min(most, p.start[i + 1] - p.start[i])
    n = 0
    while n < most and p.block[p.ids[p.start[i] + n]].is_cached:
        n += 1
    return n


@_compiled()
def _unlink_idle(s: Any, p: Any, b: int) -> None:
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


@_compiled()
def _trim(d: Any, s: Any, p: Any, growth_units: int) -> None:
    """Forget the least recently used idle blocks that running sequences leave no room for."""
    if d.shared_tok == 0:
        return
    size = d.shared_tok * TOKEN_UNITS
    while s.num_idle > 0 and s.used_units + growth_units + s.num_idle * size > d.kv_units:
        b = s.idle_oldest
        _unlink_idle(s, p, b)
        p.block[b].is_cached = 0


@_compiled()
def _take_cached(d: Any, s: Any, req: Any, p: Any, i: int, num: int) -> None:
    """i holds its first num blocks; those that were idle count as used from now on."""
    for at in range(p.start[i], p.start[i] + num):
        b = p.ids[at]
        if p.block[b].num_holders == 0:
            _unlink_idle(s, p, b)
            s.used_units += d.shared_tok * TOKEN_UNITS
        p.block[b].num_holders += 1
        p.is_held[at] = 1
    req[i].num_shared = req[i].num_offered = num


@_compiled()
def _publish(d: Any, req: Any, p: Any, i: int, num_tok: int) -> None:
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


@_compiled()
def _let_go(d: Any, s: Any, req: Any, p: Any, i: int) -> None:
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


@_compiled()
def _leave(d: Any, s: Any, req: Any, p: Any, i: int, kv_units: int) -> None:
    """A running sequence gives its memory and its place back."""
    kv_units -= req[i].num_shared * d.shared_tok * TOKEN_UNITS
    s.used_units -= kv_units + d.half_block_units
    _let_go(d, s, req, p, i)
    s.num_running -= 1
    older, newer = req[i].older, req[i].newer
    if older != NONE:
        req[older].newer = newer
    if newer != NONE:
        req[newer].older = older
    else:
        s.newest = older


@_compiled()
def _held_units(d: Any, req: Any, i: int, kv_units: int) -> int:
    """What the memory rule charges for a sequence with that much KV."""
    if d.is_watermark:
        return kv_units
    return (req[i].n_in + req[i].n_out) * TOKEN_UNITS  # type: ignore[no-any-return]


@_compiled()
def _preempt(d: Any, s: Any, req: Any, p: Any, heap: Any) -> None:
    """The newest gives way: its KV is lost, its whole tokens are not; it goes to the front."""
    i = s.newest
    kv_units = req[i].computed * TOKEN_UNITS
    if req[i].status == DECODING:
        _stop_decoding(s, req, heap, i)
        left = req[i].end_units - s.progress_units
        req[i].num_done = req[i].n_out - (left + TOKEN_UNITS - 1) // TOKEN_UNITS
        kv_units = req[i].base_units + s.progress_units
        _publish(d, req, p, i, req[i].n_in + req[i].num_done - 1)
        s.pending_tok += req[i].n_in + req[i].num_done
    else:
        s.prompt = NONE
        s.pending_tok += req[i].computed
    _leave(d, s, req, p, i, kv_units)
    req[i].computed = 0
    req[i].status = WAITING
    req[i].preemptions += 1
    s.preemptions += 1
    req[i].behind = s.returned
    s.returned = i


@_compiled()
def _next_in_line(s: Any) -> int:
    return s.returned if s.returned != NONE else s.first  # type: ignore[no-any-return]


@_compiled()
def _fits(d: Any, s: Any, req: Any, p: Any, i: int, growth_units: int) -> bool:
    """Whether the first in line may have memory beside what this step takes already."""
    need = _held_units(d, req, i, (req[i].n_in + req[i].num_done) * TOKEN_UNITS)
    need += d.half_block_units
    if d.is_watermark and s.num_running > 0:
        need += d.free_units
    if s.used_units + growth_units + need <= d.kv_units:
        return True
    # A cached block that nobody holds costs as much as a new one.
    for at in range(p.start[i], p.start[i] + _cached_blocks(d, req, p, i)):
        if p.block[p.ids[at]].num_holders > 0:
            need -= d.shared_tok * TOKEN_UNITS
    return s.used_units + growth_units + need <= d.kv_units  # type: ignore[no-any-return]


@_compiled()
def _admit(d: Any, s: Any, req: Any, p: Any, i: int) -> None:
    if i == s.returned:
        s.returned = req[i].behind
    else:
        s.first = req[i].behind
        if s.first == NONE:
            s.last = NONE
    req[i].behind = NONE
    num_cached = _cached_blocks(d, req, p, i)
    if num_cached > 0:
        _take_cached(d, s, req, p, i, num_cached)
    req[i].computed = num_cached * d.shared_tok
    s.pending_tok -= req[i].computed
    s.used_units += d.half_block_units
    if not d.is_watermark:
        s.used_units += _held_units(d, req, i, 0) - req[i].computed * TOKEN_UNITS
    if math.isnan(req[i].scheduled_s):
        req[i].scheduled_s = s.now_s
        req[i].cached_tok = req[i].computed
    req[i].status = PREFILLING
    req[i].older, req[i].newer = s.newest, NONE
    if s.newest != NONE:
        req[s.newest].newer = i
    s.newest = i
    s.num_running += 1


@_compiled()
def _plan(d: Any, s: Any, req: Any, p: Any, room: Any) -> None:
    """What the step at this boundary holds, and how many like it may follow.

    Running sequences are served in order of arrival and only the newest can be a prompt cut short
    by the budget: as long as it is, nobody is admitted behind it.
    """
    # What a decoding sequence takes for sure: with `last`, drafts are granted after all else.
    tok_each, gain = 1 + d.gamma, d.tau_units
    if d.drafts_last:
        tok_each, gain = 1, TOKEN_UNITS
    rest = d.budget - s.num_decoding * tok_each
    chunk, area, num_prefill = 0, 0.0, 0
    if s.prompt != NONE:
        i = s.prompt
        chunk = min(req[i].n_in + req[i].num_done - req[i].computed, rest)

    # Memory: while the step's growth overflows, the newest gives way. The last one never does.
    has_preempted = False
    growth = (s.num_decoding * gain + chunk * TOKEN_UNITS) * d.is_watermark
    while s.num_running > 1 and s.used_units + growth > d.kv_units:
        _trim(d, s, p, growth)
        _preempt(d, s, req, p, room[HEAP])
        chunk = 0  # if there was a prompt, it was the newest
        growth = s.num_decoding * gain
        has_preempted = True
    _trim(d, s, p, growth)

    s.num_finishing, s.chunk = 0, 0
    if s.prompt != NONE:
        i = s.prompt
        area += chunk * (req[i].computed + 0.5 * chunk)
        rest -= chunk
        num_prefill += chunk
        if req[i].computed + chunk == req[i].n_in + req[i].num_done:
            room[FINISHING, 0], s.num_finishing, s.prompt = i, 1, NONE
        else:
            s.chunk = chunk

    # Admission: in line, while tokens, places and memory last. A step that preempted admits nobody.
    s.blocked_by = FREE
    i = _next_in_line(s)
    while True:
        if has_preempted:
            s.blocked_by = KV_FULL
        elif rest == 0:
            s.blocked_by = BUDGET_SPENT
        elif s.num_running >= d.max_batch:
            s.blocked_by = BATCH_FULL
        elif i != NONE and not _fits(d, s, req, p, i, growth):
            s.blocked_by = KV_FULL
        if s.blocked_by != FREE or i == NONE or req[i].enter_s > s.now_s:
            break
        _admit(d, s, req, p, i)
        left = req[i].n_in + req[i].num_done - req[i].computed
        chunk = min(left, rest)
        area += chunk * (req[i].computed + 0.5 * chunk)
        rest -= chunk
        num_prefill += chunk
        growth += chunk * TOKEN_UNITS * d.is_watermark
        _trim(d, s, p, growth)
        if chunk == left:
            room[FINISHING, s.num_finishing] = i
            s.num_finishing += 1
        else:
            s.prompt, s.chunk = i, chunk
        i = _next_in_line(s)

    # Nobody is preempted for a draft, and what admission keeps free stays free.
    most_units = d.kv_units
    if d.drafts_last and rest >= s.num_decoding * d.gamma:
        more = s.num_decoding * (d.tau_units - gain) * d.is_watermark
        if more == 0 or s.used_units + growth + more <= d.kv_units - d.free_units:
            tok_each, gain = 1 + d.gamma, d.tau_units
            growth += more
            if more > 0:
                most_units -= d.free_units

    num_tok = s.num_decoding * tok_each + num_prefill
    s.first_step_s = max(d.a0, d.b + d.a1 * num_tok) + d.c * (s.context_units / TOKEN_UNITS)
    s.first_step_s += d.d * s.num_decoding + d.e * area
    s.longer_s = d.c * (s.num_decoding * gain / TOKEN_UNITS) + d.e * s.chunk * s.chunk
    s.num_prefill, s.growth_units, s.gain_units = num_prefill, growth, gain
    s.is_planned = 1

    # The last chunk of a prompt and a step that preempted stand alone.
    k = UNBOUNDED
    if s.num_finishing > 0 or has_preempted:
        k = 1
    elif s.chunk > 0:
        i = s.prompt
        k = (req[i].n_in + req[i].num_done - req[i].computed - 1) // s.chunk
    if s.num_decoding > 0:
        left = req[room[HEAP, 0]].end_units - s.progress_units
        k = min(k, (left + gain - 1) // gain)
    if d.is_watermark and (s.num_running > 1 or most_units < d.kv_units):
        k = min(k, (most_units - s.used_units) // growth)
    # With all tokens spent, or no room, an arrival changes nothing.
    if s.blocked_by == FREE and i != NONE and k > 1 and s.chunk == 0:
        k = _first_boundary(s, req[i].enter_s, k)
    s.most_steps = k


@_compiled()
def _span_s(s: Any, k: int) -> float:
    """Seconds of k planned steps."""
    return k * s.first_step_s + s.longer_s * (0.5 * k * (k - 1))  # type: ignore[no-any-return]


@_compiled()
def _first_boundary(s: Any, at_s: float, most: int) -> int:
    """Least number of planned steps, 1..most, whose end is not before at_s; else most.

    The root of k t0 + v k (k - 1) / 2 = w, written so that v = 0 is no special case, is a guess:
    what decides is the same sum by which time advances.
    """
    wait_s = at_s - s.now_s
    half = s.first_step_s - 0.5 * s.longer_s
    root = 2 * wait_s / (half + math.sqrt(max(half * half + 2 * s.longer_s * wait_s, 0.0)))
    k = most
    if root < most:
        k = max(math.ceil(root), 1)
    while k > 1 and s.now_s + _span_s(s, k - 1) >= at_s:
        k -= 1
    while k < most and s.now_s + _span_s(s, k) < at_s:
        k += 1
    return k


@_compiled()
def _book(d: Any, s: Any, req: Any, p: Any, room: Any, k: int) -> None:
    """Let k of the planned steps pass."""
    span_s, i = _span_s(s, k), _next_in_line(s)
    if s.blocked_by != FREE and i != NONE:
        # Only steps at whose start it had arrived: a step that it came into owes it nothing.
        before = 0
        if req[i].enter_s > s.now_s:
            before = _first_boundary(s, req[i].enter_s, k)
        s.blocked_s[s.blocked_by] += span_s - _span_s(s, before)
    s.now_s += span_s
    s.busy_s += span_s
    s.running_s += span_s * s.num_running
    s.num_steps += k
    s.prefill_tok += k * s.num_prefill
    s.pending_tok -= k * s.num_prefill
    s.progress_units += k * s.gain_units
    s.context_units += k * s.gain_units * s.num_decoding
    s.output_units += k * s.gain_units * s.num_decoding + s.num_finishing * TOKEN_UNITS
    s.used_units += k * s.growth_units
    s.peak_units = max(s.peak_units, s.used_units)
    s.is_planned = 0
    _trim(d, s, p, 0)

    leaving, num_leaving = room[LEAVING], 0
    while s.num_decoding > 0 and req[room[HEAP, 0]].end_units <= s.progress_units:
        i = room[HEAP, 0]
        _stop_decoding(s, req, room[HEAP], i)
        req[i].num_done = req[i].n_out
        req[i].computed = NONE  # its KV ends with its progress
        num_leaving = _insert(leaving, num_leaving, i)
    for j in range(s.num_finishing):
        i = room[FINISHING, j]
        req[i].computed = req[i].n_in + req[i].num_done
        _publish(d, req, p, i, req[i].computed)
        req[i].num_done += 1
        if math.isnan(req[i].first_s):
            req[i].first_s = s.now_s
        if req[i].num_done == req[i].n_out:
            num_leaving = _insert(leaving, num_leaving, i)
        else:
            _start_decoding(s, req, room[HEAP], i, req[i].computed * TOKEN_UNITS)
    if s.chunk > 0:
        i = s.prompt
        req[i].computed += k * s.chunk
        _publish(d, req, p, i, req[i].computed)
    for j in range(num_leaving):
        i = leaving[j]
        kv_units = req[i].computed * TOKEN_UNITS
        if req[i].computed == NONE:
            kv_units = req[i].base_units + s.progress_units
        _publish(d, req, p, i, req[i].n_in + req[i].n_out - 1)
        _leave(d, s, req, p, i, _held_units(d, req, i, kv_units))
        req[i].last_s, req[i].status = s.now_s, FINISHED
        s.num_present -= 1


@_compiled()
def _insert(row: Any, size: int, i: int) -> int:
    """Into a row in order of arrival: who leaves first decides which blocks are kept longest."""
    at = size
    while at > 0 and row[at - 1] > i:
        row[at] = row[at - 1]
        at -= 1
    row[at] = i
    return size + 1


@_compiled()
def _advance(d: Any, s: Any, req: Any, p: Any, room: Any, until_s: float) -> None:
    """Book all steps that end by until_s. A step in progress then stays planned, not booked.

    A boundary at until_s itself is left unplanned: who arrives at that instant is still in time.
    """
    while True:
        if s.is_planned == 0:
            if s.num_running == 0:
                i = _next_in_line(s)
                if i == NONE:
                    return
                s.now_s = max(s.now_s, req[i].enter_s)
            if s.now_s >= until_s:
                return
            _plan(d, s, req, p, room)
        k = s.most_steps
        if s.now_s + _span_s(s, k) > until_s:
            k = _first_boundary(s, until_s, k)
            if s.now_s + _span_s(s, k) > until_s:
                k -= 1
            if k == 0:
                s.most_steps = 1  # begun; whether another like it follows, who comes now may change
                return
        _book(d, s, req, p, room, k)


@_compiled()
def _choose(
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
            num_tok = s.pending_tok - _cached_blocks(d, req, _prefixes(shelf, s), i) * d.shared_tok
            cost = num_tok + s.used_units / TOKEN_UNITS
            if cost < least:
                best, least = r, cost
        return best  # type: ignore[no-any-return]
    d.turn += 1
    return is_open[(d.turn - 1) % n]  # type: ignore[no-any-return]


@_compiled()
def _prefixes(shelf: Any, s: Any) -> Any:
    return Prefixes(shelf.block[s.table], shelf.start, shelf.ids, shelf.is_held)


@_compiled()
def _join(s: Any, req: Any, i: int) -> None:
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


@_compiled(
    numba.void(
        _RECORD(LIMITS)[::1], _RECORD(REPLICA)[::1], _RECORD(REQUEST)[::1], numba.int64[:, :, ::1],
        _RECORD(BLOCK)[:, ::1], _INTS, _INTS, numba.uint8[::1],
        _INTS, _INTS, numba.int64, _INTS, numba.float64[:, ::1], numba.float64,
    ),
    cache=True,
)  # fmt: skip
def serve(
    limits: Any, replicas: Any, req: Any, room: Any,
    block: Any, start: Any, ids: Any, is_held: Any,
    arriving: Any, is_open: Any, router: int, session: Any, draws: Any, until_s: float,
) -> None:  # fmt: skip
    """Send who arrives to a replica, then advance all replicas to until_s.

    room: [replicas, 3, max_batch].  block: [tables, ids].  arriving: request numbers in order of
    their enter_s, none after until_s.  is_open: replicas that take new requests, at least one where
    anybody arrives.  session: [n] for STICKY.  draws: [n, 2] in [0, 1) for TWO_CHOICES.
    """
    d, shelf = limits[0], Prefixes(block, start, ids, is_held)
    for i in arriving:
        if router != ROUND_ROBIN and router != STICKY:
            for r in is_open:
                _advance(
                    d, replicas[r], req, _prefixes(shelf, replicas[r]), room[r], req[i].enter_s
                )
        key = session[i] if router == STICKY else 0
        draw = draws[i] if router == TWO_CHOICES else draws[0]
        r = _choose(d, replicas, req, shelf, is_open, router, key, draw, i)
        req[i].replica = r
        _join(replicas[r], req, i)
    for r in range(len(replicas)):
        _advance(d, replicas[r], req, _prefixes(shelf, replicas[r]), room[r], until_s)

"""Continuous batching, one event at a time, compiled.

At a step's boundary `_plan` settles what the step holds, by the rules of the engine's scheduler,
and how many steps alike may follow; `_book` then moves time and sequences over any number of them.
Between two events a step only grows linearly, so k steps take k t0 + v k (k - 1) / 2: the cost is
that of requests, not of tokens. One file on purpose: numba's cache on disk knows of changes in the
file of the compiled function, and of no other.

`d` is the deployment's record, `s` a replica's, `req` the requests' (layout.py); `heap` and
`finishing` are one replica's rows of request numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from .layout import (
    BATCH_FULL,
    BUDGET_SPENT,
    DECODING,
    FINISHED,
    FREE,
    KV_FULL,
    LIMITS,
    NONE,
    PREFILLING,
    REPLICA,
    REQUEST,
    WAITING,
)
from .model import TOKEN_UNITS

F = TypeVar("F", bound=Callable[..., Any])
UNBOUNDED = 1 << 60


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
def _leave(d: Any, s: Any, req: Any, i: int, kv_units: int) -> None:
    """A running sequence gives its memory and its place back."""
    if d.is_watermark:
        s.used_units -= kv_units + d.half_block_units
    else:
        s.used_units -= _reserved(d, req, i)
    s.num_running -= 1
    older, newer = req[i].older, req[i].newer
    if older != NONE:
        req[older].newer = newer
    if newer != NONE:
        req[newer].older = older
    else:
        s.newest = older


@_compiled()
def _reserved(d: Any, req: Any, i: int) -> int:
    return (req[i].n_in + req[i].n_out) * TOKEN_UNITS + d.half_block_units  # type: ignore[no-any-return]


@_compiled()
def _preempt(d: Any, s: Any, req: Any, heap: Any) -> None:
    """The newest gives way: its KV is lost, its whole tokens are not; it goes to the front."""
    i = s.newest
    if req[i].status == DECODING:
        _stop_decoding(s, req, heap, i)
        left = req[i].end_units - s.progress_units
        req[i].num_done = req[i].n_out - (left + TOKEN_UNITS - 1) // TOKEN_UNITS
        _leave(d, s, req, i, req[i].base_units + s.progress_units)
    else:
        s.prompt = NONE
        _leave(d, s, req, i, req[i].computed * TOKEN_UNITS)
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
def _fits(d: Any, s: Any, req: Any, i: int, growth_units: int) -> bool:
    """Whether the first in line may have memory beside what this step takes already."""
    if not d.is_watermark:
        return s.used_units + _reserved(d, req, i) <= d.kv_units  # type: ignore[no-any-return]
    need = (req[i].n_in + req[i].num_done) * TOKEN_UNITS + d.half_block_units
    if s.num_running > 0:
        need += d.free_units
    return s.used_units + growth_units + need <= d.kv_units  # type: ignore[no-any-return]


@_compiled()
def _admit(d: Any, s: Any, req: Any, i: int) -> None:
    if i == s.returned:
        s.returned = req[i].behind
    else:
        s.first = req[i].behind
        if s.first == NONE:
            s.last = NONE
    req[i].behind = NONE
    s.used_units += d.half_block_units if d.is_watermark else _reserved(d, req, i)
    if math.isnan(req[i].scheduled_s):
        req[i].scheduled_s = s.now_s
    req[i].status = PREFILLING
    req[i].older, req[i].newer = s.newest, NONE
    if s.newest != NONE:
        req[s.newest].newer = i
    s.newest = i
    s.num_running += 1


@_compiled()
def _plan(d: Any, s: Any, req: Any, heap: Any, finishing: Any) -> None:
    """What the step at this boundary holds, and how many like it may follow.

    Running sequences are served in order of arrival and only the newest can be a prompt cut short
    by the budget: as long as it is, nobody is admitted behind it.
    """
    rest = d.budget - s.num_decoding * d.tok_per_decoder
    chunk, area, num_prefill = 0, 0.0, 0
    if s.prompt != NONE:
        i = s.prompt
        chunk = min(req[i].n_in + req[i].num_done - req[i].computed, rest)

    # Memory: while the step's growth overflows, the newest gives way. The last one never does.
    has_preempted = False
    if d.is_watermark:
        while (
            s.num_running > 1
            and s.used_units + s.num_decoding * d.tau_units + chunk * TOKEN_UNITS > d.kv_units
        ):
            _preempt(d, s, req, heap)
            chunk = 0  # if there was a prompt, it was the newest
            has_preempted = True
    growth = (s.num_decoding * d.tau_units + chunk * TOKEN_UNITS) * d.is_watermark

    s.num_finishing, s.chunk = 0, 0
    if s.prompt != NONE:
        i = s.prompt
        area += chunk * (req[i].computed + 0.5 * chunk)
        rest -= chunk
        num_prefill += chunk
        if req[i].computed + chunk == req[i].n_in + req[i].num_done:
            finishing[0], s.num_finishing, s.prompt = i, 1, NONE
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
        elif i != NONE and not _fits(d, s, req, i, growth):
            s.blocked_by = KV_FULL
        if s.blocked_by != FREE or i == NONE or req[i].enter_s > s.now_s:
            break
        _admit(d, s, req, i)
        target = req[i].n_in + req[i].num_done
        chunk = min(target, rest)
        area += chunk * (0.5 * chunk)
        rest -= chunk
        num_prefill += chunk
        growth += chunk * TOKEN_UNITS * d.is_watermark
        if chunk == target:
            finishing[s.num_finishing] = i
            s.num_finishing += 1
        else:
            s.prompt, s.chunk = i, chunk
        i = _next_in_line(s)

    num_tok = s.num_decoding * d.tok_per_decoder + num_prefill
    s.first_step_s = max(d.a0, d.b + d.a1 * num_tok) + d.c * (s.context_units / TOKEN_UNITS)
    s.first_step_s += d.d * s.num_decoding + d.e * area
    s.longer_s = d.c * (s.num_decoding * d.tau_units / TOKEN_UNITS) + d.e * s.chunk * s.chunk
    s.num_prefill, s.growth_units, s.is_planned = num_prefill, growth, 1

    # The last chunk of a prompt and a step that preempted stand alone.
    k = UNBOUNDED
    if s.num_finishing > 0 or has_preempted:
        k = 1
    elif s.chunk > 0:
        i = s.prompt
        k = (req[i].n_in + req[i].num_done - req[i].computed - 1) // s.chunk
    if s.num_decoding > 0:
        left = req[heap[0]].end_units - s.progress_units
        k = min(k, (left + d.tau_units - 1) // d.tau_units)
    if d.is_watermark and s.num_running > 1:
        k = min(k, (d.kv_units - s.used_units) // growth)
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
def _book(d: Any, s: Any, req: Any, heap: Any, finishing: Any, k: int) -> None:
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
    s.progress_units += k * d.tau_units
    s.context_units += k * d.tau_units * s.num_decoding
    s.used_units += k * s.growth_units
    s.peak_units = max(s.peak_units, s.used_units)
    if s.chunk > 0:
        req[s.prompt].computed += k * s.chunk
    while s.num_decoding > 0 and req[heap[0]].end_units <= s.progress_units:
        i = heap[0]
        _stop_decoding(s, req, heap, i)
        _leave(d, s, req, i, req[i].base_units + s.progress_units)
        req[i].last_s, req[i].status = s.now_s, FINISHED
    for j in range(s.num_finishing):
        i = finishing[j]
        kv_units = (req[i].n_in + req[i].num_done) * TOKEN_UNITS
        req[i].num_done += 1
        if math.isnan(req[i].first_s):
            req[i].first_s = s.now_s
        if req[i].num_done == req[i].n_out:
            _leave(d, s, req, i, kv_units)
            req[i].last_s, req[i].status = s.now_s, FINISHED
        else:
            _start_decoding(s, req, heap, i, kv_units)
    s.is_planned = 0


@_compiled()
def _advance(d: Any, s: Any, req: Any, heap: Any, finishing: Any, until_s: float) -> None:
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
            _plan(d, s, req, heap, finishing)
        k = s.most_steps
        if s.now_s + _span_s(s, k) > until_s:
            k = _first_boundary(s, until_s, k)
            if s.now_s + _span_s(s, k) > until_s:
                k -= 1
            if k == 0:
                return
        _book(d, s, req, heap, finishing, k)


_RECORD = numba.from_dtype


@_compiled(
    numba.void(
        _RECORD(LIMITS)[::1], _RECORD(REPLICA)[::1], _RECORD(REQUEST)[::1],
        numba.int64[:, ::1], numba.int64[:, ::1],
    ),
    cache=True,
)  # fmt: skip
def run_to_end(limits: Any, replicas: Any, req: Any, heaps: Any, finishing: Any) -> None:
    """Serve every request that stands in line, each replica by itself.

    heaps, finishing: [replicas, max_batch], room for request numbers.
    """
    for r in range(len(replicas)):
        _advance(limits[0], replicas[r], req, heaps[r], finishing[r], np.inf)

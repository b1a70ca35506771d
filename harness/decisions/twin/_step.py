"""One replica: what its next step holds, how many may follow, what they change. Compiled.

At a step's boundary `plan` settles what the step holds, by the rules of the engine's scheduler, and
how many steps alike may follow; `book` then moves time and sequences over any number of them.
Between two events a step only grows linearly, so k steps take k t0 + v k (k - 1) / 2: the cost is
that of requests, not of tokens.
"""

from __future__ import annotations

import math
from typing import Any

from ._compiled import compiled
from ._ends import start_decoding, stop_decoding
from ._memory import admit, fits, held_units, leave, next_in_line, preempt
from ._prefixes import publish, trim
from .layout import (
    BATCH_FULL,
    BUDGET_SPENT,
    DECODES,
    FINISHED,
    FREE,
    KV_FULL,
    NONE,
    READS,
)
from .model import TOKEN_UNITS

UNBOUNDED = 1 << 60
HEAP, FINISHING, LEAVING = range(3)


@compiled()
def plan(d: Any, s: Any, req: Any, p: Any, room: Any) -> None:
    """What the step at this boundary holds, and how many like it may follow.

    Running sequences are served in order of arrival and only the newest can be a prompt cut short
    by the budget: as long as it is, nobody is admitted behind it.
    """
    # What a decoding sequence takes for sure: with `last`, drafts are granted after all else.
    tok_each, gain = 1 + d.gamma, d.tau_units
    if d.drafts_last:
        tok_each, gain = 1, TOKEN_UNITS
    rest = d.budget - s.num_decoding * tok_each
    chunk, area, num_prefill, num_new = 0, 0.0, 0, 0
    if s.prompt != NONE:
        i = s.prompt
        chunk = min(req[i].n_in + req[i].num_done - req[i].computed, rest)

    # Memory: while the step's growth overflows, the newest gives way. The last one never does.
    has_preempted = False
    growth = (s.num_decoding * gain + chunk * TOKEN_UNITS) * d.is_watermark
    while s.num_running > 1 and s.used_units + growth > d.kv_units:
        trim(d, s, p, growth)
        preempt(d, s, req, p, room[HEAP])
        chunk = 0  # if there was a prompt, it was the newest
        growth = s.num_decoding * gain
        rest = d.budget - s.num_decoding * tok_each  # its tokens are free for drafts
        has_preempted = True
    trim(d, s, p, growth)

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
    i = next_in_line(s)
    while True:
        if has_preempted:
            s.blocked_by = KV_FULL
        elif rest == 0:
            s.blocked_by = BUDGET_SPENT
        elif s.num_running >= d.max_batch:
            s.blocked_by = BATCH_FULL
        elif i != NONE and not fits(d, s, req, p, i, growth):
            s.blocked_by = KV_FULL
        if s.blocked_by != FREE or i == NONE or req[i].enter_s > s.now_s:
            break
        num_new += math.isnan(req[i].scheduled_s)
        admit(d, s, req, p, i)
        left = req[i].n_in + req[i].num_done - req[i].computed
        chunk = min(left, rest)
        area += chunk * (req[i].computed + 0.5 * chunk)
        rest -= chunk
        num_prefill += chunk
        growth += chunk * TOKEN_UNITS * d.is_watermark
        trim(d, s, p, growth)
        if chunk == left:
            room[FINISHING, s.num_finishing] = i
            s.num_finishing += 1
        else:
            s.prompt, s.chunk = i, chunk
        i = next_in_line(s)

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
    s.first_step_s += d.d * s.num_decoding + d.e * area + d.r * num_new
    is_after = num_prefill == 0 and s.after_tok > 0 and d.g > 0
    if is_after:
        s.first_step_s += d.g * s.after_tok
    is_cold = s.cold & (READS if num_prefill > 0 else DECODES) != 0 and d.h > 0
    if is_cold:
        s.first_step_s += d.h
    s.longer_s = d.c * (s.num_decoding * gain / TOKEN_UNITS) + d.e * s.chunk * s.chunk
    s.num_prefill, s.growth_units, s.gain_units = num_prefill, growth, gain
    s.is_planned = 1

    # The last chunk of a prompt, a step that preempted, and one that a new request, the prompts
    # before it or idleness lengthen stand alone.
    k = UNBOUNDED
    is_longer = is_after or is_cold or (num_new > 0 and d.r > 0)
    if s.num_finishing > 0 or has_preempted or is_longer:
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
        k = first_boundary(s, req[i].enter_s, k)
    s.most_steps = k


@compiled()
def steps_s(s: Any, k: int) -> float:
    """Seconds of k planned steps."""
    return k * s.first_step_s + s.longer_s * (0.5 * k * (k - 1))  # type: ignore[no-any-return]


@compiled()
def first_boundary(s: Any, at_s: float, most: int) -> int:
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
    while k > 1 and s.now_s + steps_s(s, k - 1) >= at_s:
        k -= 1
    while k < most and s.now_s + steps_s(s, k) < at_s:
        k += 1
    return k


@compiled()
def book(d: Any, s: Any, req: Any, p: Any, room: Any, k: int) -> None:
    """Let k of the planned steps pass."""
    span_s, i = steps_s(s, k), next_in_line(s)
    if s.blocked_by != FREE and i != NONE:
        # Only steps at whose start it had arrived: a step that it came into owes it nothing.
        before = 0
        if req[i].enter_s > s.now_s:
            before = first_boundary(s, req[i].enter_s, k)
        s.blocked_s[s.blocked_by] += span_s - steps_s(s, before)
    s.now_s += span_s
    s.busy_s += span_s
    s.running_s += span_s * s.num_running
    s.num_steps += k
    s.prefill_tok += k * s.num_prefill
    s.cold &= DECODES if s.num_prefill > 0 else READS
    s.after_tok = min(s.after_tok + k * s.num_prefill, d.budget) if s.num_prefill > 0 else 0
    s.pending_tok -= k * s.num_prefill
    s.progress_units += k * s.gain_units
    s.context_units += k * s.gain_units * s.num_decoding
    s.output_units += k * s.gain_units * s.num_decoding + s.num_finishing * TOKEN_UNITS
    s.used_units += k * s.growth_units
    s.peak_units = max(s.peak_units, s.used_units)
    s.is_planned = 0
    trim(d, s, p, 0)

    leaving, num_leaving = room[LEAVING], 0
    while s.num_decoding > 0 and req[room[HEAP, 0]].end_units <= s.progress_units:
        i = room[HEAP, 0]
        stop_decoding(s, req, room[HEAP], i)
        req[i].num_done = req[i].n_out
        req[i].computed = NONE  # its KV ends with its progress
        num_leaving = insert(leaving, num_leaving, i)
    for j in range(s.num_finishing):
        i = room[FINISHING, j]
        req[i].computed = req[i].n_in + req[i].num_done
        publish(d, req, p, i, req[i].computed)
        req[i].num_done += 1
        if math.isnan(req[i].first_s):
            req[i].first_s = s.now_s
        if req[i].num_done == req[i].n_out:
            num_leaving = insert(leaving, num_leaving, i)
        else:
            start_decoding(s, req, room[HEAP], i, req[i].computed * TOKEN_UNITS)
    if s.chunk > 0:
        i = s.prompt
        req[i].computed += k * s.chunk
        publish(d, req, p, i, req[i].computed)
    for j in range(num_leaving):
        i = leaving[j]
        kv_units = req[i].computed * TOKEN_UNITS
        if req[i].computed == NONE:
            kv_units = req[i].base_units + s.progress_units
        publish(d, req, p, i, req[i].n_in + req[i].n_out - 1)
        leave(d, s, req, p, i, held_units(d, req, i, kv_units))
        req[i].last_s, req[i].status = s.now_s, FINISHED
        s.num_present -= 1


@compiled()
def insert(row: Any, size: int, i: int) -> int:
    """Into a row in order of arrival: who leaves first decides which blocks are kept longest."""
    at = size
    while at > 0 and row[at - 1] > i:
        row[at] = row[at - 1]
        at -= 1
    row[at] = i
    return size + 1


@compiled()
def advance(d: Any, s: Any, req: Any, p: Any, room: Any, until_s: float) -> None:
    """Book all steps that end by until_s. A step in progress then stays planned, not booked.

    A boundary at until_s itself is left unplanned: who arrives at that instant is still in time.
    """
    while True:
        if s.is_planned == 0:
            if s.num_running == 0:
                i = next_in_line(s)
                if i == NONE:
                    return
                if req[i].enter_s - s.now_s >= d.idle_s:
                    s.cold = READS | DECODES
                s.now_s = max(s.now_s, req[i].enter_s)
            if s.now_s >= until_s:
                return
            plan(d, s, req, p, room)
        k = s.most_steps
        if s.now_s + steps_s(s, k) > until_s:
            k = first_boundary(s, until_s, k)
            if s.now_s + steps_s(s, k) > until_s:
                k -= 1
            if k == 0:
                s.most_steps = 1  # begun; whether another like it follows, who comes now may change
                return
        book(d, s, req, p, room, k)

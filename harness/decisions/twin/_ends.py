"""Who decodes, in a heap by the progress at which each ends. Compiled.

A place in the heap is kept in the request, so that a preempted one leaves at once: no stale entry
can come back.
"""

from __future__ import annotations

from typing import Any

from ._compiled import compiled
from .layout import DECODING
from .model import TOKEN_UNITS


@compiled()
def sift(heap: Any, req: Any, at: int, size: int) -> None:
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


@compiled()
def start_decoding(s: Any, req: Any, heap: Any, i: int, kv_units: int) -> None:
    s.num_decoding += 1
    s.context_units += kv_units
    req[i].status = DECODING
    req[i].base_units = kv_units - s.progress_units
    left = req[i].n_out - req[i].num_done
    req[i].end_units = s.progress_units + left * TOKEN_UNITS
    heap[s.num_decoding - 1] = i
    sift(heap, req, s.num_decoding - 1, s.num_decoding)


@compiled()
def stop_decoding(s: Any, req: Any, heap: Any, i: int) -> None:
    """Take a sequence out of the heap, finished or preempted."""
    s.num_decoding -= 1
    s.context_units -= req[i].base_units + s.progress_units
    at = req[i].heap_at
    if at < s.num_decoding:
        heap[at] = heap[s.num_decoding]
        req[heap[at]].heap_at = at
        sift(heap, req, at, s.num_decoding)

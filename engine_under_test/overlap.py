"""Scheduling a step while the one before it still runs: as if its tokens were known.

A placeholder stands for each token to come; the device puts the real one in its place (see
runner.py). Afterwards everything is put back as it was, so that booking a step is the same line of
code with and without overlap. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .plan import SchedulerOutput
from .request import PLACEHOLDER, RequestStatus


@contextmanager
def as_if_done(in_flight: SchedulerOutput | None) -> Iterator[None]:
    """Within it, requests of the step stand where they will when it is booked.

    One whose coming token is surely its last, or that has no token coming, is ENDING: nobody
    schedules it again. None: nothing
    runs. The step must hold no drafts: how many are accepted nobody could foresee.
    """
    touched = [
        s
        for s in (in_flight.seqs if in_flight is not None else ())
        if s.request.status is RequestStatus.RUNNING
    ]
    for s in touched:
        assert not s.num_drafts, "a step with drafts is not overlapped"
        r = s.request
        r.num_computed += s.num_new
        if s.is_sampled:
            r.token_ids.append(PLACEHOLDER)
        if r.num_tokens >= r.max_num_tokens and (s.is_sampled or r.num_computed == r.num_tokens):
            r.status = RequestStatus.ENDING
    try:
        yield
    finally:
        for s in touched:
            r = s.request
            r.num_computed -= s.num_new
            if s.is_sampled:
                r.token_ids.pop()
            if r.status is RequestStatus.ENDING:
                r.status = RequestStatus.RUNNING

"""What requests cost a server that is busy with others, from the client's stamps alone.

A turnover begins with the first request that is sent into clean decoding and ends when no prompt
is left to read. One stream that decodes all through it counts its steps, everybody's tokens say
what was in them, and what the steps' own law leaves unexplained is what the requests themselves
cost: read, worded and closed by a process that also runs the steps. A lone request does not show
that, for there is nobody it could keep waiting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from harness.analysis.frame import Frame

LEAST_REQUESTS = 10  # of a row: their turnovers are added up, fewer are one hiccup's word
Witness = tuple[int, int, int]  # a stream, and which of its tokens stand around the turnover


@dataclass(frozen=True, slots=True)
class Turnover:
    """Turnovers of one point, added up. point: its index.  seconds: of num_steps steps, of which
    num_mixed ended a prompt.  seq_steps: decoding sequences, summed over the steps.  context_tok:
    theirs, likewise.  prompt_tok: computed in them.  area: sum of p (x + p/2) over prompts p after
    x cached tokens.  num_requests: sent and read within them.  after_tok: prompt tokens read just
    before those of the steps that read none.
    """

    point: int
    seconds: float
    num_steps: int
    num_mixed: int
    seq_steps: float
    context_tok: float
    prompt_tok: float
    area: float
    num_requests: int
    after_tok: float = 0.0

    def __add__(self, other: Turnover) -> Turnover:
        rest = [getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[1:]]
        return Turnover(self.point, *rest)


class _Span(NamedTuple):
    """From the first sending to the last first token; in between somebody is always read."""

    begin_s: float
    end_s: float
    requests: tuple[int, ...]


class _Left(NamedTuple):
    """Prompt tokens read since the last step that read none, when a turnover ended; NaN where
    nobody saw."""

    end_s: float
    tokens: float


class _Steps(NamedTuple):
    """Of a turnover, in tokens of its witness. at_s: their stamps.  before: the one that it begins
    at.  ends: [requests] the one of the step that ended each prompt."""

    at_s: np.ndarray
    before: int
    ends: np.ndarray


def turnovers(frame: Frame, point: int, budget_tok: float = math.inf) -> list[Turnover]:
    """Rows of at least LEAST_REQUESTS requests each; a rest too small for one is left out.

    Only for servers that decode a token a step. Spans in which a request failed, whose tokens
    nobody counted, or which no stream saw from before to after, are left out.  budget_tok: most
    tokens of a step.
    """
    rows: list[Turnover] = []
    one: Turnover | None = None
    n_in = np.where(np.isfinite(frame.n_in), frame.n_in, frame.asked_in)
    computed = np.nan_to_num(n_in) - np.nan_to_num(frame.cached_tok)
    left = _Left(-np.inf, 0.0)
    for span in _spans(frame):
        found = None
        if (seen := _look(frame, n_in, span, point)) is not None:
            found, steps = seen
            new = list(span.requests)
            after_tok, left_tok = _after_prompts(steps, computed[new], left, budget_tok)
            found = replace(found, after_tok=after_tok)
            left = _Left(span.end_s, left_tok)
        else:
            left = _Left(span.end_s, math.nan)
        if found is not None and not math.isnan(found.after_tok):
            one = found if one is None else one + found
            if one.num_requests >= LEAST_REQUESTS:
                rows.append(one)
                one = None
    return rows


def _spans(frame: Frame) -> Iterator[_Span]:
    """In order of time."""
    went = np.flatnonzero(np.isfinite(frame.sent_s))
    answered_s = np.where(np.isfinite(frame.first_token_s), frame.first_token_s, frame.end_s)
    requests: list[int] = []
    end_s = -np.inf
    for i in went[np.argsort(frame.sent_s[went], kind="stable")]:
        if requests and frame.sent_s[i] > end_s:
            yield _Span(float(frame.sent_s[requests[0]]), end_s, tuple(requests))
            requests = []
        requests.append(int(i))
        end_s = max(end_s, float(np.nan_to_num(answered_s[i], nan=np.inf)))
    if requests:
        yield _Span(float(frame.sent_s[requests[0]]), end_s, tuple(requests))


def _look(
    frame: Frame, n_in: np.ndarray, span: _Span, point: int
) -> tuple[Turnover, _Steps] | None:
    new = list(span.requests)
    witness = _witness(frame, span)
    if witness is None or not (frame.is_success[new].all() and np.isfinite(n_in[new]).all()):
        return None
    i, before, after = witness
    at_s = frame.chunk_s[frame.offsets[i] : frame.offsets[i + 1]]
    # all tokens of a step come within half a step of the witness's own
    begin_s = (at_s[before] + at_s[before + 1]) / 2
    end_s = (at_s[after] + at_s[after + 1]) / 2
    seq_steps = context = 0.0
    for j in _decoding(frame, begin_s, end_s):
        own = frame.chunk_s[frame.offsets[j] : frame.offsets[j + 1]]
        # the k-th token after the first was decoded behind k tokens of the answer
        low, high = np.maximum(np.searchsorted(own, [begin_s, end_s], "right"), 1)
        if not (frame.is_success[j] and np.isfinite(n_in[j])):
            return None
        seq_steps += high - low
        context += float((high - low) * n_in[j] + (high * (high - 1) - low * (low - 1)) / 2)
    cached = np.nan_to_num(frame.cached_tok[new])
    computed = n_in[new] - cached
    ends = _nearest(at_s, frame.first_token_s[new])
    row = Turnover(
        point, float(at_s[after] - at_s[before]), after - before,
        min(len(np.unique(ends)), after - before), seq_steps, context, float(computed.sum()),
        float((computed * (cached + computed / 2)).sum()), len(new),
    )  # fmt: skip
    return row, _Steps(at_s, before, ends)


def _nearest(at_s: np.ndarray, to_s: np.ndarray) -> np.ndarray:
    """Of each time the token that came closest to it: that of the same step."""
    after = np.clip(np.searchsorted(at_s, to_s), 1, len(at_s) - 1)
    return np.asarray(after - (to_s - at_s[after - 1] < at_s[after] - to_s))


def _after_prompts(
    steps: _Steps, computed: np.ndarray, left: _Left, budget_tok: float
) -> tuple[float, float]:
    """Prompt tokens read just before steps of the turnover that read none, and those that it leaves
    to the first step after it."""
    total, last, carried = 0.0, steps.before, 0.0
    if (
        _nearest(steps.at_s, np.array([left.end_s]))[0] == steps.before
    ):  # no step lies between the turnovers
        carried = left.tokens
    for end in np.unique(steps.ends):
        read = float(computed[steps.ends == end].sum())
        begin = end - max(1, math.ceil(read / budget_tok))
        if begin > last:
            total += min(carried, budget_tok)
            carried = 0.0
        carried += read
        last = end
    return total, min(carried, budget_tok)


def _witness(frame: Frame, span: _Span) -> Witness | None:
    """The stream that decoded longest before the span, of those that lived through it."""
    lives = np.flatnonzero(
        frame.is_success & (frame.first_token_s < span.begin_s) & (frame.last_token_s > span.end_s)
    )
    for i in lives[np.argsort(frame.first_token_s[lives], kind="stable")]:
        own = slice(frame.offsets[i], frame.offsets[i + 1])
        at_s, tok = frame.chunk_s[own], frame.chunk_tok[own]
        before = int(np.searchsorted(at_s, span.begin_s, "right")) - 1
        after = int(np.searchsorted(at_s, span.end_s))
        if (
            after > 0
            and after < len(at_s)
            and span.end_s - at_s[after - 1] < at_s[after] - span.end_s
        ):
            after -= 1  # the token of the same step came a little before
        if 0 <= before < after < len(at_s) - 1 and (tok[before : after + 2] <= 1).all():
            return int(i), before, after
    return None


def _decoding(frame: Frame, begin_s: float, end_s: float) -> Sequence[int]:
    """Who has tokens behind the first in a time."""
    is_there = (frame.first_token_s < end_s) & ~(frame.last_token_s <= begin_s)
    return [int(j) for j in np.flatnonzero(is_there)]

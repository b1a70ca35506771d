"""What a point shows of single engine steps, from the client's stamps alone.

Decoding: between two changes of who decodes, and with no prompt being read, every gap of every
stream is one step of n sequences whose context is known. Reading prompts: a request that had the
server to itself shows the steps of its prompt, less what lies outside the engine. Where the server
tells `prefill_ms` and `decode_steps`, those are used; no figure here needs them.

Steps that read prompts while others decode are not seen one by one: see turnovers.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from harness.analysis.frame import FloatArray, Frame
from harness.analysis.server_summary import Speculation
from harness.analysis.timings import read_timings
from harness.analysis.turnovers import Turnover, turnovers

SPECULATES = 1.05  # tokens a step above which a server does; below it is a rounding
UNTOLD = (
    1.25  # tokens a chunk from which on a chunk is no step's one token; below, split characters
)
LEAST_STEPS = 8  # of a row; fewer are one hiccup's word
IDLE_S = 0.02  # without any request, after which a server's next steps are cold ones
_LEAST_GAPS = 2  # of one stream in one span


class Span(NamedTuple):
    """A time in which the decoding requests stay the same and no prompt is read.

    read_tok: of the prompts whose first tokens came since the span before.  is_cut: by a request
    that came; the step that it came into had begun.
    is_cold: one of these prompts came after the server had nothing to do for IDLE_S.
    """

    begin_s: float
    end_s: float
    members: tuple[int, ...]
    read_tok: float = 0.0
    is_cut: bool = False
    is_cold: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """What a decoding sequence gains in a step, tokens, and how many drafts it tries for it.

    drafts: None where it gains more than a token and nobody told how.  is_told: by the requests'
    own timings or by the server's counters; else a token a step is taken for granted, or, where
    chunks hold more, a chunk a step.
    """

    tok_per_step: float = 1.0
    drafts: float | None = 0.0
    is_told: bool = False

    @property
    def speculates(self) -> bool:
        return self.tok_per_step > SPECULATES


@dataclass(frozen=True, slots=True)
class StepRow:
    """One observation of a point: the mean of steps alike.

    point: index of the measured point.  kind: `decode` (seconds of one step) or `prefill` (seconds
    of all steps of one lone prompt).  num_seqs: decoding sequences, 0 for a prompt.  context_tok:
    their context, summed, mean over the steps.  prompt_tok: tokens computed of the prompt, after
    cached_tok that were not.  has_overhead: whether seconds hold what lies outside the engine.
    num: steps, or prompts, behind it.  tok_per_seq: tokens a step computes of a decoding sequence,
    its drafts included.  after_tok: prompt tokens read just before a step, mean over the steps.
    num_cold: share of steps, or of prompts, that are the first after nothing was to do for IDLE_S.
    """

    point: int
    kind: Literal["decode", "prefill"]
    seconds: float
    num_seqs: int
    context_tok: float
    prompt_tok: int
    cached_tok: int
    has_overhead: bool
    num: int
    tok_per_seq: float = 1.0
    after_tok: float = 0.0
    num_cold: float = 0.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """Seconds of one request's first token that passed outside the engine, where it was told."""

    seconds: float
    prompt_tok: int


@dataclass(frozen=True, slots=True)
class PointSteps:
    """pace: of a decoding sequence.  num_prefill_steps: prompt tokens -> steps the server took for
    it alone, as told."""

    rows: tuple[StepRow, ...]
    overheads: tuple[Overhead, ...]
    pace: Pace
    num_prefill_steps: Mapping[int, int]
    turnovers: tuple[Turnover, ...] = ()


def point_steps(
    frame: Frame, point: int, speculation: Speculation | None = None, budget_tok: float = math.inf
) -> PointSteps:
    """Every clean step of a point; all phases count, the warm-up's steps are steps too.

    speculation: what the server's counters say, for where the requests' timings say nothing.
    budget_tok: most tokens of a step, where known.
    """
    told = read_timings(frame.timings)
    pace = _pace(told, speculation) or _pace_of_chunks(frame)
    rows = [*_decode_rows(frame, point, pace, budget_tok), *_prefill_rows(frame, point, told)]
    # those of a prompt read beside others shared their steps
    alone = [told[i] for i in _lone(frame)]
    steps = {
        int(row["prompt_tokens"] - row.get("cached_tokens", 0)): int(row["prefill_steps"])
        for row in alone
        if "prefill_steps" in row and "prompt_tokens" in row and not row.get("preemptions")
    }
    came = turnovers(frame, point, budget_tok) if not pace.speculates else []
    return PointSteps(tuple(rows), tuple(_overheads(frame, told)), pace, steps, tuple(came))


def decode_spans(frame: Frame) -> list[Span]:
    """Spans in which somebody decodes and nobody's prompt is read, waits or is on its way."""
    changes: list[tuple[float, int, int]] = []  # when, rank of the change, request
    for i in map(int, np.flatnonzero(np.isfinite(frame.sent_s))):
        gone_s = _gone_s(frame, i)
        changes.append((frame.sent_s[i], 0, i))
        if np.isfinite(frame.first_token_s[i]):
            changes.append((frame.first_token_s[i], 1, i))
        changes.append((gone_s, 2, i))
    changes.sort()
    n_in = np.where(np.isfinite(frame.n_in), frame.n_in, frame.asked_in)
    computed = np.nan_to_num(n_in) - np.nan_to_num(frame.cached_tok)
    spans, reading, decoding, begin_s, read_tok = [], set[int](), set[int](), 0.0, 0.0
    is_cold, idle_since_s = False, -np.inf
    for at_s, what, i in changes:
        if decoding and not reading and at_s > begin_s:
            spans.append(Span(begin_s, at_s, tuple(sorted(decoding)), read_tok, what == 0, is_cold))
            read_tok, is_cold = 0.0, False
        if what == 1:
            read_tok += float(computed[i])
        if what == 0:
            if not reading and not decoding:
                is_cold = is_cold or at_s - idle_since_s >= IDLE_S
            reading.add(i)
        else:
            reading.discard(i)
            (decoding.add if what == 1 else decoding.discard)(i)
            idle_since_s = at_s
        begin_s = at_s
    return spans


def _gone_s(frame: Frame, i: int) -> float:
    """When the server was done with a request: its last token, or for one that failed its end."""
    last_s = frame.last_token_s[i] if frame.is_success[i] else frame.end_s[i]
    return float(last_s) if np.isfinite(last_s) else np.inf


class _Sum:
    """Time and steps of one batch size, added up over spans and streams."""

    def __init__(self) -> None:
        self.seconds = self.steps = self.context = self.after = self.cold = 0.0

    def add(self, seconds: float, steps: float, context: float, after: float, cold: bool) -> None:
        self.seconds += seconds
        self.steps += steps
        self.context += context * steps
        self.after += after
        self.cold += cold


def _decode_rows(frame: Frame, point: int, pace: Pace, budget_tok: float) -> list[StepRow]:
    """One row a batch size."""
    read_tok, is_cold = 0.0, False  # of prompts since the last step that read none
    tok_per_seq = 1 + (pace.drafts or 0.0)
    n_in = np.where(np.isfinite(frame.n_in), frame.n_in, frame.asked_in)
    sums: dict[int, _Sum] = {}
    for span in decode_spans(frame):
        streams = [_stream(frame, i, span) for i in span.members]
        read_tok = after_tok = min(read_tok + span.read_tok, budget_tok)
        was_cold = is_cold = is_cold or span.is_cold
        if span.is_cut or any(s.num_gaps for s in streams):
            read_tok, is_cold = 0.0, False
        # a context that nobody counted makes the whole span useless
        if not all(np.isfinite(n_in[list(span.members)])):
            continue
        context = sum(n_in[i] + s.tok_before for i, s in zip(span.members, streams, strict=True))
        for stream in streams:
            if stream.num_gaps >= _LEAST_GAPS:
                own = sums.setdefault(len(span.members), _Sum())
                own.add(
                    stream.seconds, stream.num_tok / pace.tok_per_step, context,
                    after_tok if stream.is_first else 0.0, stream.is_first and was_cold,
                )  # fmt: skip
    return [
        StepRow(point, "decode", s.seconds / s.steps, n, s.context / s.steps, 0, 0, False,
                round(s.steps / n), tok_per_seq, s.after / s.steps,
                s.cold / s.steps)
        for n, s in sorted(sums.items())
        if s.steps / n >= LEAST_STEPS
    ]  # fmt: skip


class _Stream(NamedTuple):
    """One request in one span. tok_before: its output tokens so far, mean over the gaps.  is_first:
    whether its gaps begin with the span's first step."""

    seconds: float
    num_tok: float
    num_gaps: int
    tok_before: float
    is_first: bool = False


def _stream(frame: Frame, i: int, span: Span) -> _Stream:
    own = slice(frame.offsets[i], frame.offsets[i + 1])
    at_s, tok = frame.chunk_s[own], frame.chunk_tok[own]
    begin, end = np.searchsorted(at_s, [span.begin_s, span.end_s], "left")
    end += int(end < len(at_s) and at_s[end] == span.end_s)
    tok = np.where(tok > 0, tok, 1.0)
    before = float(tok[:begin].sum())
    if end - begin < 2:
        return _Stream(0.0, 0.0, 0, before)
    inside = tok[begin + 1 : end]
    # the first chunk of the span ends a step that began before it
    return _Stream(
        float(at_s[end - 1] - at_s[begin]), float(inside.sum()), len(inside),
        before + float(tok[begin]) + float(inside.sum()) / 2 - 0.5,
        bool(at_s[begin] - span.begin_s < (at_s[begin + 1] - at_s[begin]) / 2),
    )  # fmt: skip


def _prefill_rows(frame: Frame, point: int, told: Sequence[Mapping[str, Any]]) -> list[StepRow]:
    """One row: the median over the prompts that were alone, all of one length within 2 %, and all
    cold or all not, whichever were more."""
    alone = [i for i in _lone(frame) if np.isfinite(frame.n_in[i])]
    if not alone:
        return []
    cached = np.nan_to_num(frame.cached_tok[alone])
    computed = frame.n_in[alone] - cached
    middle = float(np.median(computed))
    kept = [k for k, n in enumerate(computed) if n >= 1 and abs(n - middle) <= 0.02 * middle + 8]
    if not kept:
        return []
    were_cold = np.array([_was_idle(frame, alone[k]) for k in kept])
    is_cold = bool(were_cold.mean() > 0.5)
    kept = [k for k, was in zip(kept, were_cold, strict=True) if was == is_cold]
    engine_s = [_engine_s(told[alone[k]]) for k in kept]
    is_told = all(s is not None for s in engine_s)
    if is_told:
        seconds = [float(s) for s in engine_s if s is not None]
    else:
        seconds = [float(frame.first_token_s[alone[k]] - frame.sent_s[alone[k]]) for k in kept]
    return [
        StepRow(point, "prefill", float(np.median(seconds)), 0, 0.0,
                round(float(np.median(computed[kept]))), round(float(np.median(cached[kept]))),
                not is_told, len(kept), num_cold=float(is_cold))
    ]  # fmt: skip


def _was_idle(frame: Frame, i: int) -> bool:
    """Whether the server had nothing to do for IDLE_S when i was sent."""
    earlier = np.flatnonzero(frame.sent_s < frame.sent_s[i])
    gone_s = max((_gone_s(frame, int(j)) for j in earlier), default=-np.inf)
    return bool(frame.sent_s[i] - gone_s >= IDLE_S)


def _lone(frame: Frame) -> list[int]:
    """Successes that shared the server with nobody until their first token."""
    went = [int(i) for i in np.flatnonzero(np.isfinite(frame.sent_s))]
    gone_s = np.array([_gone_s(frame, i) for i in went])
    found = []
    for i in went:
        if not frame.is_success[i] or not np.isfinite(frame.first_token_s[i]):
            continue
        meets = (frame.sent_s[went] < frame.first_token_s[i]) & (gone_s > frame.sent_s[i])
        if meets.sum() == 1:
            found.append(i)
    return found


def _engine_s(told: Mapping[str, Any]) -> float | None:
    value = told.get("prefill_ms")
    return value / 1e3 if isinstance(value, int | float) else None


def _overheads(frame: Frame, told: Sequence[Mapping[str, Any]]) -> list[Overhead]:
    """Of lone requests whose engine time was told: client's first token less that."""
    found = []
    for i in _lone(frame):
        engine_s = _engine_s(told[i])
        if engine_s is not None and np.isfinite(frame.n_in[i]):
            waited_s = float(frame.first_token_s[i] - frame.sent_s[i])
            found.append(Overhead(waited_s - engine_s, int(frame.n_in[i])))
    return found


def _pace(told: Sequence[Mapping[str, Any]], speculation: Speculation | None) -> Pace | None:
    """Output tokens after the first by decode steps, and drafts by decode steps, of the requests
    that tell; else the server's counters of verifications, each of one sequence in one step."""
    rows = [r for r in told if r.get("decode_steps") and "output_tokens" in r]
    steps = sum(r["decode_steps"] for r in rows)
    if steps:
        gained = float(max(1.0, sum(r["output_tokens"] - 1 for r in rows) / steps))
        if all("drafted_tokens" in r for r in rows):
            return Pace(gained, sum(r["drafted_tokens"] for r in rows) / steps, True)
        return Pace(gained, None if gained > SPECULATES else 0.0, True)
    if speculation is not None:
        drafts = speculation.num_draft_tok / speculation.num_drafts
        return Pace(speculation.mean_length_tok, drafts, True)
    return None


def _pace_of_chunks(frame: Frame) -> Pace:
    """Tokens a chunk after the first one, of a server that says nothing: more than one are drafts
    that were kept, or a stream that was held back, and nobody can tell which."""
    own = frame.is_success & (frame.num_chunks > 1) & (frame.n_out > 1)
    num = int((frame.num_chunks[own] - 1).sum())
    gained = float((frame.n_out[own] - 1).sum()) / num if num else 1.0
    return Pace(gained, None) if gained > UNTOLD else Pace()


def as_arrays(rows: Sequence[StepRow], name: str) -> FloatArray:
    """[n] one field of every row."""
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)

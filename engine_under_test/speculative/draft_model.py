"""Drafts by a small model that shares the target's tokenizer, block table and slots.

It keeps keys and values of its own in the blocks that the scheduler gave the target, so nothing is
allocated for it and a prefix found in the cache is found for both. It runs only where drafts are
wanted and first catches up with whatever was generated since: at most max_catch_up_tok tokens a
step, so that a long prompt delays nobody much. How far its entries of a block are valid is kept by
block: blocks are shared, and drafts that were rejected leave entries that must not be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from engine_under_test.argmax import argmax
from engine_under_test.attention import make_backend
from engine_under_test.batch import IntArray, RowTable, Span, lay_out
from engine_under_test.models import LoadedModel
from engine_under_test.noise import gumbel, trial_key
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request
from engine_under_test.sampler import Sampler

from .base import Proposals

_DRAFT = 1  # purpose of noise, see trial_key


@dataclass(slots=True)
class _State:
    """num_computed leading tokens have valid entries; `fed` drafts were fed behind them."""

    num_computed: int
    fed: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Trial:
    """One request's drafts while they are made. probs: a row a draft, where they are drawn."""

    seq: ScheduledSeq
    row: int
    state: _State
    ids: list[int] = field(default_factory=list)
    probs: list[torch.Tensor] = field(default_factory=list)

    @property
    def request(self) -> Request:
        return self.seq.request


class DraftModel:
    """See Drafter. sampler: the target's, whose settings apply to drafts as well.

    is_drawn: rows with a temperature draw their drafts and give distributions (ratio mode);
    False: every draft is the likeliest token.  min_confidence: drafting stops where the likeliest
    token is less likely than this; 0: never.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        rows: RowTable,
        sampler: Sampler,
        *,
        num_blocks: int,
        max_catch_up_tok: int,
        is_drawn: bool,
        min_confidence: float,
    ) -> None:
        model = self._model = loaded.model
        self._rows = rows
        self._sampler = sampler
        self._block_size = rows.block_size
        self._attention = make_backend(
            loaded.attention, model.config, num_blocks, rows.block_size, model.dtype, model.device
        )
        self._max_catch_up_tok = max_catch_up_tok
        self._is_drawn = is_drawn
        self._min_confidence = min_confidence
        self._states: dict[str, _State] = {}
        self._num_valid = [0] * num_blocks  # of each block: leading slots with valid entries
        self._token_ids = torch.arange(model.config.vocab_size, device=model.device)

    def propose(
        self, seqs: Sequence[ScheduledSeq], rows: IntArray, fresh_blocks: Sequence[int]
    ) -> Proposals:
        """See Drafter."""
        for block_id in fresh_blocks:
            self._num_valid[block_id] = 0
        trials = [
            _Trial(s, row, self._settle(s.request))
            for s, row in zip(seqs, rows.tolist(), strict=True)
            if s.max_drafts
        ]
        ready, logits = self._catch_up(trials)
        while ready:
            ready = self._extend(ready, logits)
            if ready:
                spans = [Span(t.request.num_tokens + len(t.ids) - 1, t.ids[-1:], 1) for t in ready]
                logits = self._forward(spans, ready)
                for t in ready:
                    t.state.fed.append(t.ids[-1])
        for t in trials:
            t.seq.put_drafts(t.ids)
        return {t.request.request_id: torch.stack(t.probs) for t in trials if t.probs}

    def release(self, request_id: str) -> None:
        self._states.pop(request_id, None)

    def _settle(self, r: Request) -> _State:
        """What the model knows of r, now that its last drafts have been judged."""
        state = self._states.get(r.request_id)
        if state is None:
            state = self._states[r.request_id] = _State(self._num_found(r))
        start = state.num_computed
        for token, fed in zip(r.token_ids[start:], state.fed, strict=False):
            if token != fed:
                break
            state.num_computed += 1
        state.fed = []
        # The last token is always fed: what follows it is the question.
        state.num_computed = min(state.num_computed, r.num_tokens - 1)
        self._mark(r, start, state.num_computed)
        return state

    def _num_found(self, r: Request) -> int:
        """Leading tokens of r whose entries lie in its blocks already."""
        num = 0
        for block_id in r.block_ids:
            num += self._num_valid[block_id]
            if self._num_valid[block_id] < self._block_size:
                break
        return num

    def _mark(self, r: Request, start: int, end: int) -> None:
        """Entries of r's tokens start..end-1 are valid, as those before them were."""
        size = self._block_size
        for i in range(start // size, -(-end // size)):
            self._num_valid[r.block_ids[i]] = min(end - i * size, size)

    def _catch_up(self, trials: list[_Trial]) -> tuple[list[_Trial], torch.Tensor]:
        """Feed what is known and not yet computed; who has caught up, and their logits [N, V]."""
        spans, fed, left = [], [], self._max_catch_up_tok
        for t in trials:
            start, tokens = t.state.num_computed, t.request.token_ids
            ids = tokens[start : start + left]
            if not ids:
                break
            left -= len(ids)
            spans.append(Span(start, ids, int(start + len(ids) == len(tokens))))
            fed.append(t)
        if not fed:
            return [], torch.empty(0)
        order = sorted(range(len(fed)), key=lambda i: spans[i].order)
        spans, fed = [spans[i] for i in order], [fed[i] for i in order]
        logits = self._forward(spans, fed)
        for span, t in zip(spans, fed, strict=True):
            t.state.num_computed = span.start + len(span.ids)
            self._mark(t.request, span.start, t.state.num_computed)
        ready = [t for span, t in zip(spans, fed, strict=True) if span.num_logits]
        by_context = sorted(range(len(ready)), key=lambda i: ready[i].request.num_tokens)
        return [ready[i] for i in by_context], logits[by_context]

    def _extend(self, ready: list[_Trial], logits: torch.Tensor) -> list[_Trial]:
        """One more draft for each; returns those that want another one."""
        is_sure = self._is_sure(logits)
        rows = np.array([t.row for t in ready], dtype=np.int64)
        for t in ready:
            t.request.draft_ids = t.ids  # penalties count them
        tokens, q = self._draw(logits, ready, rows)
        is_drawn, going = self._sampler.is_drawn(rows), []
        for i, (t, token) in enumerate(zip(ready, tokens, strict=True)):
            # Whether a draft is made must not depend on which one it is: the ratio rule would
            # no longer be exact. The likeliest token's probability says nothing of the draw.
            if not is_sure[i]:
                continue
            t.ids.append(token)
            if q is not None and is_drawn[i]:
                t.probs.append(q[i])
            if len(t.ids) < t.seq.max_drafts and token not in t.request.end_ids:
                going.append(t)
        return going

    def _draw(
        self, logits: torch.Tensor, ready: list[_Trial], rows: IntArray
    ) -> tuple[list[int], torch.Tensor | None]:
        requests, offsets = [t.request for t in ready], [len(t.ids) for t in ready]
        if not self._is_drawn or not self._sampler.is_drawn(rows).any():
            return self._sampler.likeliest(logits, rows, requests, offsets), None
        q = self._sampler.distribution(logits, rows, requests, offsets)
        keys = [
            trial_key(r.params.seed or 0, r.num_tokens + n, _DRAFT, r.num_tokens)
            for r, n in zip(requests, offsets, strict=True)
        ]
        tokens: list[int] = argmax(q.log() + gumbel(keys, self._token_ids)).tolist()
        return tokens, q

    def _is_sure(self, logits: torch.Tensor) -> list[bool]:
        if not self._min_confidence:
            return [True] * len(logits)
        confidence = (logits.amax(dim=-1) - logits.logsumexp(dim=-1)).exp()
        sure: list[bool] = (confidence >= self._min_confidence).tolist()
        return sure

    def _forward(self, spans: list[Span], trials: list[_Trial]) -> torch.Tensor:
        """Logits [N, V] where spans want them; spans in batch order, aligned with trials."""
        rows = np.array([t.row for t in trials], dtype=np.int64)
        batch = lay_out(spans, rows, self._rows).on(self._model.device)
        hidden = self._model.forward(batch, self._attention, self._attention.build(batch))
        if batch.logits_idx is not None:
            hidden = hidden.index_select(0, batch.logits_idx)
        return self._model.logits(hidden)

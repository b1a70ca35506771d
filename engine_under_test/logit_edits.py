"""Edits of one request's logits before temperature: bitmask, logit_bias, penalties, min_tokens.

State is per request and rebuilt from its tokens, so it survives preemption and batch changes; the
counts catch up with the tokens accepted since the last draw. Drafts on trial count for one call.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .request import Request

SPARSE = 8  # one word in so many, or fewer, forbids something
_BITS = torch.arange(32, dtype=torch.int32)


def apply_bitmask(logits: torch.Tensor, bitmask: torch.Tensor) -> None:
    """Set forbidden tokens to -inf. logits [N, V]; bitmask [N, ceil(V / 32)] int32, low bits first.

    Every row must allow something. Where nearly everything is allowed, as in free text and inside
    strings, only the words that forbid something are unpacked.
    """
    rows, words = (bitmask != -1).nonzero(as_tuple=True)
    if len(rows) * SPARSE <= bitmask.numel():
        is_forbidden = (bitmask[rows, words].unsqueeze(1) >> _BITS & 1) == 0  # [words, 32]
        of_word, bit = is_forbidden.nonzero(as_tuple=True)
        tokens, rows = words[of_word] * 32 + bit, rows[of_word]
        is_known = tokens < logits.shape[1]  # the last word may reach beyond the vocabulary
        logits[rows[is_known], tokens[is_known]] = -torch.inf
        return
    is_allowed = (bitmask.unsqueeze(-1) >> _BITS & 1).view(len(bitmask), -1)
    logits.masked_fill_(is_allowed[:, : logits.shape[1]] == 0, -torch.inf)


class LogitEdits:
    """The edits that one request asked for. Made when it gets its row."""

    def __init__(self, r: Request, vocab_size: int, eos_ids: tuple[int, ...]) -> None:
        p = r.params
        self._request = r
        self._bias_ids = torch.tensor([i for i, _ in p.logit_bias], dtype=torch.int64)
        self._bias = torch.tensor([b for _, b in p.logit_bias], dtype=torch.float32)
        stops = (*p.stop_token_ids, *(() if p.ignore_eos else eos_ids))
        self._is_bound = r.grammar is not None
        ends = sorted(r.grammar.end_ids) if r.grammar is not None else []
        self._end_ids = torch.tensor(ends, dtype=torch.int64)
        self._stop_ids = torch.tensor((*stops, *ends), dtype=torch.int64)
        self._counts: torch.Tensor | None = None
        if p.repetition_penalty != 1 or p.frequency_penalty or p.presence_penalty:
            self._counts = torch.zeros(vocab_size, dtype=torch.int64)
            self._is_in_prompt = torch.zeros(vocab_size, dtype=torch.bool)
            self._is_in_prompt[torch.tensor(r.prompt_ids)] = True
            self._num_counted = r.num_prompt

    @staticmethod
    def is_needed(r: Request) -> bool:
        p = r.params
        return bool(
            p.logit_bias
            or p.min_tokens
            or (p.ignore_eos and r.grammar is not None)
            or p.repetition_penalty != 1
            or p.frequency_penalty
            or p.presence_penalty
        )

    def apply(self, logits: torch.Tensor, drafts: Sequence[int] = ()) -> None:
        """Edit logits [V] in place, as if `drafts` followed the request's tokens."""
        if len(self._bias_ids):
            logits.index_add_(0, self._bias_ids, self._bias.to(logits.dtype))
        if self._counts is not None:
            counts = self._catch_up(self._counts)
            if drafts:
                counts = counts + torch.bincount(torch.tensor(drafts), minlength=len(counts))
            self._penalise(logits, counts)
        if self._request.num_generated + len(drafts) < self._request.params.min_tokens:
            self._withhold(logits, self._stop_ids)
        elif self._is_bound and self._request.params.ignore_eos:
            self._withhold(logits, self._end_ids)

    def _withhold(self, logits: torch.Tensor, ids: torch.Tensor) -> None:
        """Forbid what would end the answer; under a grammar, only while it allows something else.

        A grammar that is complete allows nothing but an end: JSON has one, whatever was asked.
        """
        going_on = logits.index_fill(0, ids, -torch.inf)
        if not self._is_bound or bool((going_on > -torch.inf).any()):
            logits.copy_(going_on)

    def _penalise(self, logits: torch.Tensor, counts: torch.Tensor) -> None:
        """Repetition looks at prompt and output (CTRL, 2019), the other two at the output only."""
        p = self._request.params
        if p.repetition_penalty != 1:
            rate = p.repetition_penalty
            is_seen = self._is_in_prompt | (counts > 0)
            damped = torch.where(logits > 0, logits / rate, logits * rate)
            torch.where(is_seen, damped, logits, out=logits)
        if p.frequency_penalty:  # in the precision of the logits: integers would make it float32
            logits -= p.frequency_penalty * counts.to(logits.dtype)
        if p.presence_penalty:
            logits -= p.presence_penalty * (counts > 0).to(logits.dtype)

    def _catch_up(self, counts: torch.Tensor) -> torch.Tensor:
        new = self._request.token_ids[self._num_counted :]
        if new:
            ids = torch.tensor(new, dtype=torch.int64)
            counts.index_add_(0, ids, torch.ones_like(ids))
            self._num_counted += len(new)
        return counts

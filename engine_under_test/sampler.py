"""From logits to tokens.

Order: token bitmask (grammars), logit_bias, penalties, min_tokens, temperature (0 is greedy),
min_p, top_k, top_p, draw. What no row of the batch uses is skipped; a greedy batch is one argmax.
Log-probabilities are those of the raw logits, before all of it.

A row of logits belongs to one position of one request. Where a request has drafts it has several
rows: `offsets` says how many of its draft_ids stand before the token that a row draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import numpy as np
import torch

from .batch import BoolArray, IntArray
from .filters import filter_min_p, filter_top_k, filter_top_p
from .logit_edits import LogitEdits, apply_bitmask
from .logprobs import token_logprobs
from .noise import gumbel_of, stream_key
from .plan import SampledTokens
from .request import Request, TokenLogprob


class _Need(IntFlag):
    """What a row asks for beyond an argmax."""

    DRAW = 1
    MIN_P = 2
    TOP_K = 4
    TOP_P = 8
    EDIT = 16
    LOGPROBS = 32


# Below it a draw is greedy, as in vLLM: dividing by less would overflow and decide nothing.
MIN_TEMPERATURE = 1e-5
_FILTER = _Need.MIN_P | _Need.TOP_K | _Need.TOP_P


class Sampler:
    """Per-row sampling settings, kept from a request's first step to its last."""

    def __init__(self, max_rows: int, vocab_size: int, eos_ids: tuple[int, ...]) -> None:
        self._vocab_size = vocab_size
        self._eos_ids = eos_ids
        self._needs: IntArray = np.zeros(max_rows, dtype=np.int64)
        self._temperature = np.ones(max_rows, dtype=np.float64)
        self._min_p = np.zeros(max_rows, dtype=np.float64)
        self._top_p = np.ones(max_rows, dtype=np.float64)
        self._top_k: IntArray = np.zeros(max_rows, dtype=np.int64)
        self._edits: dict[int, LogitEdits] = {}
        self._token_ids = torch.arange(vocab_size)

    def assign(self, row: int, r: Request) -> None:
        """A request got this row."""
        p, needs = r.params, _Need(0)
        self._temperature[row], self._min_p[row], self._top_p[row] = 1.0, 0.0, 1.0
        self._top_k[row] = 0
        if p.temperature >= MIN_TEMPERATURE:
            needs |= _Need.DRAW
            self._temperature[row], self._min_p[row] = p.temperature, p.min_p
            self._top_p[row], self._top_k[row] = p.top_p, min(p.top_k, self._vocab_size)
            needs |= _Need.MIN_P if p.min_p > 0 else 0
            needs |= _Need.TOP_K if 0 < p.top_k < self._vocab_size else 0
            needs |= _Need.TOP_P if p.top_p < 1 else 0
        needs |= _Need.LOGPROBS if p.logprobs is not None else 0
        self._edits.pop(row, None)
        if LogitEdits.is_needed(r):
            needs |= _Need.EDIT
            self._edits[row] = LogitEdits(r, self._vocab_size, self._eos_ids)
        self._needs[row] = int(needs)

    def sample(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None = None,
        bitmask: torch.Tensor | None = None,
    ) -> SampledTokens:
        """One token a row of logits.

        logits: [N, V], edited in place.  rows, requests: N, aligned.  offsets: N drafts before
        each; None: none anywhere.  bitmask: [N, ceil(V / 32)] int32, bit v % 32 of word v // 32
        allows token v; None: everything is allowed.
        """
        row_needs = self._needs[rows]
        needs = int(np.bitwise_or.reduce(row_needs))
        is_edited = bool(needs & _Need.EDIT) or bitmask is not None
        raw = logits.clone() if is_edited and needs & _Need.LOGPROBS else logits
        self._edit(logits, rows, requests, offsets, bitmask)
        if not needs & _Need.DRAW:
            tokens = logits.argmax(dim=-1).tolist()
        else:
            tokens = self._draw_mixed(logits, rows, row_needs, requests, offsets)
        return SampledTokens([[t] for t in tokens], self.logprobs(raw, tokens, rows, requests))

    def distribution(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None = None,
        bitmask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[N, V] probabilities that `sample` would draw from; greedy rows have all mass on one.

        Arguments as for `sample`; logits are edited in place.
        """
        self._edit(logits, rows, requests, offsets, bitmask)
        is_drawn = torch.from_numpy(self.is_drawn(rows))
        best = logits.argmax(dim=-1, keepdim=True)
        self._filter(logits, rows, self._needs[rows])
        one_hot = torch.zeros_like(logits).scatter_(1, best, 1.0)
        return torch.where(is_drawn.unsqueeze(1), logits.softmax(dim=-1), one_hot)

    def likeliest(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None = None,
    ) -> list[int]:
        """What each row would give at temperature 0. Arguments as for `sample`."""
        self._edit(logits, rows, requests, offsets, None)
        tokens: list[int] = logits.argmax(dim=-1).tolist()
        return tokens

    def wants_logprobs(self, rows: IntArray) -> bool:
        """Whether any row wants log-probabilities."""
        return bool((self._needs[rows] & _Need.LOGPROBS).any())

    def is_drawn(self, rows: IntArray) -> BoolArray:
        """[N]: whether each row draws at random rather than taking the likeliest."""
        return (self._needs[rows] & _Need.DRAW) > 0

    def logprobs(
        self, raw: torch.Tensor, tokens: Sequence[int], rows: IntArray, requests: Sequence[Request]
    ) -> list[list[TokenLogprob] | None] | None:
        """Of each row's token: its own, its rank, the most likely alternatives; None: unasked.

        raw: [N, V] logits before any edit.  tokens: N.
        """
        wanted = np.flatnonzero(self._needs[rows] & _Need.LOGPROBS).tolist()
        if not wanted:
            return None
        num_tops = [requests[i].params.logprobs or 0 for i in wanted]
        chosen = token_logprobs(raw[wanted], [tokens[i] for i in wanted], num_tops)
        found: list[list[TokenLogprob] | None] = [None] * len(tokens)
        for i, row in zip(wanted, chosen, strict=True):
            found[i] = [row]
        return found

    def _edit(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None,
        bitmask: torch.Tensor | None,
    ) -> None:
        """Everything that comes before temperature."""
        if bitmask is not None:
            apply_bitmask(logits, bitmask)
        for i in np.flatnonzero(self._needs[rows] & _Need.EDIT).tolist():
            drafts = requests[i].draft_ids[: offsets[i]] if offsets is not None else ()
            self._edits[int(rows[i])].apply(logits[i], drafts)

    def _draw_mixed(
        self,
        logits: torch.Tensor,
        rows: IntArray,
        needs: IntArray,
        requests: Sequence[Request],
        offsets: Sequence[int] | None,
    ) -> list[int]:
        """Draw where temperature > 0, argmax elsewhere."""
        is_drawn = (needs & _Need.DRAW) > 0
        if offsets is None:
            keys = [stream_key(r.params.seed or 0, r.num_tokens) for r in requests]
        else:
            keys = [
                stream_key(r.params.seed or 0, r.num_tokens + offset)
                for r, offset in zip(requests, offsets, strict=True)
            ]
        if is_drawn.all():
            keeps_raw = (needs & _Need.LOGPROBS).any()
            return self._draw(logits.clone() if keeps_raw else logits, rows, needs, keys)
        tokens: list[int] = logits.argmax(dim=-1).tolist()
        drawn = np.flatnonzero(is_drawn)
        scores = logits[torch.from_numpy(drawn)]
        chosen = [keys[i] for i in drawn.tolist()]
        for i, token in zip(
            drawn, self._draw(scores, rows[drawn], needs[drawn], chosen), strict=True
        ):
            tokens[i] = token
        return tokens

    def _draw(
        self, scores: torch.Tensor, rows: IntArray, needs: IntArray, keys: Sequence[int]
    ) -> list[int]:
        """argmax(scores / temperature + Gumbel noise) over what the filters left."""
        self._filter(scores, rows, needs)
        noise_keys = torch.tensor(keys)
        if int(np.bitwise_or.reduce(needs)) & _FILTER:
            # Noise only for tokens that can still win; it is the same noise either way.
            row, token = (scores > -torch.inf).nonzero(as_tuple=True)
            scores[row, token] += gumbel_of(noise_keys[row], token)
        else:
            scores += gumbel_of(noise_keys.unsqueeze(1), self._token_ids)
        drawn: list[int] = scores.argmax(dim=-1).tolist()
        return drawn

    def _filter(self, scores: torch.Tensor, rows: IntArray, needs: IntArray) -> None:
        """Temperature, min_p, top_k and top_p in place; greedy rows keep neutral values."""
        scores /= self._column(self._temperature, rows, scores.dtype).unsqueeze(1)
        used = int(np.bitwise_or.reduce(needs))
        if used & _Need.MIN_P:
            filter_min_p(scores, self._column(self._min_p, rows, scores.dtype))
        if used & _Need.TOP_K:
            filter_top_k(scores, torch.from_numpy(self._top_k[rows]))
        if used & _Need.TOP_P:
            filter_top_p(scores, self._column(self._top_p, rows, scores.dtype))

    def _column(self, values: np.ndarray, rows: IntArray, dtype: torch.dtype) -> torch.Tensor:
        return torch.from_numpy(values[rows]).to(dtype)

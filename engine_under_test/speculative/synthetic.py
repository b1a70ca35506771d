"""Synthetic acceptance: what would this engine gain if drafts were accepted at a given rate?

Random weights never agree with random weights, and text of a random model flatters n-grams; speed
studies need a chosen rate instead. The text that comes out is meaningless, so every reply, /metrics
and /v1/models say so.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine_under_test.batch import IntArray
from engine_under_test.noise import trial_key, uniform
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request

from .base import Drafter, Proposals

_ACCEPT = 3  # purpose of noise, see trial_key


class SyntheticDrafter:
    """Pays for a real drafter and fills what it left empty, so that every slot is on trial."""

    def __init__(self, inner: Drafter) -> None:
        self._inner = inner

    def propose(
        self, seqs: Sequence[ScheduledSeq], rows: IntArray, fresh_blocks: Sequence[int]
    ) -> Proposals:
        """See Drafter. Nothing is judged, so no distribution is given."""
        self._inner.propose(seqs, rows, fresh_blocks)
        for s in seqs:
            if s.num_drafts < s.max_drafts:
                filler = s.request.token_ids[-1:] * (s.max_drafts - s.num_drafts)
                s.put_drafts(s.request.draft_ids + filler)
        return {}

    def release(self, request_id: str) -> None:
        self._inner.release(request_id)


def synthetic_length(r: Request, rates: Sequence[float]) -> int:
    """How many of r's drafts count as accepted: at each place a coin of the seed and position."""
    num = len(r.draft_ids)
    seed, num_tokens = r.params.seed or 0, r.num_tokens
    coins = uniform([trial_key(seed, num_tokens + i, _ACCEPT, num_tokens) for i in range(num)])
    for place, coin in enumerate(coins.tolist()):
        if coin >= rates[min(place, len(rates) - 1)]:
            return place
    return num

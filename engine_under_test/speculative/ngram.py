"""Drafts by looking back: what followed the last time the sequence ended like this.

Per request one table {n-gram: where it was last followed by something}, extended by the tokens that
came since the last look, so a look-up costs a few dictionary reads however long the context
(prompt look-up decoding, Saxena 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine_under_test.batch import IntArray
from engine_under_test.plan import ScheduledSeq

from .base import Proposals, up_to_end


class NgramIndex:
    """The n-grams of one growing sequence. sizes: lengths to index, the longest first."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = tuple(sizes)
        self._followers: dict[tuple[int, ...], int] = {}  # n-gram -> position right behind it
        self._num_indexed = 0

    def propose(self, token_ids: Sequence[int], num_drafts: int) -> list[int]:
        """Up to num_drafts tokens that may come next; [] where no suffix was seen before.

        token_ids only ever grows between calls. A match that overlaps the end continues with its
        own proposal: a text in a loop of p tokens is proposed to stay in it.
        """
        self._extend(token_ids)
        for n in self._sizes:
            if n >= len(token_ids):
                continue
            found = self._followers.get(tuple(token_ids[-n:]))
            if found is not None:
                seen = token_ids[found : found + num_drafts]
                return [seen[i % len(seen)] for i in range(num_drafts)]
        return []

    def _extend(self, token_ids: Sequence[int]) -> None:
        """Index n-grams that end before a known token; nothing follows the last one yet."""
        followers = self._followers
        for end in range(max(self._num_indexed, 1), len(token_ids)):
            for n in self._sizes:
                if n <= end:
                    followers[tuple(token_ids[end - n : end])] = end
        self._num_indexed = max(self._num_indexed, len(token_ids))


class NgramDrafter:
    """One index a request, from the step that first asks for drafts to the loss of its row."""

    def __init__(self, min_size: int, max_size: int) -> None:
        self._sizes = range(max_size, min_size - 1, -1)
        self._indices: dict[str, NgramIndex] = {}

    def propose(
        self, seqs: Sequence[ScheduledSeq], rows: IntArray, fresh_blocks: Sequence[int]
    ) -> Proposals:
        """See Drafter. Proposals are not drawn, so no distribution comes with them."""
        for s in seqs:
            if s.max_drafts:
                r = s.request
                index = self._indices.get(r.request_id)
                if index is None:
                    index = self._indices[r.request_id] = NgramIndex(self._sizes)
                s.put_drafts(up_to_end(r, index.propose(r.token_ids, s.max_drafts)))
        return {}

    def release(self, request_id: str) -> None:
        self._indices.pop(request_id, None)

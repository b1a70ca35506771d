"""Drafts by looking back: what followed the last time the sequence ended like this.

Per request and length one table {n-gram: where it was last followed by something}, extended by the
tokens that came since the last look, so a look-up costs a few dictionary reads however long the
context (prompt look-up decoding, Saxena 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine_under_test.batch import IntArray
from engine_under_test.plan import ScheduledSeq

from .base import Proposals, up_to_end

_TOKEN_BITS = 20  # of a token in a key: two of the three machine words that 21 would take for three


class NgramIndex:
    """The n-grams of one growing sequence. sizes: lengths to index, the longest first.

    An n-gram's key is one integer, its tokens side by side: half the time of a tuple, and the
    garbage collector never walks a dictionary of integers.
    """

    __slots__ = ("_key", "_key_mask", "_num_indexed", "_tables")

    def __init__(self, sizes: Sequence[int]) -> None:
        # [(mask of the keys, n-gram -> position right behind it)]
        self._tables: list[tuple[int, dict[int, int]]] = [(_mask(n), {}) for n in sizes]
        self._key_mask = _mask(sizes[0])
        self._key = self._key_mask  # of the last tokens; nothing stands before the first one
        self._num_indexed = 0

    def propose(self, token_ids: list[int], num_drafts: int) -> list[int]:
        """Up to num_drafts tokens that may come next; [] where no suffix was seen before.

        token_ids only ever grows between calls. A match that overlaps the end continues with its
        own proposal: a text in a loop of p tokens is proposed to stay in it.
        """
        key = self._extend(token_ids)
        for mask, followers in self._tables:
            found = followers.get(key & mask)
            if found is not None:
                seen = token_ids[found : found + num_drafts]
                if len(seen) == num_drafts:
                    return seen
                return [seen[i % len(seen)] for i in range(num_drafts)]
        return []

    def _extend(self, token_ids: list[int]) -> int:
        """Index n-grams that end before a known token; the key of the last, which none follows."""
        key, key_mask, tables, end = self._key, self._key_mask, self._tables, self._num_indexed
        for token in token_ids[end:]:
            for mask, followers in tables:
                followers[key & mask] = end
            key = (key << _TOKEN_BITS | token) & key_mask
            end += 1
        self._key, self._num_indexed = key, end
        return key


def _mask(num_tokens: int) -> int:
    return (1 << _TOKEN_BITS * num_tokens) - 1


class NgramDrafter:
    """One index a request, from the step that first asks for drafts to the loss of its row."""

    def __init__(self, min_size: int, max_size: int) -> None:
        self._sizes = range(max_size, min_size - 1, -1)
        self._indices: dict[str, NgramIndex] = {}

    def propose(
        self, seqs: Sequence[ScheduledSeq], rows: IntArray, fresh_blocks: Sequence[int]
    ) -> Proposals:
        """See Drafter. Proposals are not drawn, so no distribution comes with them."""
        indices = self._indices
        for s in seqs:
            if s.max_drafts:
                r = s.request
                index = indices.get(r.request_id)
                if index is None:
                    index = indices[r.request_id] = NgramIndex(self._sizes)
                s.put_drafts(up_to_end(r, index.propose(r.token_ids, s.max_drafts)))
        return {}

    def release(self, request_id: str) -> None:
        self._indices.pop(request_id, None)

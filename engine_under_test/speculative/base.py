"""The contract of a drafter: fill the draft slots that the scheduler granted, or leave them empty.

A drafter sees only requests and what they have generated. Nothing it proposes can make an output
wrong: the target judges every draft, so a drafter of garbage costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from engine_under_test.batch import IntArray
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request

# Request id -> [num_drafts, V] distributions its drafts were drawn from. A request without an entry
# has drafts that were not drawn: they are judged by comparison.
Proposals = dict[str, torch.Tensor]


class Drafter(Protocol):
    """Makes drafts. Lives in the runner and is called once a step, before the target runs."""

    def propose(
        self, seqs: Sequence[ScheduledSeq], rows: IntArray, fresh_blocks: Sequence[int]
    ) -> Proposals:
        """Call put_drafts on every seq with max_drafts > 0.

        rows [B]: each one's persistent row.  fresh_blocks: ids of cache blocks that sequences
        gained in this step and whose former contents are void.
        """

    def release(self, request_id: str) -> None:
        """The request has lost its row and blocks; it may come back. Unknown ids are ignored."""


def up_to_end(r: Request, ids: list[int]) -> list[int]:
    """Drafts behind one that would end the request are never output: leave them out."""
    if r.end_ids.isdisjoint(ids):
        return ids  # nearly always
    for n, token in enumerate(ids, start=1):
        if token in r.end_ids:
            return ids[:n]
    return ids

"""Batches over a paged cache whose blocks lie scattered."""

from __future__ import annotations

import random

import numpy as np

from engine_under_test.batch import FlatBatch, RowTable, batch_order, build_batch
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request, SamplingParams

BLOCK = 4


def layout(lengths: list[tuple[int, int]], rng: random.Random) -> tuple[FlatBatch, list[int]]:
    """(computed, new) a sequence, blocks scattered; the batch, and the order it took."""
    needed = [-(-(done + new) // BLOCK) for done, new in lengths]
    free = list(range(1, 1 + sum(needed)))
    rng.shuffle(free)
    table = RowTable(len(lengths), max(needed), BLOCK)
    seqs = []
    for i, (done, new) in enumerate(lengths):
        blocks = [free.pop() for _ in range(needed[i])]
        tokens = [0] * (done + new)
        r = Request(str(i), tokens, SamplingParams(), num_computed=done, block_ids=blocks)
        seqs.append(ScheduledSeq(r, new, is_sampled=True))
    order = batch_order(seqs)
    seqs = [seqs[i] for i in order]
    rows = np.array([table.sync(s.request) for s in seqs])
    return build_batch(seqs, rows, table), order

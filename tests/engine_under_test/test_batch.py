"""The short way of a step of single tokens lays out what the general way does."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import pytest
import torch

from engine_under_test.batch import RowTable, Span, batch_order, build_batch, lay_out
from engine_under_test.plan import ScheduledSeq
from engine_under_test.request import Request, SamplingParams

BLOCK = 4


def sequences(rng: random.Random, num_new: int | None) -> list[ScheduledSeq]:
    """num_new None: any number, up to whole prompts."""
    found = []
    for i in range(rng.randint(1, 9)):
        ids = [rng.randrange(100) for _ in range(rng.randint(12, 40))]
        r = Request(f"r{i}", ids, SamplingParams())
        n = num_new or rng.randint(1, len(ids))
        r.num_computed = len(ids) - n
        r.block_ids = rng.sample(range(1, 200), -(-len(ids) // BLOCK))
        found.append(ScheduledSeq(r, n, True))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_steps_of_single_tokens_are_laid_out_as_any_step(seed: int) -> None:
    seqs, table = sequences(random.Random(seed), 1), RowTable(16, 16, BLOCK)
    seqs = [seqs[i] for i in batch_order(seqs)]
    rows = np.array([table.sync(s.request) for s in seqs])
    short = build_batch(seqs, rows, table)
    spans = [Span(s.request.num_computed, s.request.token_ids[-1:], 1) for s in seqs]
    general = lay_out(spans, rows, table)
    for field in fields(general):
        ours, theirs = getattr(short, field.name), getattr(general, field.name)
        if isinstance(theirs, torch.Tensor | np.ndarray):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), field.name)
            assert ours.dtype == theirs.dtype
        else:
            assert ours == theirs


@pytest.mark.parametrize("seed", range(10))
def test_batch_order_is_the_order_of_spans(seed: int) -> None:
    seqs = sequences(random.Random(seed), None)
    spans = [Span(s.request.num_computed, s.request.token_ids[-s.num_new :], 1) for s in seqs]
    assert batch_order(seqs) == sorted(range(len(spans)), key=lambda i: spans[i].order)

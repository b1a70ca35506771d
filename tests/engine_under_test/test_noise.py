"""Noise is a function, and its distribution is Gumbel's."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from engine_under_test.noise import gumbel, stream_key

MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The published generator's output function, in plain integers."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & MASK
    return state ^ state >> 31


def test_bits_are_those_of_splitmix64() -> None:
    key = stream_key(seed=11, position=5)
    ids = torch.arange(200)
    for token, value in zip(range(200), gumbel([key], ids)[0].tolist(), strict=True):
        bits = splitmix64(key + token * 0x9E3779B97F4A7C15 & MASK)
        u = (bits >> 1) / 2**63
        assert abs(value - -np.log(-np.log1p(-u))) < 1e-4


def test_any_subset_of_rows_and_tokens_has_the_same_noise() -> None:
    keys = [stream_key(s, p) for s, p in ((0, 0), (0, 1), (1, 0), (-5, 7), (2**70, 3))]
    ids = torch.arange(1003)
    whole = gumbel(keys, ids)
    assert len({tuple(row) for row in whole.tolist()}) == len(keys)
    for i, key in enumerate(keys):
        assert torch.equal(gumbel([key], ids)[0], whole[i])
        assert torch.equal(gumbel([key], ids[::7].contiguous())[0], whole[i, ::7])


def test_noise_is_gumbel_within_a_row_and_across_positions() -> None:
    # Kolmogorov-Smirnov; fixed seeds, so the false alarm of 2 x 1e-3 was drawn once.
    row = gumbel([stream_key(3, 3)], torch.arange(20_000))[0].numpy()
    keys = [stream_key(9, position) for position in range(20_000)]
    column = gumbel(keys, torch.tensor([42]))[:, 0].numpy()
    for sample in (row, column):
        assert np.isfinite(sample).all()
        assert stats.kstest(sample, stats.gumbel_r.cdf).pvalue > 1e-3

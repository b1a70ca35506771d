"""N-grams by look-up: against a search over the whole text, and the cases drafts are made for."""

from __future__ import annotations

import random

import pytest

from engine_under_test.speculative import NgramIndex


def naive(tokens: list[int], sizes: range, num_drafts: int) -> list[int]:
    """The last earlier occurrence of the longest suffix, and what followed it."""
    for n in sizes:
        suffix = tokens[-n:]
        for end in range(len(tokens) - 1, n - 1, -1):
            if tokens[end - n : end] == suffix:
                period, draft = len(tokens) - end, []
                for i in range(num_drafts):
                    draft.append(tokens[end + i % period])
                return draft
    return []


@pytest.mark.parametrize("seed", range(30))
def test_it_proposes_what_a_search_would(seed: int) -> None:
    rng = random.Random(seed)
    sizes = range(rng.randint(2, 4), rng.randint(1, 2) - 1, -1)
    index, tokens = NgramIndex(sizes), [rng.randrange(4) for _ in range(rng.randint(1, 30))]
    for _ in range(40):
        num_drafts = rng.randint(1, 7)
        assert index.propose(tokens, num_drafts) == naive(tokens, sizes, num_drafts)
        tokens += [rng.randrange(4) for _ in range(rng.randint(1, 5))]


def test_a_copy_is_continued_and_a_loop_stays_a_loop() -> None:
    index = NgramIndex(range(3, 1, -1))
    assert index.propose([10, 11, 12, 13, 14, 15, 9, 11, 12], 3) == [13, 14, 15]
    assert NgramIndex(range(2, 1, -1)).propose([1, 2, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]
    assert NgramIndex(range(3, 1, -1)).propose([1, 2, 3, 4], 5) == []
    assert NgramIndex(range(3, 1, -1)).propose([1], 5) == []


def test_the_longest_suffix_wins_over_the_latest() -> None:
    tokens = [1, 2, 3, 7, 0, 9, 2, 3, 8, 1, 2, 3]
    assert NgramIndex(range(3, 1, -1)).propose(tokens, 1) == [7]
    assert NgramIndex(range(2, 1, -1)).propose(tokens, 1) == [8]

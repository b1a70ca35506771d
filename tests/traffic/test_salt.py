"""Salts are unique, of one length, and a warm-up never spends one of the window."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.traffic import salt
from harness.traffic.vocabulary import SALT_WORDS


def test_the_words_are_256_of_four_letters() -> None:
    assert len(set(SALT_WORDS)) == len(SALT_WORDS) == 256
    assert {len(word) for word in SALT_WORDS} == {4}


def test_salts_are_unique_in_a_run_and_warm_up_is_disjoint() -> None:
    warm = {salt("run", "main", 0, 0, k, True) for k in range(20_000)}
    measured = {salt("run", "main", 0, 0, k, False) for k in range(20_000)}
    assert len(warm) == len(measured) == 20_000
    assert not warm & measured


def test_neighbours_differ_from_the_first_word_on() -> None:
    first = [salt("run", "main", 0, 0, k, False).split()[0] for k in range(100)]
    assert all(a != b for a, b in itertools.pairwise(first))


def test_every_part_of_the_context_counts() -> None:
    same = {
        salt("run", "main", 0, 0, 5, False), salt("other", "main", 0, 0, 5, False),
        salt("run", "baseline", 0, 0, 5, False), salt("run", "main", 1, 0, 5, False),
        salt("run", "main", 0, 1, 5, False), salt("run", "main", 0, 0, 6, False),
    }  # fmt: skip
    assert len(same) == 6


@given(st.text(), st.integers(0, 2**40), st.sampled_from([7, 60, 256]))
def test_length_never_varies(run_id, ordinal, num_words) -> None:
    made = salt(run_id, "main", 0, 0, ordinal, False, SALT_WORDS[:num_words])
    assert len(made.split()) == 8
    assert len(made) == 39

"""The salt that opens a prompt, so that no server cache has seen it before.

It depends on the run and the arrival, lies outside the schedule's hash and is recorded: "same
seed, same bytes" means but for the salt. Its length in tokens is the same for every salt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from math import gcd

from .vocabulary import SALT_LENGTH_WORDS, SALT_WORDS


def salt(
    run_id: str,
    arm: str,
    attempt: int,
    stage: int,
    ordinal: int,
    phase_is_warmup: bool,
    words: Sequence[str] = SALT_WORDS,
) -> str:
    """Eight words: four from the ordinal, unique in its stage, four from all the rest.

    words: ContentMaker.salt_words; len(words)**4 ordinals are told apart (4 billion by default).
    """
    rest, shift = _of_context(f"{run_id}\x1f{arm}\x1f{attempt}\x1f{stage}\x1f{phase_is_warmup}")
    half = SALT_LENGTH_WORDS // 2
    space = len(words) ** half
    # one to one on 0..space-1, since the factor is coprime with it; neighbours differ at once
    mixed = (ordinal * _coprime_near_golden(space) + shift) % space
    return " ".join([*_digits(mixed, half, words), *_digits(rest % space, half, words)])


def run_salt(run_id: str, words: Sequence[str] = SALT_WORDS) -> str:
    """One salt for a whole run: opens shared prefixes, so that two runs share no server cache."""
    return salt(run_id, "shared-prefix", 0, 0, 0, False, words)


@lru_cache(64)  # salts are made while load runs, and few contexts make many
def _of_context(context: str) -> tuple[int, int]:
    digest = hashlib.blake2b(context.encode(), digest_size=16, person=b"harness-salt-v1").digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _digits(number: int, count: int, words: Sequence[str]) -> list[str]:
    """`number` written with words as digits, most significant first."""
    digits = []
    for _ in range(count):
        number, digit = divmod(number, len(words))
        digits.append(words[digit])
    return digits[::-1]


@lru_cache(64)
def _coprime_near_golden(space: int) -> int:
    """A multiplier that scatters neighbours (golden section) and divides nothing of `space`."""
    factor = int(space * 0.6180339887498949) | 1
    while gcd(factor, space) != 1:
        factor += 2
    return factor

"""Text of a wanted number of tokens from a vocabulary, by the best means the TokenPlan has.

A LineFitter prices each word (calibrated slope, or characters); the exact one, which counts with
the model's tokenizer, is exact.py. Both draw words from the generator they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .salt import salt
from .token_plan import TokenPlan
from .vocabulary import SALT_MARK, SALT_WORDS


class Fitter(Protocol):
    """Makes text by length."""

    @property
    def salt_words(self) -> Sequence[str]:
        """Words whose salts all have the same length on this target."""

    @property
    def tok_per_word(self) -> float:
        """Mean price of a word."""

    def cost_tok(self, text: str) -> float:
        """Tokens of a text; SALT_MARK counts as a salt."""

    def words(self, rng: np.random.Generator, wanted_tok: float) -> list[str]:
        """Words that cost about this much, each after a space."""

    def fit(self, rng: np.random.Generator, before: str, after: str, wanted_tok: float) -> str:
        """before + words + after, of wanted_tok tokens, or of as few as the frame allows."""


class LineFitter:
    """Words at known prices: cost is a sum, so nothing needs to be counted again."""

    def __init__(self, plan: TokenPlan, vocabulary: Sequence[str]) -> None:
        self.salt_words: Sequence[str] = SALT_WORDS
        self._vocabulary = vocabulary
        self._chars_per_tok = plan.chars_per_token if plan.kind == "estimated" else None
        mean_chars = sum(map(len, vocabulary)) / len(vocabulary) + 1
        self.tok_per_word = (
            plan.slope_tok_per_word
            if self._chars_per_tok is None
            else mean_chars / self._chars_per_tok
        )
        self._sample_salt = salt("", "", 0, 0, 0, False)

    def cost_tok(self, text: str) -> float:
        shown = text.replace(SALT_MARK, self._sample_salt)
        if self._chars_per_tok is not None:
            return len(shown) / self._chars_per_tok
        return len(shown.split()) * self.tok_per_word

    def words(self, rng: np.random.Generator, wanted_tok: float) -> list[str]:
        count = max(0, round(wanted_tok / self.tok_per_word))
        vocabulary = self._vocabulary
        if self._chars_per_tok is None:
            drawn = rng.integers(0, len(vocabulary), count).tolist()
            return list(map(vocabulary.__getitem__, drawn))
        left, found = wanted_tok * self._chars_per_tok, list[str]()
        while left >= 2:
            for k in rng.integers(0, len(vocabulary), count + 8).tolist():
                left -= len(vocabulary[k]) + 1
                if left < 0:
                    return found
                found.append(vocabulary[k])
        return found

    def fit(self, rng: np.random.Generator, before: str, after: str, wanted_tok: float) -> str:
        room = wanted_tok - self.cost_tok(before + " " + after)
        return before + " ".join(self.words(rng, room)) + after

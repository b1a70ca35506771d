"""Seeded draws, and the split that keeps held-out values out of training.

A value belongs to the held-out tenth by the hash of its text, not by the seed: a generator asked
for training data can never emit a held-out pseudo-word, sum or combination of arguments, whatever
its seed. Words of the lists occur on both sides, in different combinations.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


def is_held_out(text: str) -> bool:
    """True for about a tenth of all texts."""
    return hashlib.blake2b(text.encode(), digest_size=2).digest()[0] % 10 == 0


class Message(NamedTuple):
    """One turn. role: system, user, assistant or tool. calls: rendered before content."""

    role: str
    content: str
    calls: tuple[tuple[str, dict[str, object]], ...] = ()


class Chat(NamedTuple):
    """Turns of one task; every assistant turn is learnt. tools: OpenAI function schemas."""

    task: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, object], ...] = ()


class Draw:
    """A random source bound to one side of the split."""

    def __init__(self, seed: int | str, held_out: bool = False) -> None:
        self.rng = random.Random(f"{seed}/{held_out}")
        self.held_out = held_out

    def pick(self, items: Sequence[T]) -> T:
        """Any item: for wording, which both sides share."""
        return items[int(self.rng.random() * len(items))]

    def pick_held(self, items: Sequence[T]) -> T:
        """An item of this side of the split: for values. Each side must own at least one."""
        return self.until(lambda: self.pick(items), str)

    def until(self, make: Callable[[], T], key: Callable[[T], str]) -> T:
        """Draw until the key falls on this side."""
        while True:
            value = make()
            if is_held_out(key(value)) == self.held_out:
                return value

    def number(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return low + int(self.rng.random() * (high - low + 1))

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def sample(self, items: Sequence[T], k: int) -> list[T]:
        return self.rng.sample(items, k)


def chat(task: str, user: str, assistant: str) -> Chat:
    """One question and its answer."""
    return Chat(task, (Message("user", user), Message("assistant", assistant)))

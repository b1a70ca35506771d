"""The corpus: tasks in proportion, rendered as ChatML, packed into rows of tokens.

Nothing is stored: rows are drawn on the fly from a seed. Loss falls on assistant turns only,
because a prompt of random words teaches nothing about answering it; a digit of a sum counts more
than a word of a story, which has no single right answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from . import longprompts
from .copying import extraction, quoting, repeating, spelling, tangle
from .draw import Chat, Draw, Message
from .numbers import addition, counting, low_counts, next_steps, short_counts, sorting, sums
from .stories import essay, story
from .talk import definition, small_talk, with_system
from .tools import tool_calls

Maker = Callable[[Draw], Chat]


def _short_topics(draw: Draw) -> Chat:
    return longprompts.topics(draw, draw.number(20, 100), draw.number(20, 60))


def _short_needle(draw: Draw) -> Chat:
    return longprompts.needle(draw, draw.number(5, 80))


def _short_story_question(draw: Draw) -> Chat:
    return longprompts.story_question(draw, draw.number(40, 90))


def _long_topics(draw: Draw) -> Chat:
    return longprompts.topics(draw, draw.number(150, 900), draw.number(5, 40) * 10)


def _long_needle(draw: Draw) -> Chat:
    return longprompts.needle(draw, draw.number(100, 700))


def _long_story_question(draw: Draw) -> Chat:
    return longprompts.story_question(draw, draw.number(200, 700))


def _long_story(draw: Draw) -> Chat:
    return story(draw, 150, 500)


# Share of chats, not of tokens: sums are short, tool chats are long.
SHORT_MIX: Mapping[Maker, float] = {
    extraction: 22,
    tangle: 5,
    quoting: 5,
    repeating: 9,
    tool_calls: 7,
    addition: 23,
    sums: 4,
    counting: 24,
    low_counts: 16,
    short_counts: 10,
    next_steps: 14,
    spelling: 5,
    sorting: 6,
    story: 2,
    essay: 1.4,
    small_talk: 3,
    definition: 3,
    _short_topics: 0.6,
    _short_needle: 0.6,
    _short_story_question: 0.4,
}
LONG_MIX: Mapping[Maker, float] = {
    _long_topics: 5,
    _long_needle: 2,
    _long_story_question: 1,
    _long_story: 1,
    tool_calls: 4,
    extraction: 4,
    addition: 3,
    counting: 1,
    sorting: 1,
    spelling: 1,
    small_talk: 1,
    definition: 1,
}


class Span(NamedTuple):
    """A piece of a rendered chat. is_learnt: whether the loss counts its tokens."""

    text: str
    is_learnt: bool


# Loss per learnt token; 1 where a task is not named.
LOSS_WEIGHT: Mapping[str, float] = {
    "stories": 0.4,
    "essays": 0.4,
    "long topics": 0.4,
    "addition": 3.0,
    "sums": 1.5,
    "counting": 1.5,
    "low counts": 1.5,
    "short counts": 2.0,
    "next steps": 2.0,
    "sorting": 1.5,
    "needle": 3.0,
    "story questions": 3.0,
}


def system_text(chat: Chat) -> str | None:
    """The system turn: the given one, and the tools below it. None: no system turn at all."""
    given = next((m.content for m in chat.messages if m.role == "system"), None)
    if not chat.tools:
        return given
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in chat.tools)
    opening = given if given is not None else "You are a helpful assistant."
    return (
        f"{opening}\n\nYou may call these functions:\n<tools>\n{listed}\n</tools>\n"
        'To call one, answer <tool_call>{"name": ..., "arguments": ...}</tool_call>'
    )


def call_text(calls: Sequence[tuple[str, Mapping[str, object]]]) -> str:
    """Tool calls as the assistant writes them, one a line."""
    written = [json.dumps({"name": n, "arguments": a}, ensure_ascii=False) for n, a in calls]
    return "\n".join(f"<tool_call>{w}</tool_call>" for w in written)


def answer_text(message: Message) -> str:
    """What an assistant turn holds between its markers."""
    calls = call_text(message.calls)
    return message.content + ("\n" if calls and message.content else "") + calls


def render(chat: Chat) -> list[Span]:
    """ChatML, as the chat template of tokenizer_config.json writes it."""
    spans: list[Span] = []
    system = system_text(chat)
    if system is not None:
        spans.append(Span(f"<|im_start|>system\n{system}<|im_end|>\n", False))
    for message in chat.messages:
        if message.role == "assistant":
            spans.append(Span("<|im_start|>assistant\n", False))
            spans.append(Span(answer_text(message) + "<|im_end|>", True))
            spans.append(Span("\n", False))
        elif message.role != "system":
            spans.append(Span(f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n", False))
    return spans


def draw_chat(draw: Draw, mix: Mapping[Maker, float]) -> Chat:
    """One chat of the mixture; a seventh get a plain system prompt."""
    maker = draw.rng.choices(list(mix), weights=list(mix.values()))[0]
    made = maker(draw)
    return with_system(draw, made) if not made.tools and draw.chance(0.15) else made


def prompts(task: str, count: int, seed: int) -> list[Chat]:
    """Held-out chats of one task. task: a name in TASKS."""
    draw = Draw(seed, held_out=True)
    return [TASKS[task](draw) for _ in range(count)]


TASKS: Mapping[str, Maker] = {
    "tool calls": tool_calls,
    "extraction": extraction,
    "counting": counting,
    "addition": addition,
    "sorting": sorting,
    "spelling": spelling,
    "repeating": repeating,
    "definitions": definition,
    "small talk": small_talk,
    "stories": story,
    "essays": essay,
    "long topics": _long_topics,
    "needle in 100-700 words": _long_needle,
    "story questions": _long_story_question,
}


def marker_id(tokenizer: Tokenizer, marker: str) -> int:
    """The id of a marker. Raises ValueError when the tokenizer lacks it."""
    found: int | None = tokenizer.token_to_id(marker)
    if found is None:
        raise ValueError(f"the tokenizer has no {marker}")
    return found


class Packer:
    """Rows of exactly `length` + 1 tokens, each with its loss weight (0: not learnt).

    A row starts with a fresh chat; its last chat is cut at the end. Chats of a row follow each
    other like turns of one conversation, or (half the time) with an <|endoftext|> between.
    """

    def __init__(self, tokenizer: Tokenizer, seed: int | str, held_out: bool = False) -> None:
        self.tokenizer = tokenizer
        self.draw = Draw(seed, held_out)
        self.separator = marker_id(tokenizer, "<|endoftext|>")

    def encode(self, chat: Chat) -> tuple[list[int], list[float]]:
        """Token ids of one chat and their loss weights."""
        ids: list[int] = []
        weights: list[float] = []
        weight = LOSS_WEIGHT.get(chat.task, 1.0)
        for span in render(chat):
            piece = self.tokenizer.encode(span.text, add_special_tokens=False).ids
            ids += piece
            weights += [weight if span.is_learnt else 0.0] * len(piece)
        return ids, weights

    def row(self, length: int, mix: Mapping[Maker, float]) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) <= length:
            more, weight = self.encode(draw_chat(self.draw, mix))
            ids += more
            weights += weight
            if self.draw.chance(0.5):
                ids.append(self.separator)
                weights.append(0.0)
        return ids[: length + 1], weights[: length + 1]

    def batch(
        self, rows: int, length: int, mix: Mapping[Maker, float]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """ids [rows, length + 1] and loss weights [rows, length + 1]."""
        drawn = [self.row(length, mix) for _ in range(rows)]
        ids = np.array([i for i, _ in drawn], dtype=np.int64)
        return ids, np.array([w for _, w in drawn], dtype=np.float32)

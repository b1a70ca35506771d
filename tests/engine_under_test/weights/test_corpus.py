"""The corpus is the same for a seed, and no held-out value can enter training."""

from __future__ import annotations

import json
import re

import pytest

from engine_under_test.weights.corpus import LONG_MIX, SHORT_MIX, TASKS, Packer, draw_chat, render
from engine_under_test.weights.draw import Chat, Draw, is_held_out
from engine_under_test.weights.vocabulary import build
from engine_under_test.weights.words import pseudo_word


def _chats(task: str, seed: int, held_out: bool, count: int = 40) -> list[Chat]:
    draw = Draw(seed, held_out)
    return [TASKS[task](draw) for _ in range(count)]


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_gives_the_same_chats(task: str) -> None:
    assert _chats(task, 7, False, 5) == _chats(task, 7, False, 5)
    assert _chats(task, 7, False, 5) != _chats(task, 8, False, 5)


@pytest.mark.parametrize("task", ["addition", "sorting", "counting", "extraction"])
def test_held_out_questions_never_occur_in_training(task: str) -> None:
    trained = {c.messages[-2].content for c in _chats(task, 1, False, 3000)}
    asked = {c.messages[-2].content for c in _chats(task, 2, True, 300)}
    assert not trained & asked


def test_the_split_is_by_value_not_by_seed() -> None:
    for held_out in (False, True):
        draw = Draw(3, held_out)
        assert all(is_held_out(pseudo_word(draw)) == held_out for _ in range(200))
        for chat in _chats("addition", 3, held_out):
            a, b = re.findall(r"\d+", chat.messages[0].content)
            assert is_held_out(f"{a}+{b}") == held_out
            assert chat.messages[1].content == str(int(a) + int(b))


def test_about_a_tenth_of_sums_is_held_out() -> None:
    held = sum(is_held_out(f"{a}+{b}") for a in range(100) for b in range(100))
    assert 900 < held < 1150  # 26 of 256 first bytes leave 0 modulo ten


def test_tool_arguments_stand_in_the_request() -> None:
    for chat in _chats("tool calls", 5, False, 100):
        said = " ".join(m.content for m in chat.messages if m.role == "user")
        offered = {t["function"]["name"] for t in chat.tools}  # type: ignore[index]
        for message in chat.messages:
            for name, arguments in message.calls:
                assert name in offered
                assert all(str(value) in said for value in arguments.values())


def test_extracted_json_stands_in_the_prompt() -> None:
    for chat in _chats("extraction", 5, False, 100):
        values = json.loads(chat.messages[1].content).values()
        assert all(str(value) in chat.messages[0].content for value in values)


def test_stories_vary() -> None:
    texts = [c.messages[1].content for c in _chats("stories", 1, False, 200)]
    sentences = {s for t in texts for s in re.split(r"(?<=[.!?]) ", t)}
    assert len(set(texts)) == 200
    assert len(sentences) > 1200


def test_rows_are_full_and_learn_answers_only() -> None:
    tokenizer = build(num_chats=300)
    ids, weights = Packer(tokenizer, 1).batch(2, 256, SHORT_MIX)
    assert ids.shape == weights.shape == (2, 257)
    assert 0.1 < (weights > 0).mean() < 0.8
    chat = TASKS["addition"](Draw(1))
    encoded, weight = Packer(tokenizer, 1).encode(chat)
    learnt = [i for i, w in zip(encoded, weight, strict=True) if w]
    text = tokenizer.decode(learnt, skip_special_tokens=False)
    assert text == chat.messages[1].content + "<|im_end|>"


def test_long_rows_hold_long_chats() -> None:
    draw = Draw(1)
    lengths = [sum(len(s.text) for s in render(draw_chat(draw, LONG_MIX))) for _ in range(200)]
    assert max(lengths) > 4000

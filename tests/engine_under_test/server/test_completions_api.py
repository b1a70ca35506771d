"""Text completions: every form of prompt, in order, with the old shape of log-probabilities."""

from __future__ import annotations

from typing import Any

import openai
import pytest


def test_text_and_token_ids_are_the_same_prompt(server: Any) -> None:
    by_text = server.complete(prompt="Once")
    by_ids = server.complete(prompt=server.state.tokenizer.encode("Once"))
    assert by_text.choices[0].text == by_ids.choices[0].text
    assert by_text.usage == by_ids.usage
    assert by_text.object == "text_completion"


def test_many_prompts_and_choices_come_prompts_first(server: Any) -> None:
    alone = [server.complete(prompt=p, n=2) for p in ("Once", "Twice upon")]
    both = server.complete(prompt=["Once", "Twice upon"], n=2)
    expected = [c.text for answer in alone for c in answer.choices]
    assert [c.text for c in both.choices] == expected
    assert [c.index for c in both.choices] == [0, 1, 2, 3]
    assert both.usage.prompt_tokens == sum(a.usage.prompt_tokens for a in alone)
    assert both.usage.completion_tokens == 32


def test_lists_of_ids_are_many_prompts(server: Any) -> None:
    encode = server.state.tokenizer.encode
    by_ids = server.complete(prompt=[encode("Once"), encode("Twice upon")])
    by_text = server.complete(prompt=["Once", "Twice upon"])
    assert [c.text for c in by_ids.choices] == [c.text for c in by_text.choices]


def test_a_stream_of_several_choices_adds_up(server: Any) -> None:
    whole = server.complete(n=2)
    texts = ["", ""]
    for chunk in server.complete(n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [c.text for c in whole.choices]


def test_logprobs_are_parallel_lists(server: Any) -> None:
    choice = server.complete(logprobs=2, temperature=0.0).choices[0]
    rows = choice.logprobs
    assert len(rows.tokens) == len(rows.token_logprobs) == len(rows.top_logprobs) == 8
    assert rows.text_offset[0] == 0
    for token, value, top in zip(rows.tokens, rows.token_logprobs, rows.top_logprobs, strict=True):
        assert top[token] == pytest.approx(value)


def test_default_length_is_sixteen(server: Any) -> None:
    assert server.complete(max_tokens=None).usage.completion_tokens == 16


def test_text_offsets_run_on_over_the_chunks_of_each_choice(server: Any) -> None:
    whole = server.complete(logprobs=20, n=2)
    for choice in whole.choices:
        rows = choice.logprobs
        assert all(20 <= len(top) <= 21 for top in rows.top_logprobs)
        assert rows.text_offset[0] == 0
        for at, token in zip(rows.text_offset, rows.tokens, strict=True):
            # Half a character has no text of its own; broken, it shows before the next token.
            shown = choice.text[at:].lstrip("\ufffd")
            assert token.startswith("bytes:") or shown.startswith(token)
    offsets: dict[int, list[int]] = {0: [], 1: []}
    for chunk in server.complete(logprobs=20, n=2, stream=True):
        for choice in chunk.choices:
            offsets[choice.index] += choice.logprobs.text_offset if choice.logprobs else []
    assert list(offsets.values()) == [c.logprobs.text_offset for c in whole.choices]


@pytest.mark.parametrize("is_streaming", [False, True])
def test_echo_returns_each_prompt_before_its_answers(server: Any, is_streaming: bool) -> None:
    encode = server.state.tokenizer.encode
    for prompt in ("Once", ["Once", "Zwölf <|im_end|> x"], [encode("Once"), encode("Zwei")]):
        plain = [c.text for c in server.complete(prompt=prompt, n=2).choices]
        echo = server.complete(prompt=prompt, n=2, echo=True, stream=is_streaming)
        texts = [""] * len(plain)
        for part in echo if is_streaming else [echo]:
            for choice in part.choices:
                texts[choice.index] += choice.text
        asked = [prompt] if isinstance(prompt, str) else prompt
        words = [p if isinstance(p, str) else server.state.tokenizer.decode(p) for p in asked]
        assert texts == [words[n // 2] + text for n, text in enumerate(plain)]
    with pytest.raises(openai.BadRequestError, match="'echo' with 'logprobs'"):
        server.complete(echo=True, logprobs=1)

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


@pytest.mark.parametrize("is_streaming", [False, True])
def test_echo_with_logprobs_scores_the_prompt_too(server: Any, is_streaming: bool) -> None:
    prompt = "Once <|im_end|> upon Zwölf"
    ids = server.state.tokenizer.encode(prompt)
    fields = {"prompt": prompt, "logprobs": 3, "n": 2, "max_tokens": 5}
    plain = server.complete(**fields)
    echoed = server.complete(**fields, echo=True, stream=is_streaming)
    rows: list[dict[str, list[Any]]] = [{}, {}]
    texts = ["", ""]
    for part in echoed if is_streaming else [echoed]:
        for choice in part.choices:
            texts[choice.index] += choice.text
            for name, values in (choice.logprobs.model_dump() if choice.logprobs else {}).items():
                rows[choice.index].setdefault(name, []).extend(values)
    for choice, found, text in zip(plain.choices, rows, texts, strict=True):
        num = len(ids)
        assert text == prompt + choice.text
        assert found["tokens"][num:] == choice.logprobs.tokens
        assert found["token_logprobs"][num:] == pytest.approx(choice.logprobs.token_logprobs)
        assert found["text_offset"][num:] == [len(prompt) + n for n in choice.logprobs.text_offset]
        # Nothing foretells the first token; every other has its own among the likeliest.
        assert (found["token_logprobs"][0], found["top_logprobs"][0]) == (None, None)
        at = found["text_offset"]
        for n in range(1, num):
            assert found["top_logprobs"][n][found["tokens"][n]] == found["token_logprobs"][n]
            assert found["token_logprobs"][n] < 0
            if not found["tokens"][n].startswith("bytes:"):
                assert text[at[n] :].startswith(found["tokens"][n])
    assert "<|im_end|>" in rows[0]["tokens"]


def test_the_prompt_alone_can_be_scored(server: Any) -> None:
    """What evaluation harnesses ask: no token of answer."""
    both = server.complete(prompt="Once upon", echo=True, logprobs=0, max_tokens=4)
    for fields in ({}, {"stream": True}):
        parts = server.complete(prompt="Once upon", echo=True, logprobs=0, max_tokens=0, **fields)
        (choice,) = [c for p in (parts if fields else [parts]) for c in p.choices]
        assert (choice.text, choice.finish_reason) == ("Once upon", "length")
        assert choice.logprobs.tokens == list("Once upon")
        assert choice.logprobs.token_logprobs == both.choices[0].logprobs.token_logprobs[:9]
    assert parts is not both
    bare = server.complete(prompt="Once upon", echo=True, max_tokens=0)
    assert (bare.choices[0].text, bare.choices[0].logprobs) == ("Once upon", None)
    assert (bare.usage.completion_tokens, bare.usage.prompt_tokens) == (0, 9)
    with pytest.raises(openai.BadRequestError, match="needs 'echo'"):
        server.complete(prompt="Once", max_tokens=0)


def test_a_prompt_in_the_cache_is_scored_all_the_same(server: Any) -> None:
    prompt = "A prompt of more than two blocks, so that the prefix cache would have it."
    fields = {"prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": 1}
    first, again = (server.complete(**fields) for _ in range(2))
    assert first.choices[0].logprobs == again.choices[0].logprobs
    assert again.usage.prompt_tokens_details.cached_tokens == 0
    server.complete(prompt=prompt, max_tokens=1)
    assert server.complete(prompt=prompt).usage.prompt_tokens_details.cached_tokens > 0

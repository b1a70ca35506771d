"""Chat completions as the official client sees them, against the real engine."""

from __future__ import annotations

from typing import Any

import pytest

USER = [{"role": "user", "content": "Tell me a tale"}]


def _text(chunks: list[Any], index: int = 0) -> str:
    return "".join(
        c.choices[0].delta.content or ""
        for c in chunks
        if c.choices and c.choices[0].index == index
    )


def _prompt_tokens(server: Any, messages: list[dict[str, Any]]) -> int:
    tokenizer = server.state.tokenizer
    return len(tokenizer.encode(tokenizer.chat_template.render(messages)))


def test_usage_is_exact(server: Any) -> None:
    answer = server.chat()
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens == _prompt_tokens(server, USER)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.role == "assistant"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_stream_says_what_the_whole_answer_says(server: Any, temperature: float) -> None:
    whole = server.chat(temperature=temperature)
    chunks = list(server.chat(temperature=temperature, stream=True))
    assert _text(chunks) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks][-1] == "length"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    assert len({c.id for c in chunks}) == 1


def test_usage_comes_in_a_last_chunk_without_choices(server: Any) -> None:
    chunks = list(server.chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12
    assert all(c.usage is None and c.choices for c in chunks[:-1])


def test_continuous_usage_counts_every_step(server: Any) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(server.chat(stream=True, stream_options=options, temperature=2.0, max_tokens=30))
    counts = [c.usage.completion_tokens for c in chunks if c.usage]
    assert counts[-2:] == [30, 30]  # the last step, and the chunk without choices
    assert counts == sorted(counts)
    assert set(counts) == set(range(31))  # one token a step, and no step is skipped
    opening = chunks[0]
    assert opening.choices[0].delta.role == "assistant"
    assert opening.usage.completion_tokens == 0
    assert (
        opening.usage.prompt_tokens == opening.usage.total_tokens == chunks[-1].usage.prompt_tokens
    )


def test_choices_draw_apart_and_the_first_is_what_one_would_have_been(server: Any) -> None:
    one = server.chat()
    three = server.chat(n=3)
    texts = [c.message.content for c in three.choices]
    assert [c.index for c in three.choices] == [0, 1, 2]
    assert texts[0] == one.choices[0].message.content
    assert len(set(texts)) == 3
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    assert three.usage.completion_tokens == 36
    streamed = list(server.chat(n=3, stream=True))
    assert [_text(streamed, i) for i in range(3)] == texts


def test_a_stop_string_ends_the_answer_and_the_count(server: Any) -> None:
    free = server.chat(temperature=0.0, max_tokens=40).choices[0].message.content
    stop = free[10:14]  # spans tokens: random weights speak in pieces of one to four characters
    at = free.index(stop)
    for stream in (False, True):
        answer = server.chat(
            temperature=0.0,
            max_tokens=40,
            stop=[stop],
            stream=stream,
            extra_headers={"x-harness-timings": "1"},
            **({"stream_options": {"include_usage": True}} if stream else {}),
        )
        chunks = list(answer) if stream else []
        text = _text(chunks) if stream else answer.choices[0].message.content
        last = chunks[-1] if stream else answer
        reason = chunks[-2].choices[0] if stream else answer.choices[0]
        assert text == free[:at]
        assert (reason.finish_reason, reason.stop_reason) == ("stop", stop)
        # The counted tokens are just enough to spell the stop string, and no more.
        count = last.usage.completion_tokens
        fewer = server.chat(temperature=0.0, max_tokens=count - 1).choices[0].message.content
        enough = server.chat(temperature=0.0, max_tokens=count).choices[0].message.content
        assert stop in enough
        assert stop not in fewer
        assert last.timings["output_tokens"] == count
        assert last.timings["wasted_tokens"] >= 0


def test_min_tokens_holds_a_stop_string_off(server: Any) -> None:
    free = server.chat(temperature=0.0).choices[0].message.content
    answer = server.chat(temperature=0.0, stop=free[:1], extra_body={"min_tokens": 6})
    assert answer.usage.completion_tokens >= 6
    assert server.chat(temperature=0.0, stop=free[:1]).usage.completion_tokens == 1


def test_stop_token_ids_are_counted_and_not_shown(server: Any) -> None:
    rows = server.chat(temperature=0.0, logprobs=True).choices[0].logprobs.content
    texts = [row.token for row in rows]
    target = next(n for n, t in enumerate(texts) if t.startswith(" ") and t not in texts[:n])
    stop_id = int(texts[target], 16)  # an id outside the byte vocabulary prints as its number
    answer = server.chat(temperature=0.0, extra_body={"stop_token_ids": [stop_id]})
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].stop_reason == stop_id
    assert answer.usage.completion_tokens == target + 1
    assert answer.choices[0].message.content == "".join(texts[:target])


def test_logprobs_belong_to_the_tokens_shown(server: Any) -> None:
    whole = server.chat(temperature=0.0, logprobs=True, top_logprobs=3).choices[0]
    assert len(whole.logprobs.content) == 12
    for row in whole.logprobs.content:
        assert len(row.top_logprobs) == 3
        assert row.logprob == pytest.approx(row.top_logprobs[0].logprob)  # greedy took the best
        assert row.logprob <= 0
    chunks = list(server.chat(temperature=0.0, logprobs=True, top_logprobs=3, stream=True))
    streamed = [r for c in chunks if c.choices[0].logprobs for r in c.choices[0].logprobs.content]
    assert [r.token for r in streamed] == [r.token for r in whole.logprobs.content]


def test_a_repeated_prompt_is_found_in_the_cache(server: Any) -> None:
    messages = [{"role": "user", "content": "a prompt long enough to fill several blocks " * 2}]
    first = server.chat(messages=messages, extra_body={"cache_salt": "one"})
    again = server.chat(messages=messages, extra_body={"cache_salt": "one"})
    other = server.chat(messages=messages, extra_body={"cache_salt": "two"})
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    cached = again.usage.prompt_tokens_details.cached_tokens
    assert 0 < cached < again.usage.prompt_tokens
    assert cached % server.state.model.engine_config.block_size == 0
    assert other.usage.prompt_tokens_details.cached_tokens == 0


def test_text_parts_and_default_length(start: Any) -> None:
    server = start(max_model_len=64)
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    answer = server.chat(messages=[{"role": "user", "content": parts}], max_tokens=None)
    joined = [{"role": "user", "content": "one\ntwo"}]
    assert answer.usage.prompt_tokens == _prompt_tokens(server, joined)
    assert answer.usage.total_tokens == 64  # no limit given: whatever room the prompt leaves


def test_logit_bias_and_penalties_reach_the_sampler(server: Any) -> None:
    token = server.state.tokenizer.encode("x")[0]
    answer = server.chat(logit_bias={str(token): 100}, temperature=0.0)
    assert answer.choices[0].message.content == "x" * 12
    penalised = server.chat(logit_bias={str(token): 10}, temperature=0.0, frequency_penalty=2.0)
    assert "x" in penalised.choices[0].message.content
    assert penalised.choices[0].message.content != "x" * 12

"""Each field of the API does what it says, by the official client, against what the engine knows.

Fields with a test file of their own (stop, logprobs, tools, schemas, usage) are not repeated.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import openai
import pytest


def text(answer: Any, n: int = 0) -> str:
    return str(answer.choices[n].message.content)


def more(**fields: Any) -> dict[str, Any]:
    return {"extra_body": fields}


def test_seed_repeats_and_differs(server: Any) -> None:
    assert text(server.chat(seed=5)) == text(server.chat(seed=5))
    assert text(server.chat(seed=5)) != text(server.chat(seed=6))
    assert text(server.chat(seed=None)) != text(server.chat(seed=None))
    assert text(server.chat(seed=-1)) == text(server.chat(seed=-1))


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"top_p": 1e-9},
        more(top_k=1),
        more(min_p=1.0),
        {"temperature": 0.0, "top_p": 0.5},
    ],
)
def test_whatever_leaves_one_token_is_greedy(server: Any, fields: dict[str, Any]) -> None:
    greedy = server.chat(temperature=0.0)
    assert text(server.chat(**fields, seed=99)) == text(greedy)


@pytest.mark.parametrize(
    "fields",
    [more(top_k=-1), more(top_k=0), more(top_k=10**9), more(min_p=0.0), {"top_p": 1.0}],
)
def test_neutral_filters_change_nothing(server: Any, fields: dict[str, Any]) -> None:
    assert text(server.chat(**fields)) == text(server.chat())


def test_logit_bias_forces_and_bans(server: Any) -> None:
    a, b = server.state.tokenizer.encode("ab")
    assert text(server.chat(logit_bias={str(a): 100})) == "a" * 12
    both = text(server.chat(logit_bias={str(a): 100, str(b): 100}, max_tokens=40))
    assert set(both) == {"a", "b"}
    without = text(server.chat(logit_bias={str(a): -100, str(b): 100}))
    assert without == "b" * 12


@pytest.mark.parametrize(
    "fields", [{"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, more(repetition_penalty=10.0)]
)
def test_each_penalty_drives_the_model_from_what_it_said(
    server: Any, fields: dict[str, Any]
) -> None:
    q, z = server.state.tokenizer.encode("qz")  # letters the prompt does not have
    bias = {str(q): 50, str(z): 50}  # greedy: one of them for ever, but for the penalty
    assert len(set(text(server.chat(temperature=0, logit_bias=bias)))) == 1
    assert set(text(server.chat(temperature=0, logit_bias=bias, **fields))) == {"q", "z"}


def test_length_limits_by_either_name(server: Any) -> None:
    new = server.chat(max_tokens=None, max_completion_tokens=5)
    assert (new.usage.completion_tokens, new.choices[0].finish_reason) == (5, "length")
    both = server.chat(max_tokens=9, max_completion_tokens=5)
    assert both.usage.completion_tokens == 5, "the newer name wins"


def test_ignore_eos_and_min_tokens(tiny: Any) -> None:
    def ask(**fields: Any) -> Any:
        return tiny.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "What is 12 plus 5?"}],
            temperature=0,
            max_tokens=40,
            **fields,
        )

    free = ask()
    assert free.choices[0].finish_reason == "stop"
    length = free.usage.completion_tokens
    assert length < 30
    forced = ask(**more(ignore_eos=True))
    assert (forced.usage.completion_tokens, forced.choices[0].finish_reason) == (40, "length")
    assert text(forced).startswith(text(free))
    longer = ask(**more(min_tokens=length + 3))
    assert longer.usage.completion_tokens >= length + 3
    assert text(longer).startswith(text(free))


def test_priority_decides_who_waits(start: Any, slow: Path) -> None:
    """One row; while it is taken, the later but more urgent of two overtakes."""
    server = start(max_num_seqs=1, fault_plan=slow)
    running = server.complete(max_tokens=1500, stream=True)
    next(iter(running))
    begun_ns: dict[str, int] = {}

    def ask(name: str, priority: int) -> None:
        body = {"prompt": "Once", "max_tokens": 1, "priority": priority}
        reply = server.request("POST", "/v1/completions", body, x_harness_timings="1")
        begun_ns[name] = reply.json["timings"]["scheduled_ns"]

    threads = []
    for n, (name, priority) in enumerate([("low", 5), ("urgent", -5)]):
        threads.append(threading.Thread(target=ask, args=(name, priority)))
        threads[-1].start()
        server.wait_until(lambda n=n: server.metric("vllm:num_requests_waiting") == n + 1)
    running.close()
    for thread in threads:
        thread.join(120)
    assert begun_ns["urgent"] < begun_ns["low"]


def test_logprobs_up_to_twenty_and_no_more(server: Any) -> None:
    for n in (0, 20):
        choice = server.chat(logprobs=True, top_logprobs=n).choices[0]
        for row in choice.logprobs.content:
            values = [top.logprob for top in row.top_logprobs]
            assert len(values) == n
            assert values == sorted(values, reverse=True)
            assert bytes(row.bytes).decode("utf-8", "replace") == row.token
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        server.chat(logprobs=True, top_logprobs=21)
    with pytest.raises(openai.BadRequestError, match="logprobs"):
        server.complete(logprobs=21)
    assert server.chat().choices[0].logprobs is None


@pytest.mark.parametrize("name", ["guided_json", "suffix", "best_of", "bad_words", "chat_template"])
def test_what_is_known_and_not_served_is_named(server: Any, name: str) -> None:
    for path, prompt in (("chat/completions", "messages"), ("completions", "prompt")):
        body = {prompt: [{"role": "user", "content": "x"}] if prompt == "messages" else "x"}
        reply = server.request("POST", f"/v1/{path}", {**body, name: ["x"]})
        assert (reply.status, reply.json["error"]["param"]) == (400, name)
        assert reply.json["error"]["code"] == "unsupported_parameter"

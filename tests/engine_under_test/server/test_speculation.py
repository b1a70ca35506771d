"""Speculation as a client sees it: the same answers, the counters, and the label of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import engine_under_test
from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.generate import generate
from engine_under_test.request import SamplingParams
from engine_under_test.server.build import ServerOptions, build, find_model
from engine_under_test.spec_config import SpecConfig

WEIGHTS = Path(engine_under_test.__file__).parent / "weights"
LOOP: dict[str, Any] = {"prompt": "abcabcabcabc", "max_tokens": 40, "seed": 7}
NGRAM = SpecConfig("ngram", 3, ngram_min=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"temperature": 1, "top_p": 0.5, "n": 3},
        {"temperature": 0.2, "presence_penalty": 1.0, "logprobs": 2},
        {"temperature": 0, "stream": True},
        {"temperature": 0, "stop": ["#"], "extra_body": {"min_tokens": 5}},
    ],
)
def test_answers_are_those_without_speculation(
    server: Any, start: Any, fields: dict[str, Any]
) -> None:
    def answer(of: Any) -> list[tuple[str, str | None]]:
        got = of.complete(**{**LOOP, **fields})
        if "stream" not in fields:
            return [(c.text, c.finish_reason) for c in got.choices]
        return [("".join(c.choices[0].text for c in got if c.choices), None)]

    other = start(num_blocks=256, dtype="float64", spec=NGRAM)
    assert answer(other) == answer(server)
    assert other.metric("vllm:spec_decode_num_draft_tokens_total") > 0


def test_a_stop_string_inside_accepted_drafts_ends_the_answer_there(start: Any) -> None:
    """Tokens of the same step behind it are wasted, not shown and not billed."""
    server = start(num_blocks=256, dtype="float64", spec=SpecConfig("ngram", 7, ngram_min=1))
    forced = {"logit_bias": {"97": 100}, "temperature": 0, "prompt": "aaaa", "max_tokens": 64}
    whole = server.complete(**forced).choices[0].text
    assert whole == "a" * 64
    body = {**forced, "stop": "a" * 11, "model": "debug"}
    reply = server.request("POST", "/v1/completions", body, x_harness_timings="1").json
    assert reply["choices"][0]["text"] == ""
    assert reply["usage"]["completion_tokens"] == 11
    assert reply["timings"]["output_tokens"] == 11
    server.wait_until(lambda: server.state.engine.num_live == 0)


def test_metrics_and_timings_tell_of_acceptance_by_place(start: Any) -> None:
    server = start(num_blocks=256, spec=NGRAM)
    forced = {"logit_bias": {"97": 100}, "temperature": 0, "prompt": "aaaa", "max_tokens": 21}
    body = {**forced, "model": "debug"}
    reply = server.request("POST", "/v1/completions", body, x_harness_timings="1")
    told = reply.json["timings"]
    # One token from the prompt, then five steps of four: three drafts and one of its own.
    assert (told["drafted_tokens"], told["accepted_tokens"]) == (15, 15)
    assert (told["accepted_per_pos"], told["decode_steps"]) == ([5, 5, 5], 5)
    for name, value in (("drafts", 5), ("draft_tokens", 15), ("accepted_tokens", 15)):
        assert server.metric(f"vllm:spec_decode_num_{name}_total") == value
    assert server.metric("vllm:spec_decode_num_accepted_tokens_per_pos_total") == 15
    assert 'position="2"' in server.request("GET", "/metrics").body.decode()
    assert told["net_speedup"] is None, "five steps, and no control among them"
    assert server.metric("engine:synthetic_acceptance_active") == 0
    assert "x-harness-synthetic-acceptance" not in reply.headers


def test_the_net_speed_up_is_told_by_engine_and_request(start: Any) -> None:
    server = start(num_blocks=256, spec=NGRAM)
    forced = {"logit_bias": {"97": 100}, "temperature": 0, "prompt": "aaaa", "max_tokens": 400}
    body = {**forced, "model": "debug"}
    reply = server.request("POST", "/v1/completions", body, x_harness_timings="1")
    told = [server.metric(f"engine:spec_decode_net_speedup{end}") for end in ("_low", "", "_high")]
    assert 0 < told[0] <= told[1] <= told[2]
    assert server.metric("engine:spec_decode_control_steps") >= 3
    assert server.metric("engine:spec_decode_compared_tokens") > 64
    # How large it is, is the machine's affair; that a request is told its own is ours.
    assert reply.json["timings"]["net_speedup"] > 0


def test_an_engine_without_speculation_has_no_such_counters(server: Any) -> None:
    assert b"spec_decode" not in server.request("GET", "/metrics").body


def test_synthetic_acceptance_is_labelled_wherever_one_looks(start: Any) -> None:
    server = start(num_blocks=256, spec=SpecConfig("ngram", 3, synthetic_rates=(0.75, 0.5)))
    reply = server.request("POST", "/v1/completions", {**LOOP, "model": "debug"})
    assert reply.headers["x-harness-synthetic-acceptance"] == "0.75,0.5"
    model = server.request("GET", "/v1/models").json["data"][0]["engine"]
    assert "synthetic draft acceptance 0.75,0.5" in model["label"]
    assert model["flags"]["spec"]["synthetic_rates"] == [0.75, 0.5]
    assert server.metric("engine:synthetic_acceptance_active") == 1
    refused = server.request("POST", "/v1/completions", {**LOOP, "model": "debug", "logprobs": 1})
    assert refused.status == 400
    assert "synthetic acceptance" in refused.json["error"]["message"]


def test_the_shipped_pair_is_served_and_agrees_often() -> None:
    source = find_model("tiny")
    spec = SpecConfig("draft", 3, draft_dir=WEIGHTS / "tiny-draft")
    config = EngineConfig(model_dir=source.directory, num_blocks=64, spec=spec)
    state = build(source, config, ServerOptions())
    told = state.model.describe()["engine"]
    assert (told["flags"]["spec"]["draft_dir"], told["label"]) == ("tiny-draft", "")
    core = EngineCore(config)
    text = "<|im_start|>user\nCount from 12 to 40.<|im_end|>\n<|im_start|>assistant\n"
    generate(core, [state.tokenizer.encode(text)], SamplingParams(60, temperature=0))
    stats = core.stats()
    assert stats.num_accepted_tokens > stats.num_draft_tokens / 2 > 10

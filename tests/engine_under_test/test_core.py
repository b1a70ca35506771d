"""The synchronous engine's edges: what it refuses, what it counts, what it promises servers."""

from __future__ import annotations

import time

import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.errors import QueueFull, RequestRefused
from engine_under_test.request import FinishReason, Request, RequestOutput, SamplingParams

GREEDY = SamplingParams(max_tokens=3, temperature=0)


def engine(**settings: int) -> EngineCore:
    return EngineCore(EngineConfig(shape="debug", **{"num_blocks": 64, **settings}))  # type: ignore[arg-type]


def drain(core: EngineCore) -> list[RequestOutput]:
    outputs = []
    while core.has_work:
        outputs += core.step()
    return outputs


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ([], GREEDY, "the prompt is empty"),
        ([512], GREEDY, "outside the vocabulary of 512"),
        ([-1], GREEDY, "outside the vocabulary"),
        ([1], SamplingParams(logit_bias=((600, 1.0),)), "outside the vocabulary"),
        ([1], SamplingParams(stop_token_ids=(600,)), "outside the vocabulary"),
        ([1] * 100, GREEDY, "context window of 100 is exceeded"),
        ([1] * 70, GREEDY, "exceeds the KV cache of 64"),
    ],
)
def test_what_can_never_be_served_is_refused(
    prompt: list[int], params: SamplingParams, message: str
) -> None:
    core = engine(max_model_len=100, num_blocks=5)
    with pytest.raises(RequestRefused, match=message):
        core.add(Request("r", prompt, params))
    assert not core.has_work


def test_a_used_id_and_a_full_queue_are_refused() -> None:
    core = engine(max_waiting=2)
    core.add(Request("a", [1], GREEDY))
    with pytest.raises(RequestRefused, match="id 'a' is in use"):
        core.add(Request("a", [1], GREEDY))
    core.add(Request("b", [1], GREEDY))
    with pytest.raises(QueueFull, match="2 requests wait already"):
        core.add(Request("c", [1], GREEDY))
    core.step()  # both run now, none waits
    core.add(Request("c", [1], GREEDY))
    assert {o.request_id for o in drain(core)} == {"a", "b", "c"}


def test_a_missing_seed_is_drawn_recorded_and_repeats_with_the_engine() -> None:
    def run() -> tuple[int | None, list[int]]:
        core = engine()
        r = Request("r", [1, 2, 3], SamplingParams(max_tokens=10))
        core.add(r)
        drain(core)
        return r.params.seed, r.token_ids

    seed, tokens = run()
    assert seed is not None
    assert run() == (seed, tokens)


def test_what_the_hook_sleeps_is_part_of_the_step_and_of_its_stamps() -> None:
    core = engine()
    left_ns: list[int] = []

    def hook(index: int, seconds: float) -> None:
        time.sleep(0.005)
        left_ns.append(time.monotonic_ns())

    core.step_hook = hook
    r = Request("r", [1, 2, 3], SamplingParams(max_tokens=1))
    core.add(r)
    drain(core)
    assert r.timings.first_ns >= left_ns[0]
    assert core.stats().last_step_s >= 0.005
    assert core.stats().last_scheduler_s < core.stats().last_step_s - 0.005


def test_outputs_timings_and_stats_reconcile() -> None:
    core = engine(max_num_seqs=4, max_num_batched_tokens=16)
    steps: list[tuple[int, float]] = []
    core.step_hook = lambda index, seconds: steps.append((index, seconds))
    requests = [Request(f"r{i}", [i] * 20, GREEDY) for i in range(6)]
    for r in requests:
        core.add(r)
    assert core.stats().num_waiting == 6
    outputs = drain(core)
    stats = core.stats()
    assert stats.num_generation_tokens == sum(len(o.new_token_ids) for o in outputs) == 18
    assert stats.num_prompt_tokens == stats.num_prefix_query_tokens == 120
    assert (stats.num_running, stats.num_waiting, stats.kv_usage_ratio) == (0, 0, 0)
    assert stats.num_steps == len(steps) == steps[-1][0] + 1
    assert 0 < stats.last_scheduler_s < stats.last_step_s
    assert 0 < steps[-1][1] < stats.last_step_s
    for r in requests:
        t = r.timings
        assert 0 < t.admitted_ns <= t.scheduled_ns <= t.first_ns <= t.last_ns
        (last,) = [o for o in outputs if o.request_id == r.request_id and o.finish_reason]
        assert last.timings is t
        assert last.finish_reason is FinishReason.LENGTH
    core.check_integrity()
    assert core.step() == []


def test_logprobs_arrive_with_their_tokens_only_where_asked() -> None:
    core = engine()
    core.add(Request("with", [1, 2], SamplingParams(max_tokens=4, temperature=0, logprobs=2)))
    core.add(Request("without", [1, 2], GREEDY))
    for out in drain(core):
        assert (out.logprobs is not None) == (out.request_id == "with")
        for token, logprob in zip(out.new_token_ids, out.logprobs or [], strict=False):
            assert (logprob.token_id, logprob.rank, len(logprob.top)) == (token, 1, 2)
            assert logprob.logprob == logprob.top[0][1] < 0


def test_identity() -> None:
    core = engine()
    assert (core.dtype_name, core.max_model_len, core.eos_ids) == ("float32", 2048, ())
    assert len(core.weights_digest) == 64
    assert core.weights_digest == engine().weights_digest

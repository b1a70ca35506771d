"""A step launched ahead: what waits for what, and what becomes of a request that ended meanwhile.

That tokens are the same with and without is the property of test_batching_is_invisible.
"""

from __future__ import annotations

from engine_under_test.config import EngineConfig
from engine_under_test.core import EngineCore
from engine_under_test.request import FinishReason, Request, SamplingParams

GREEDY = SamplingParams(max_tokens=6, temperature=0.0)


def engine(**settings: int | bool) -> EngineCore:
    return EngineCore(
        EngineConfig(shape="debug", seed=3, dtype="float64", overlap=True, **settings)  # type: ignore[arg-type]
    )


def test_outputs_come_one_step_later_and_all_of_them() -> None:
    core = engine()
    core.add(Request("a", [1, 2, 3], GREEDY))
    assert core.step() == []  # the prompt runs
    counts = []
    while core.has_work:
        counts.append([len(o.new_token_ids) for o in core.step()])
    # The last step is not one too many: that six tokens are all was known beforehand.
    assert counts == [[1]] * 6
    assert core._runner.num_ahead == 6


def test_a_request_that_ends_unforeseen_keeps_its_blocks_until_its_last_step_retires() -> None:
    core = engine()
    probe = Request("probe", [1, 2, 3], GREEDY)
    core.add(probe)
    while core.has_work:
        core.step()
    end = probe.token_ids[4]  # its second token, or the first one like it
    num_before_end = probe.token_ids[3:].index(end) + 1
    r = Request("a", [1, 2, 3], SamplingParams(50, temperature=0.0, stop_token_ids=(end,)))
    core.add(r)
    outputs = []
    while r.finish_reason is None:
        outputs += core.step()
    assert r.finish_reason is FinishReason.STOP
    assert sum(len(o.new_token_ids) for o in outputs) == num_before_end
    # The step behind it is running: the request is gone, its blocks are not.
    assert core.has_work
    assert core.stats().kv_usage_ratio > 0
    core.check_integrity()
    assert core.step() == []  # the garbage of that step is dropped
    assert not core.has_work
    assert core.stats().kv_usage_ratio == 0
    assert r.num_generated == num_before_end


def test_an_aborted_request_keeps_its_blocks_until_its_step_retires() -> None:
    core = engine()
    core.add(Request("a", [1, 2, 3], GREEDY))
    core.step()
    core.abort("a")
    assert core.stats().kv_usage_ratio > 0
    assert core.step() == []
    assert core.stats().kv_usage_ratio == 0
    assert not core.has_work


def test_no_request_fails_for_want_of_a_block_that_it_may_not_need() -> None:
    """Its second token ends it; the block of a third, which does not exist, is nobody's need."""
    probe = Request("probe", [1, 2, 3], SamplingParams(max_tokens=3, seed=5))
    roomy = engine()
    roomy.add(probe)
    while roomy.has_work:
        roomy.step()
    first, second = probe.token_ids[3:5]
    assert first != second
    core = engine(block_size=4, num_blocks=2, max_num_seqs=1)
    params = SamplingParams(max_tokens=9, seed=5, stop_token_ids=(second,))
    r = Request("a", [1, 2, 3], params)
    core.add(r)
    while core.has_work:
        core.step()
        core.check_integrity()
    assert r.finish_reason is FinishReason.STOP
    assert r.token_ids[3:] == [first, second]


def test_a_full_engine_admits_nobody_into_a_row_still_in_use() -> None:
    core = engine(max_num_seqs=1)
    core.add(Request("a", [1, 2, 3], SamplingParams(max_tokens=50, temperature=0.0)))
    core.add(Request("b", [4, 5], SamplingParams(max_tokens=3, temperature=0.0)))
    core.step()
    core.step()
    core.abort("a")
    tokens = []
    while core.has_work:
        tokens += [t for o in core.step() if o.request_id == "b" for t in o.new_token_ids]
        core.check_integrity()
    alone = engine()
    alone.add(Request("b", [4, 5], SamplingParams(max_tokens=3, temperature=0.0)))
    expected = []
    while alone.has_work:
        expected += [t for o in alone.step() for t in o.new_token_ids]
    assert tokens == expected


def test_a_penalty_waits_for_the_tokens_it_counts() -> None:
    core = engine()
    params = SamplingParams(max_tokens=4, temperature=0.0, repetition_penalty=1.5)
    core.add(Request("a", [1, 2, 3], params))
    counts = []
    while core.has_work:
        counts.append([len(o.new_token_ids) for o in core.step()])
    assert counts == [[1]] * 4
    assert core._runner.num_ahead == 0

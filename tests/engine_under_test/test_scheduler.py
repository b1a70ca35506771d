"""The scheduler's rules, one test each, against a runner of three lines and a counted clock."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest

from engine_under_test.kv_cache import KVCacheManager
from engine_under_test.plan import SampledTokens, SchedulerOutput
from engine_under_test.request import (
    FinishReason,
    Request,
    RequestOutput,
    RequestStatus,
    SamplingParams,
    per_position,
)
from engine_under_test.scheduler import Scheduler

BLOCK = 4
EOS = 99


class Clock:
    """One tick a call."""

    now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1
        return self.now_ns


class Wish:
    """A length policy that wants num_drafts for everyone, and remembers what it was told."""

    def __init__(self, num_drafts: int) -> None:
        self.wanted = num_drafts
        self.told: list[tuple[str, int, int, int]] = []

    def num_drafts(self, r: Request, num_seqs: int) -> int:
        return self.wanted

    def observe(self, r: Request, max_drafts: int, num_drafts: int, num_accepted: int) -> None:
        self.told.append((r.request_id, max_drafts, num_drafts, num_accepted))


def scheduler(num_blocks: int = 100, wish: Wish | None = None, **settings: int) -> Scheduler:
    limits = {"max_num_seqs": 8, "max_num_batched_tokens": 32, "max_model_len": 200, **settings}
    kv = KVCacheManager(num_blocks, BLOCK)
    return Scheduler(kv, eos_ids=(EOS,), clock_ns=Clock(), draft_lengths=wish, **limits)


def request(name: str, num_prompt: int = 4, max_tokens: int = 5, priority: int = 0) -> Request:
    prompt = [first_token(name) + i for i in range(num_prompt)]
    return Request(name, prompt, SamplingParams(max_tokens=max_tokens), priority=priority)


def first_token(name: str) -> int:
    """Prompts of different requests share nothing."""
    return 1000 * (zlib.crc32(name.encode()) % 1_000_000)


def draw(out: SchedulerOutput, token: int = 7) -> SampledTokens:
    return SampledTokens([[token] if seq.is_sampled else [] for seq in out.seqs])


def step(s: Scheduler, token: int = 7) -> tuple[dict[str, int], list[RequestOutput]]:
    """One step of a runner that always draws `token`: tokens computed by request, and outputs."""
    out = s.schedule()
    assert out is not None
    outputs = s.update(out, draw(out, token))
    s.kv.check_integrity()
    return {seq.request.request_id: seq.num_new for seq in out.seqs}, outputs


def drain(s: Scheduler, token: int = 7) -> dict[str, RequestOutput]:
    last: dict[str, RequestOutput] = {}
    while s.has_work:
        for output in step(s, token)[1]:
            last[output.request_id] = output
    return last


def test_running_goes_before_waiting_and_first_come_is_first_served() -> None:
    s = scheduler(max_num_batched_tokens=10)
    for name in "abc":
        s.add(request(name, 4))
    assert step(s)[0] == {"a": 4, "b": 4, "c": 2}
    s.add(request("d", 4))
    assert step(s)[0] == {"a": 1, "b": 1, "c": 2, "d": 4}


def test_lower_priority_numbers_are_admitted_first() -> None:
    s = scheduler(max_num_seqs=1)
    for name, priority in (("batch", 5), ("late", 0), ("urgent", -1)):
        s.add(request(name, 4, max_tokens=1, priority=priority))
    order = []
    while s.has_work:
        order += step(s)[0]
    assert order == ["urgent", "late", "batch"]


def test_a_chunk_is_bounded_by_need_threshold_and_budget_and_only_the_last_is_sampled() -> None:
    s = scheduler(max_num_batched_tokens=16, long_prefill_threshold=6)
    s.add(request("long", 15))
    s.add(request("other", 40))
    plans = []
    for _ in range(3):
        out = s.schedule()
        assert out is not None
        plans.append([(x.request.request_id, x.num_new, x.is_sampled) for x in out.seqs])
        s.update(out, draw(out))
    assert plans == [
        [("long", 6, False), ("other", 6, False)],
        [("long", 6, False), ("other", 6, False)],
        [("long", 3, True), ("other", 6, False)],
    ]


def test_the_newest_of_lowest_priority_is_preempted_and_the_step_admits_nobody() -> None:
    s = scheduler(num_blocks=9)  # eight usable blocks of four
    for name, priority, num_prompt in (("a", 0, 7), ("b", 0, 7), ("low", 1, 15)):
        s.add(request(name, num_prompt, max_tokens=12, priority=priority))
    assert step(s)[0] == {"a": 7, "b": 7, "low": 15}  # two, two and four blocks
    s.add(request("waiting", 1, max_tokens=1))
    step(s)
    out = s.schedule()  # a and b need a third block; low gives four, so two are left over
    assert out is not None
    assert (out.preempted_ids, out.released_ids) == (["low"], ["low"])
    assert {x.request.request_id for x in out.seqs} == {"a", "b"}
    assert s.kv.pool.num_free == 2
    s.update(out, draw(out))
    assert set(step(s)[0]) == {"a", "b", "waiting"}


def test_a_preempted_request_resumes_from_the_cache_and_keeps_its_tokens() -> None:
    s = scheduler(num_blocks=7)
    a, b = request("a", 9, max_tokens=8), request("b", 9, max_tokens=8)
    s.add(a)
    s.add(b)
    last = drain(s)
    assert b.timings.preemptions > 0
    assert a.timings.preemptions == 0
    assert b.timings.preempted_ns > 0
    assert b.token_ids[9:] == [7] * 8
    assert {name: out.finish_reason for name, out in last.items()} == {
        "a": FinishReason.LENGTH,
        "b": FinishReason.LENGTH,
    }
    # Resume was cheap: a's end freed blocks before b's own were all reused.
    assert s.counters.num_prefix_query_tokens == 18


def test_a_victim_already_scheduled_gives_its_budget_back() -> None:
    s = scheduler(num_blocks=5, max_num_batched_tokens=8)  # four usable blocks of four
    s.add(request("low", 5, max_tokens=9, priority=1))
    step(s)
    s.add(request("high", 7, max_tokens=9))
    assert step(s)[0] == {"low": 1, "high": 7}
    assert step(s)[0] == {"low": 1, "high": 1}
    out = s.schedule()  # low has a slot left and comes first; high then needs a third block
    assert out is not None
    assert out.preempted_ids == ["low"]
    assert [(x.request.request_id, x.num_new) for x in out.seqs] == [("high", 1)]
    assert out.num_tokens == 1
    s.update(out, draw(out))
    drain(s)


def test_admission_keeps_one_percent_of_blocks_free_but_not_from_a_lone_request() -> None:
    s = scheduler(num_blocks=201, max_num_batched_tokens=2000, max_model_len=2000)
    s.add(request("a", 4 * 150, max_tokens=1))
    s.add(request("b", 4 * 49, max_tokens=1))  # would leave 1 of 200; 2 are reserved
    assert set(step(s)[0]) == {"a"}
    assert set(step(s)[0]) == {"b"}
    s.add(request("c", 4 * 200, max_tokens=1))
    assert step(s)[0] == {"c": 800}


def test_max_tokens_is_not_reserved() -> None:
    s = scheduler(num_blocks=11)
    for name in "abcde":
        s.add(request(name, 4, max_tokens=100))
    assert len(step(s)[0]) == 5


def test_a_lone_request_that_outgrows_the_cache_fails_and_others_go_on() -> None:
    s = scheduler(num_blocks=4)
    s.add(request("big", 10, max_tokens=50))
    s.add(request("next", 4, max_tokens=2))
    last = drain(s)
    assert last["big"].finish_reason is FinishReason.ERROR
    assert "outgrew the KV cache" in last["big"].error
    assert last["next"].finish_reason is FinishReason.LENGTH
    assert s.kv.usage == 0


def test_rejected_drafts_are_not_computed_and_their_blocks_not_published() -> None:
    wish = Wish(4)
    s = scheduler(wish=wish)
    r = request("a", 6, max_tokens=50)
    s.add(r)
    step(s)
    out = s.schedule()
    assert out is not None
    assert (out.seqs[0].num_new, out.seqs[0].max_drafts) == (1, 4)
    out.seqs[0].put_drafts([1, 2, 3, 4])
    assert (out.seqs[0].num_new, out.num_tokens) == (5, 5)
    s.update(out, SampledTokens([[1, 50]]))  # one draft accepted, then the target's own token
    assert r.token_ids[6:] == [7, 1, 50]
    assert r.num_computed == r.num_tokens - 1 == 8
    assert r.draft_ids == []
    follower = Request("f", [*r.prompt_ids, 7, 1, 2, 3, 4, 5, 6], SamplingParams())
    assert s.kv.match_prefix(follower) == 8
    assert len(s.kv.pool.published) == 2
    assert wish.told == [("a", 4, 4, 1)]


def test_drafts_are_counted_by_verification_token_and_place() -> None:
    s = scheduler(wish=Wish(3))
    a, b = request("a", 4, max_tokens=50), request("b", 4, max_tokens=50)
    s.add(a)
    s.add(b)
    step(s)
    for num_a, num_b in ((3, 2), (1, 0)):
        out = s.schedule()
        assert out is not None
        out.seqs[0].put_drafts([1, 2, 3])
        out.seqs[1].put_drafts([4, 5][:num_b])  # fewer than there was room for, then none
        s.update(out, SampledTokens([[*[1, 2, 3][:num_a], 9], [*[4, 5][:num_b], 9]]))
    counters = s.counters
    assert (counters.num_drafts, counters.num_draft_tokens) == (3, 8)
    assert counters.num_accepted_tokens == 6
    assert per_position(counters.accepted_lengths) == [3, 2, 1]
    assert (a.timings.drafted_tokens, a.timings.accepted_tokens) == (6, 4)
    assert a.timings.accepted_per_pos == [2, 1, 1]
    assert (b.timings.drafted_tokens, b.timings.accepted_per_pos) == (2, [1, 1])
    assert (a.timings.prefill_steps, a.timings.decode_steps) == (1, 2)
    assert counters.num_generation_tokens == 2 + 4 + 3 + 2 + 1


def test_drafts_take_the_budget_that_is_left() -> None:
    s = scheduler(wish=Wish(5), max_num_batched_tokens=16)
    for name in "ab":
        s.add(request(name, 4, max_tokens=50))
    step(s)
    s.add(request("c", 8, max_tokens=50))
    out = s.schedule()
    assert out is not None
    granted = {x.request.request_id: (x.num_new, x.max_drafts) for x in out.seqs}
    # 16 - 1 - 1 - 8 leave six: five for a, one for b. A prompt's last chunk has no drafts.
    assert granted == {"a": (1, 5), "b": (1, 1), "c": (8, 0)}
    s.update(out, draw(out))


def test_no_draft_is_granted_that_could_not_be_output() -> None:
    s = scheduler(wish=Wish(9), max_model_len=14)
    short, full = request("short", 4, max_tokens=4), request("full", 8, max_tokens=50)
    s.add(short)
    s.add(full)
    step(s)
    out = s.schedule()
    assert out is not None
    # short: three tokens may come, two of them as drafts; full: 14 - 9 = 5 may come.
    assert [x.max_drafts for x in out.seqs] == [2, 4]
    s.update(out, draw(out))


def test_nobody_loses_a_block_for_a_draft() -> None:
    s = scheduler(num_blocks=5, wish=Wish(6))  # four usable blocks of four
    a, b = request("a", 6, max_tokens=50), request("b", 6, max_tokens=50)
    s.add(a)
    s.add(b)
    step(s)
    out = s.schedule()
    assert out is not None
    # Seven tokens are known and an eighth slot is there: one draft, and no block for more.
    assert [(x.num_new, x.max_drafts) for x in out.seqs] == [(1, 1), (1, 1)]
    assert out.preempted_ids == []
    s.update(out, draw(out))
    s.abort("b")
    out = s.schedule()
    assert out is not None
    assert (out.seqs[0].max_drafts, len(a.block_ids)) == (6, 4)
    s.update(out, draw(out))
    s.kv.check_integrity()


def test_a_request_that_ends_in_its_first_step_leaves_its_prompt_in_the_cache() -> None:
    s = scheduler()
    r = request("a", 9, max_tokens=1)
    s.add(r)
    drain(s)
    assert s.kv.match_prefix(Request("f", [*r.prompt_ids, 1], SamplingParams())) == 8


@pytest.mark.parametrize(
    ("params", "tokens", "expected"),
    [
        (SamplingParams(max_tokens=9), [1, EOS, 2], ([1, EOS], FinishReason.STOP)),
        (SamplingParams(max_tokens=3, ignore_eos=True), [EOS] * 9, ([EOS] * 3, "length")),
        (SamplingParams(max_tokens=9, stop_token_ids=(5,)), [4, 5, 6], ([4, 5], "stop")),
        (SamplingParams(max_tokens=3, min_tokens=2), [EOS, 1, EOS], ([EOS, 1, EOS], "stop")),
        (SamplingParams(max_tokens=99), [3] * 99, ([3] * 6, "length")),  # the context window
    ],
)
def test_endings(
    params: SamplingParams, tokens: list[int], expected: tuple[list[int], FinishReason]
) -> None:
    s = scheduler(max_model_len=10)
    s.add(Request("a", [1, 2, 3, 4], params))
    got, reason = [], None
    for token in tokens:
        for output in step(s, token)[1]:
            got += output.new_token_ids
            reason = output.finish_reason
        if reason is not None:
            break
    assert (got, reason) == expected
    assert not s.has_work


def test_tokens_after_an_ending_are_dropped() -> None:
    s = scheduler(wish=Wish(3))
    r = request("a", 4, max_tokens=50)
    s.add(r)
    step(s)
    out = s.schedule()
    assert out is not None
    out.seqs[0].put_drafts([1, EOS, 2])
    (output,) = s.update(out, SampledTokens([[1, EOS, 2, 3]]))
    assert output.new_token_ids == [1, EOS]
    s.kv.check_integrity()


def test_abort_frees_at_once_in_every_state() -> None:
    s = scheduler(max_num_seqs=1)
    running, waiting = request("running"), request("waiting")
    s.add(running)
    s.add(waiting)
    step(s)
    s.abort("waiting")
    assert waiting.status is RequestStatus.FINISHED
    out = s.schedule()
    assert out is not None
    s.abort("running")  # while its step is in flight
    assert s.update(out, draw(out)) == []
    assert (s.has_work, s.kv.usage, s.num_waiting) == (False, 0, 0)
    s.abort("unknown")
    s.add(request("running"))  # the id is free again
    assert step(s)[0] == {"running": 4}


def test_timings_add_up() -> None:
    s = scheduler(max_num_batched_tokens=8, max_num_seqs=1)
    r = request("a", 20, max_tokens=4)
    s.add(r)
    last = drain(s)["a"]
    assert last.timings is r.timings
    t = r.timings
    assert (t.prefill_steps, t.decode_steps) == (3, 3)
    assert 0 < t.scheduled_ns < t.first_ns < t.last_ns
    assert (s.counters.num_prompt_tokens, s.counters.num_generation_tokens) == (20, 4)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_starves(seed: int) -> None:
    """Random load over a small cache: every request ends, in time linear in the work there is."""
    rng = random.Random(seed)
    budget = rng.choice((8, 16, 32))
    s = scheduler(
        num_blocks=rng.randint(18, 30),
        max_num_seqs=rng.randint(1, 8),
        max_num_batched_tokens=budget,
        long_prefill_threshold=rng.choice((2, 8, 32)),
    )
    requests = [
        request(f"r{i}", rng.randint(1, 40), rng.randint(1, 24), rng.choice((0, 0, 1)))
        for i in range(30)
    ]
    pending, done, num_steps = list(requests), set(), 0
    while pending or s.has_work:
        if pending:
            s.add(pending.pop())
        num_tokens, outputs = step(s)
        assert sum(num_tokens.values()) <= budget
        assert num_tokens or outputs or not s.running, "a step with work did nothing"
        done |= {o.request_id for o in outputs if o.finish_reason is FinishReason.LENGTH}
        num_steps += 1
        assert num_steps < 30 * 2 * 64, "livelock"
    assert len(done) == 30


def test_the_scheduler_needs_no_torch() -> None:
    code = "import sys, engine_under_test.scheduler as s; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class SlowGrammar:
    """Ready when the test says so."""

    def __init__(self) -> None:
        self.is_ready = False
        self.error = ""
        self.end_ids = frozenset([98])


def test_a_request_whose_grammar_compiles_is_skipped_not_waited_for() -> None:
    s, grammar = scheduler(max_num_seqs=1), SlowGrammar()
    first = request("first", max_tokens=1)
    first.grammar = grammar
    s.add(first)
    assert (s.has_work, s.can_step, s.schedule(), s.num_waiting) == (True, False, None, 1)
    s.add(request("second", max_tokens=2))
    assert s.can_step
    assert set(step(s)[0]) == {"second"}
    s.add(request("third", max_tokens=1))
    grammar.is_ready = True
    step(s)  # the second ends
    assert set(step(s)[0]) == {"first"}, "it keeps the place of its arrival, before the third"
    assert set(drain(s)) == {"third"}


def test_a_refused_grammar_fails_its_request_alone() -> None:
    s, bad, broken = scheduler(), SlowGrammar(), SlowGrammar()
    for name, grammar in (("bad", bad), ("broken", broken), ("free", None)):
        r = request(name, max_tokens=3)
        r.grammar = grammar
        s.add(r)
    bad.is_ready, bad.error, broken.is_ready = True, "no such keyword", True
    _, outputs = step(s)
    (failed,) = [o for o in outputs if o.request_id == "bad"]
    assert (failed.finish_reason, failed.error) == (FinishReason.ERROR, "no such keyword")
    broken.error = "the parser gave up"  # found while a mask was filled
    _, outputs = step(s)
    assert [o.error for o in outputs if o.request_id == "broken"] == ["the parser gave up"]
    assert [r.request_id for r in s.running] == ["free"]
    assert set(drain(s)) == {"free"}
    assert s.kv.usage == 0


def test_a_complete_answer_ends_whatever_the_request_asked() -> None:
    s, r = scheduler(), request("r", max_tokens=9)
    r.params = replace(r.params, ignore_eos=True)
    r.grammar = SlowGrammar()
    s.add(r)
    r.grammar.is_ready = True
    step(s, EOS)
    assert drain(s, 98)["r"].finish_reason is FinishReason.STOP
    assert r.num_generated == 2


def test_a_request_can_leave_while_its_grammar_compiles() -> None:
    s = scheduler()
    r = request("r")
    r.grammar = SlowGrammar()
    s.add(r)
    s.abort("r")
    assert (s.has_work, s.can_step, s.num_waiting) == (False, False, 0)

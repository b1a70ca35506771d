"""Which request computes how many tokens in the next step. No torch, no clock but the one given.

There are no phases: a request's `num_computed` chases `num_tokens + drafts`, and a prompt's chunk,
a decode, a resume after preemption and a verification of drafts are the same line of arithmetic
(the invariant of vLLM's V1 scheduler). RUNNING goes first in order of admission, then WAITING by
(priority, arrival); drafts get what budget and blocks are left, and never cost anyone a block.
Python work is O(1) a request and step, except where blocks fill up.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .kv_cache import KVCacheManager
from .plan import (
    DraftLengths,
    SampledTokens,
    ScheduledSeq,
    SchedulerCounters,
    SchedulerOutput,
    book_scores,
)
from .request import (
    FinishReason,
    FloatArray,
    Request,
    RequestOutput,
    RequestStatus,
    TokenLogprob,
)
from .spec_gain import ControlRule

_RUNNING = RequestStatus.RUNNING
FREE_RESERVE_RATIO = 0.01  # admission leaves this share of blocks to those already running
MAX_HELD = 64  # requests passed over in one step for want of an adapter slot


@dataclass(slots=True)
class _Step:
    """A step while it is put together."""

    budget: int
    seqs: dict[str, ScheduledSeq] = field(default_factory=dict)
    preempted_ids: list[str] = field(default_factory=list)
    failed: list[RequestOutput] = field(default_factory=list)


class MustRetire(Exception):
    """Blocks ran out while a step is in flight: retire it first, it may free some."""


class Scheduler:
    """Owns every request from `add` to its last token.

    in_flight: a step that was launched and not yet booked, set by whoever launches ahead. While
    there is one nobody is preempted, and a request that is in it gives its blocks and row back
    only once that step, whose tokens for it nobody wants, has retired too.
    """

    def __init__(
        self,
        kv: KVCacheManager,
        *,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        max_model_len: int,
        long_prefill_threshold: int | None = None,
        max_loras: int = 4,
        eos_ids: tuple[int, ...] = (),
        draft_lengths: DraftLengths | None = None,
        is_control: ControlRule | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.kv = kv
        self.counters = SchedulerCounters()
        self.running: list[Request] = []
        self._waiting: list[tuple[int, int, Request]] = []  # heap; aborted entries go lazily
        self._compiling: list[Request] = []  # their grammar is not ready; kept out of the heap
        self._requests: dict[str, Request] = {}
        self._preempted_at_ns: dict[str, int] = {}
        self._released_ids: list[str] = []
        self.in_flight: SchedulerOutput | None = None
        self._leaving: list[Request] = []  # finished, their blocks and rows still in use
        self._max_num_seqs = max_num_seqs
        self._budget = max_num_batched_tokens
        self._max_model_len = max_model_len
        self._chunk_limit = long_prefill_threshold or max_num_batched_tokens
        self._max_loras = max_loras
        self._eos_ids = frozenset(eos_ids)
        self._draft_lengths = draft_lengths
        self._is_control = is_control
        self._num_reserved = int(kv.num_usable_blocks * FREE_RESERVE_RATIO)
        self._num_arrivals = 0
        self._clock_ns = clock_ns

    @property
    def num_waiting(self) -> int:
        return len(self._requests) - len(self.running)

    @property
    def has_work(self) -> bool:
        return bool(self._requests)

    @property
    def can_step(self) -> bool:
        """False when there is no request, or all that there are wait for their grammars."""
        if len(self._compiling) < len(self._requests):
            return True
        return any(r.grammar is None or r.grammar.is_ready for r in self._compiling)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._requests or any(
            r.request_id == request_id for r in self._leaving
        )

    def add(self, r: Request) -> None:
        """Queue r; whoever calls has checked that it can fit."""
        p = r.params
        r.arrival = self._num_arrivals
        r.end_ids = frozenset(p.stop_token_ids) | (frozenset() if p.ignore_eos else self._eos_ids)
        if r.grammar is not None:
            r.end_ids |= r.grammar.end_ids
        r.max_num_tokens = min(r.num_prompt + p.max_tokens, self._max_model_len)
        self._num_arrivals += 1
        self._requests[r.request_id] = r
        if r.grammar is not None and not r.grammar.is_ready:
            self._compiling.append(r)
        else:
            heapq.heappush(self._waiting, (r.priority, r.arrival, r))

    def abort(self, request_id: str) -> None:
        """Drop a request and its blocks at once; unknown ids are ignored."""
        if (r := self._requests.get(request_id)) is not None:
            if r.status is RequestStatus.RUNNING:
                self.running.remove(r)
            elif r in self._compiling:
                self._compiling.remove(r)
            self._finish(r, FinishReason.ABORT)

    def schedule(self) -> SchedulerOutput | None:
        """The next step, or None when nothing can run. Allocates the blocks it will write."""
        if self._compiling:
            self._take_compiled()
        if len(self._compiling) == len(self._requests):
            return None
        step, now_ns = _Step(self._budget), self._clock_ns()
        self._continue_running(step, now_ns)
        if not step.preempted_ids:
            self._admit_waiting(step, now_ns)
        if self._draft_lengths is not None:
            self._grant_drafts(step, self._draft_lengths)
        released, self._released_ids = self._released_ids, []
        return SchedulerOutput(
            seqs=list(step.seqs.values()),
            released_ids=released,
            preempted_ids=step.preempted_ids,
            failed=step.failed,
        )

    def update(self, out: SchedulerOutput, sampled: SampledTokens) -> list[RequestOutput]:
        """Book what a step computed and drew; one RequestOutput a request that gained or ended."""
        now_ns, outputs = self._clock_ns(), out.failed
        if self._leaving:
            self._let_go()
        if sampled.prompt_logprobs:
            outputs += book_scores(out, sampled.prompt_logprobs)
        logprobs = sampled.logprobs or [None] * len(out.seqs)
        has_finished, block_size, num_drawn = False, self.kv.block_size, 0
        observe = self._draft_lengths.observe if self._draft_lengths is not None else None
        drafted: list[int] = []
        accepted: list[int] = []
        for seq, tokens, token_logprobs in zip(out.seqs, sampled.token_ids, logprobs, strict=True):
            r = seq.request
            if r.status is not _RUNNING:
                continue  # aborted while the step ran
            if r.grammar is not None and r.grammar.error:
                outputs.append(self._fail(r, r.grammar.error))
                has_finished = True
                continue
            num_drafts, num_new, timings = seq.num_drafts, seq.num_new, r.timings
            if tokens and num_new == num_drafts + 1 and timings.first_ns:
                timings.decode_steps += 1
            else:
                timings.prefill_steps += 1
            num_before = num_after = r.num_computed
            num_after += num_new
            if tokens and seq.max_drafts:
                num_accepted = len(tokens) - 1
                # A rejected draft is a token that was not computed after all.
                num_after -= num_drafts - num_accepted
                if observe is not None:
                    observe(r, seq.max_drafts, num_drafts, num_accepted)
                if num_drafts:
                    timings.book_drafts(num_drafts, num_accepted)
                    drafted.append(num_drafts)
                    accepted.append(num_accepted)
                    r.draft_ids = []
            r.num_computed = num_after
            if tokens:
                all_ids = r.token_ids
                if len(all_ids) + len(tokens) < r.max_num_tokens and r.end_ids.isdisjoint(tokens):
                    all_ids += tokens  # nearly always
                    timings.last_ns = now_ns
                    if not timings.first_ns:
                        timings.first_ns = now_ns
                    outputs.append(RequestOutput(r.request_id, tokens, token_logprobs))
                    num_drawn += len(tokens)
                else:
                    output = self._extend_to_end(r, tokens, token_logprobs, now_ns)
                    outputs.append(output)
                    num_drawn += len(output.new_token_ids)
                    if r.status is not _RUNNING:
                        has_finished = True
                        continue
            elif r.pooling is not None and num_after == r.num_prompt:
                outputs.append(self._embedded(r, sampled.embeddings[r.request_id], now_ns))
                has_finished = True
                continue
            if num_after // block_size > num_before // block_size:
                self.kv.commit(r, num_after)
        self.counters.num_generation_tokens += num_drawn
        if drafted:
            self.counters.book_trials(drafted, accepted)
        if has_finished:
            self.running = [r for r in self.running if r.status is _RUNNING]
        return outputs

    def _take_compiled(self) -> None:
        """A request whose grammar is ready joins the queue at the place of its arrival."""
        compiling, self._compiling = self._compiling, []
        for r in compiling:
            if r.grammar is not None and not r.grammar.is_ready:
                self._compiling.append(r)
            else:
                heapq.heappush(self._waiting, (r.priority, r.arrival, r))

    def _continue_running(self, step: _Step, now_ns: int) -> None:
        """Every running request gets its chunk; where blocks run out, the newest gives way."""
        block_size, seqs = self.kv.block_size, step.seqs
        for r in tuple(self.running):
            if step.budget == 0:
                break
            if r.status is not _RUNNING:
                continue  # preempted for an earlier one in this very step
            num_computed = r.num_computed
            num_missing = len(r.token_ids) - num_computed
            num_new = num_missing
            if num_missing > 1:
                num_new = min(num_missing, self._chunk_limit, step.budget)
            if num_computed + num_new <= len(r.block_ids) * block_size:  # nearly always
                step.budget -= num_new
                is_last = num_new == num_missing
                seqs[r.request_id] = ScheduledSeq(r, num_new, is_last and r.pooling is None)
                continue
            while not self.kv.allocate(r, num_new):
                if self.in_flight is not None:
                    raise MustRetire
                victim = max(self.running, key=lambda x: (x.priority, x.arrival))
                if victim is r and len(self.running) == 1:
                    self.running.remove(r)
                    step.failed.append(self._fail(r, self._outgrown(r)))
                    break
                self._preempt(victim, step, now_ns)
                if victim is r:
                    break
            else:
                self._schedule(r, num_new, num_new == num_missing, step)

    def _admit_waiting(self, step: _Step, now_ns: int) -> None:
        """Admit in order while rows, budget and blocks last; never overtake the first in line.

        One whose adapter finds no slot is passed over by those that need none, and by nobody
        with an adapter: the adapters in use run out and it gets the first slot that falls free.
        """
        if not self._waiting:
            return
        held: list[tuple[int, int, Request]] = []
        adapters = {r.adapter.key for r in self.running if r.adapter is not None}
        num_rows = self._max_num_seqs - len(self._leaving)
        while self._waiting and step.budget and len(self.running) < num_rows:
            r = self._waiting[0][2]
            if r.status is RequestStatus.FINISHED:
                heapq.heappop(self._waiting)
                continue
            if r.grammar is not None and r.grammar.error:
                heapq.heappop(self._waiting)
                step.failed.append(self._fail(r, r.grammar.error))
                continue
            if (adapter := r.adapter) is not None:
                is_new = adapter.key not in adapters
                if held or (is_new and len(adapters) >= self._max_loras):
                    if len(held) == MAX_HELD:
                        break
                    held.append(heapq.heappop(self._waiting))
                    continue
            num_cached = self.kv.match_prefix(r)
            # The whole present sequence must fit, not just its first chunk: half-admitted long
            # prompts would only preempt each other. Alone, a request may use the last block.
            num_left = self.kv.num_free_after(r, r.num_tokens, num_cached)
            if num_left < (self._num_reserved if self.running else 0):
                if self.running:
                    break
                heapq.heappop(self._waiting)
                step.failed.append(self._fail(r, self._outgrown(r)))
                continue
            heapq.heappop(self._waiting)
            num_new = min(r.num_tokens - num_cached, self._chunk_limit, step.budget)
            is_allocated = self.kv.allocate(r, num_new, num_cached)
            assert is_allocated, "the whole sequence fits, so its first chunk must"
            r.num_computed = num_cached
            self._book_admission(r, num_cached, now_ns)
            self.running.append(r)
            if adapter is not None:
                adapters.add(adapter.key)
            self._schedule(r, num_new, num_cached + num_new == r.num_tokens, step)
        for entry in held:
            heapq.heappush(self._waiting, entry)

    def _grant_drafts(self, step: _Step, lengths: DraftLengths) -> None:
        """Slots for drafts behind every request that lacks only its next token.

        Nobody is preempted for a draft, and the blocks that admission keeps free stay free.
        """
        kv, block_size, num_seqs = self.kv, self.kv.block_size, len(step.seqs)
        if (
            self._is_control is not None
            and self._is_control(num_seqs)
            and all(s.num_new == 1 and s.is_sampled for s in step.seqs.values())
        ):
            return  # how long a step takes without drafts: see spec_gain.py
        num_drafts, budget = lengths.num_drafts, step.budget
        for seq in step.seqs.values():
            if budget <= 0:
                break
            if seq.num_new != 1 or not seq.is_sampled:
                continue
            r = seq.request
            num = num_drafts(r, num_seqs)
            # The token after the last draft is the target's own: one less than what may come.
            most = r.max_num_tokens - len(r.token_ids) - 1
            if num > most or num > budget:
                num = min(most, budget)
            if num <= 0:
                continue
            end, num_slots = r.num_computed + 1 + num, len(r.block_ids) * block_size
            if end > num_slots and (
                kv.num_free_after(r, end) < self._num_reserved or not kv.allocate(r, 1 + num)
            ):
                num = num_slots - r.num_computed - 1
            seq.max_drafts = num
            budget -= num
        step.budget = budget

    def _schedule(self, r: Request, num_new: int, is_last: bool, step: _Step) -> None:
        step.budget -= num_new
        step.seqs[r.request_id] = ScheduledSeq(r, num_new, is_last and r.pooling is None)

    def _book_admission(self, r: Request, num_cached: int, now_ns: int) -> None:
        r.status = RequestStatus.RUNNING
        if (since_ns := self._preempted_at_ns.pop(r.request_id, None)) is not None:
            r.timings.preempted_ns += now_ns - since_ns
            return
        r.timings.scheduled_ns = now_ns
        r.timings.cached_tokens = num_cached
        self.counters.num_prefix_query_tokens += r.num_tokens
        self.counters.num_prefix_hit_tokens += num_cached
        self.counters.num_prompt_tokens += r.num_prompt

    def _preempt(self, victim: Request, step: _Step, now_ns: int) -> None:
        """Take everything from the victim; its published blocks stay findable until reused."""
        if (seq := step.seqs.pop(victim.request_id, None)) is not None:
            step.budget += seq.num_new
        self.kv.free(victim)
        victim.num_computed = 0
        victim.status = RequestStatus.WAITING
        victim.timings.preemptions += 1
        self.counters.num_preemptions += 1
        self._preempted_at_ns[victim.request_id] = now_ns
        self.running.remove(victim)
        # Its arrival is older than that of all who wait at its priority, so this is their front.
        heapq.heappush(self._waiting, (victim.priority, victim.arrival, victim))
        step.preempted_ids.append(victim.request_id)
        self._released_ids.append(victim.request_id)

    def _extend_to_end(
        self, r: Request, tokens: list[int], logprobs: list[TokenLogprob] | None, now_ns: int
    ) -> RequestOutput:
        """Append drawn tokens up to the first that ends the request, if one does."""
        reason: FinishReason | None = None
        for num_kept, token in enumerate(tokens, start=1):
            r.token_ids.append(token)
            if (reason := self._finish_reason(r, token)) is not None:
                tokens, logprobs = tokens[:num_kept], logprobs and logprobs[:num_kept]
                break
        timings = r.timings
        timings.last_ns = now_ns
        timings.first_ns = timings.first_ns or now_ns
        if reason is None:
            return RequestOutput(r.request_id, tokens, logprobs)
        self.kv.commit(r, min(r.num_computed, r.num_tokens))
        self._finish(r, reason)
        return RequestOutput(r.request_id, tokens, logprobs, reason, timings)

    def _embedded(self, r: Request, embedding: FloatArray, now_ns: int) -> RequestOutput:
        """The end of a request with pooling: its whole prompt is computed, and nothing drawn."""
        timings = r.timings
        timings.first_ns = timings.last_ns = now_ns
        self.kv.commit(r, r.num_computed)
        self._finish(r, FinishReason.STOP)
        return RequestOutput(
            r.request_id, [], None, FinishReason.STOP, timings, embedding=embedding
        )

    def _finish_reason(self, r: Request, token: int) -> FinishReason | None:
        if token in r.end_ids and self._may_end(r, token):
            return FinishReason.STOP
        return FinishReason.LENGTH if len(r.token_ids) >= r.max_num_tokens else None

    def _may_end(self, r: Request, token: int) -> bool:
        """Whether this token, one of those that end r, does so here.

        A grammar's own end always does: the sampler withholds it as long as anything else may
        follow. Any other stop token cuts no answer that its grammar holds for incomplete.
        """
        if r.grammar is not None and token in r.grammar.end_ids:
            return True
        is_early = r.num_generated < r.params.min_tokens
        return not is_early and (r.grammar is None or r.grammar.may_end(r))

    def _finish(self, r: Request, reason: FinishReason) -> None:
        has_row = r.status in (RequestStatus.RUNNING, RequestStatus.ENDING)
        r.status = RequestStatus.FINISHED
        r.finish_reason = reason
        if self.in_flight is not None and any(s.request is r for s in self.in_flight.seqs):
            self._leaving.append(r)
        else:
            if has_row:
                self._released_ids.append(r.request_id)
            self.kv.free(r)
            self.kv.forget(r)
        self._preempted_at_ns.pop(r.request_id, None)
        del self._requests[r.request_id]

    def _let_go(self) -> None:
        """The last step that held those who leave has retired."""
        for r in self._leaving:
            self._released_ids.append(r.request_id)
            self.kv.free(r)
            self.kv.forget(r)
        self._leaving = []

    def _fail(self, r: Request, why: str) -> RequestOutput:
        self._finish(r, FinishReason.ERROR)
        return RequestOutput(
            request_id=r.request_id,
            new_token_ids=[],
            finish_reason=FinishReason.ERROR,
            timings=r.timings,
            error=why,
        )

    def _outgrown(self, r: Request) -> str:
        """Why a request that, alone, needs more blocks than there are must end."""
        num_slots = self.kv.num_usable_blocks * self.kv.block_size
        return f"the sequence outgrew the KV cache ({r.num_tokens} of {num_slots} tokens)"

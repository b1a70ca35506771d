"""The synchronous engine: add requests, step until there is no work. Knows no asyncio.

One step schedules, runs the model, and hands back what each request gained. Not thread-safe: one
thread owns an EngineCore, and whoever serves it passes requests to that thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch

from .config import EngineConfig
from .device import default_cache_bytes
from .errors import QueueFull, RequestRefused
from .kv_cache import KVCacheManager
from .model_config import ModelConfig
from .models import AdapterSlots, load_model
from .overlap import as_if_done
from .plan import SchedulerCounters, SchedulerOutput
from .request import Request, RequestOutput, per_position
from .runner import ModelRunner
from .scheduler import MustRetire, Scheduler
from .spec_gain import GainEstimate
from .speculative import set_up
from .stats import EngineStats
from .step_handle import StepHandle

StepHook = Callable[[int, float], None]


class EngineCore:
    """An engine over one model.

    step_hook(step index, seconds so far) is called in every step after the model ran and before
    its tokens are booked: what it sleeps is part of the step, in stamps and metrics alike.
    Raises ModelError, ConfigError.
    """

    def __init__(self, config: EngineConfig, step_hook: StepHook | None = None) -> None:
        torch.set_num_threads(config.num_threads)
        loaded = load_model(config)
        self.config = config
        self.step_hook = step_hook
        self.model_config: ModelConfig = loaded.model.config
        self.dtype_name = loaded.dtype_name
        self.max_model_len = loaded.max_model_len
        self.eos_ids = self.model_config.eos_ids
        self._digest = loaded.digest
        self._seeds = random.Random(config.seed)
        speculation = set_up(config, loaded)
        self._gain = speculation.gain if speculation is not None else None
        num_blocks = config.resolve_num_blocks(
            self.model_config,
            self.dtype_name,
            speculation.kv_bytes_per_token if speculation is not None else 0,
            default_cache_bytes(loaded.model.device),
        )
        self._kv = KVCacheManager(num_blocks, config.block_size, config.enable_prefix_caching)
        self._scheduler = Scheduler(
            self._kv,
            max_num_seqs=config.max_num_seqs,
            max_num_batched_tokens=config.max_num_batched_tokens,
            max_model_len=self.max_model_len,
            long_prefill_threshold=config.long_prefill_threshold,
            max_loras=config.max_loras,
            eos_ids=self.eos_ids,
            draft_lengths=speculation.lengths if speculation is not None else None,
            is_control=self._gain.is_control if self._gain is not None else None,
        )
        self._runner = ModelRunner(
            loaded,
            max_rows=config.max_num_seqs,
            num_blocks=num_blocks,
            block_size=config.block_size,
            adapters=AdapterSlots(
                self.model_config,
                loaded.model.dtype,
                config.max_loras,
                config.max_lora_rank,
                loaded.model.device,
            ),
            speculation=speculation,
            max_batched_tok=config.max_num_batched_tokens,
            uses_graphs=config.resolve_graphs(loaded.attention, loaded.model.device.type),
        )
        self._is_ahead = config.resolve_overlap(loaded.model.device.type)
        self._in_flight: tuple[SchedulerOutput, StepHandle] | None = None
        self._num_steps = 0
        self._last_step_s = self._last_scheduler_s = 0.0
        self._last_batch_tok = self._last_batch_seqs = 0

    def add(self, request: Request) -> None:
        """Queue a request; sets its seed and timings.admitted_ns where they are not set yet.

        Raises RequestRefused when it is empty, names unknown token ids, is too long for the
        context window or for the whole cache, or its id is in use; QueueFull when max_waiting
        requests wait and it does not follow others of a request that was let in.
        """
        self._refuse_impossible(request)
        if not request.follows and self._scheduler.num_waiting >= self.config.max_waiting:
            raise QueueFull(
                f"{self.config.max_waiting} requests wait already", do="try again later"
            )
        if request.params.seed is None:
            request.params = replace(request.params, seed=self._seeds.getrandbits(63))
        request.timings.admitted_ns = request.timings.admitted_ns or time.monotonic_ns()
        self._scheduler.add(request)

    def touch_cache(self) -> None:
        """Have the operating system provide the whole KV cache now, before the first request.

        Otherwise each block's first use waits for its pages, which is 5 % of the time of a decode
        of 64 sequences of SmolLM2-135M. Takes some 0.3 ms a megabyte.
        """
        self._runner.touch_cache()

    @property
    def is_on_gpu(self) -> bool:
        return self._runner.device.type != "cpu"

    def capture_graphs(self, num_seqs: int | None = None) -> None:
        """Capture the decode steps of every batch size now, where graphs are used: half a second
        each on a GPU, which a request would wait for otherwise. num_seqs: of this one alone."""
        self._runner.capture_graphs(num_seqs)

    def abort(self, request_id: str) -> None:
        """Drop a request and free its blocks now. No output follows; unknown ids are ignored."""
        self._scheduler.abort(request_id)

    def step(self) -> list[RequestOutput]:
        """Schedule, run, book: one step of every running request; [] when there is no work.

        With overlap a step is launched before the one before it is booked, and booked in the next
        call: outputs come one call later.
        """
        started_s = time.perf_counter()
        launched = self._launch()
        outputs = self._retire(started_s)
        if launched is not None:
            self._in_flight = launched
            if not self._is_ahead or not self._runner.is_plain(launched[0]):
                outputs += self._retire(started_s)
        return outputs

    def _launch(self) -> tuple[SchedulerOutput, StepHandle] | None:
        """Schedule and begin a step, as if the one in flight were done; None: nothing to run."""
        before = self._scheduler.in_flight = self._in_flight[0] if self._in_flight else None
        try:
            with as_if_done(before):
                plan = self._scheduler.schedule()
                if plan is None:
                    return None
                handle = self._runner.launch(plan)
        except MustRetire:
            return None
        if not plan.seqs and not plan.failed:
            return None  # all that run wait for their last token
        self._scheduler.in_flight = plan
        return plan, handle

    def _retire(self, started_s: float) -> list[RequestOutput]:
        """Wait for the step in flight and book it. started_s: when this call of step() began."""
        if self._in_flight is None:
            return []
        plan, handle = self._in_flight
        self._in_flight = None
        if self._scheduler.in_flight is plan:
            self._scheduler.in_flight = None  # none was launched behind it
        waiting_s = time.perf_counter()
        sampled = handle.tokens()
        ran_s = time.perf_counter()
        if self.step_hook is not None:
            self.step_hook(self._num_steps, ran_s - started_s)
        hooked_s = time.perf_counter() - ran_s
        outputs = self._scheduler.update(plan, sampled)
        step_s = time.perf_counter() - started_s
        self._observe(plan, step_s, hooked_s + ran_s - waiting_s)
        if self._gain is not None:
            self._gain.observe(plan, outputs, step_s)
        return outputs

    @property
    def has_work(self) -> bool:
        return self._in_flight is not None or self._scheduler.has_work

    @property
    def can_step(self) -> bool:
        """False while every request there is waits for its grammar, or there is none."""
        return self._in_flight is not None or self._scheduler.can_step

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 over names and digests of config.json and weight files, or of shape and seed.

        Hashes the files at the first call.
        """
        return self._digest()

    def stats(self) -> EngineStats:
        """A snapshot between steps."""
        counters = self._scheduler.counters
        return EngineStats(
            num_running=len(self._scheduler.running),
            num_waiting=self._scheduler.num_waiting,
            kv_usage_ratio=self._kv.usage,
            num_blocks=self._kv.num_usable_blocks,
            num_prefix_query_tokens=counters.num_prefix_query_tokens,
            num_prefix_hit_tokens=counters.num_prefix_hit_tokens,
            num_preemptions=counters.num_preemptions,
            num_prompt_tokens=counters.num_prompt_tokens,
            num_generation_tokens=counters.num_generation_tokens,
            num_drafts=counters.num_drafts,
            num_draft_tokens=counters.num_draft_tokens,
            num_accepted_tokens=counters.num_accepted_tokens,
            num_accepted_per_pos=tuple(per_position(counters.accepted_lengths)),
            spec_gain=self._gain.estimate if self._gain is not None else GainEstimate(),
            num_steps=self._num_steps,
            last_step_s=self._last_step_s,
            last_scheduler_s=self._last_scheduler_s,
            last_batch_tok=self._last_batch_tok,
            last_batch_seqs=self._last_batch_seqs,
        )

    def restart_counters(self) -> None:
        """Counters and step numbers begin anew: what ran before was a warm-up."""
        self._scheduler.counters = SchedulerCounters()
        if self._gain is not None:
            self._gain.restart()
        self._num_steps = 0
        self._last_step_s = self._last_scheduler_s = 0.0
        self._last_batch_tok = self._last_batch_seqs = 0

    def check_integrity(self) -> None:
        """Raise AssertionError if the KV cache lost track of a block; cheap enough when idle."""
        self._kv.check_integrity()

    def _observe(self, plan: SchedulerOutput, step_s: float, hooked_s: float) -> None:
        self._last_step_s = step_s
        self._last_scheduler_s = step_s - hooked_s - self._runner.last_execute_s
        self._last_batch_tok, self._last_batch_seqs = plan.num_tokens, len(plan.seqs)
        self._num_steps += 1

    def _refuse_impossible(self, r: Request) -> None:
        vocab_size, p = self.model_config.vocab_size, r.params
        if r.request_id in self._scheduler:
            raise RequestRefused(f"request id {r.request_id!r} is in use")
        if not r.prompt_ids:
            raise RequestRefused("the prompt is empty")
        self._refuse_on_synthetic(r)
        ids = (*r.prompt_ids, *p.stop_token_ids, *(i for i, _ in p.logit_bias))
        if min(ids) < 0 or max(ids) >= vocab_size:
            raise RequestRefused(f"a token id lies outside the vocabulary of {vocab_size}")
        if r.num_prompt + (r.pooling is None) > self.max_model_len:
            answer = "" if r.pooling else "with one token of answer "
            raise RequestRefused(
                f"the prompt has {r.num_prompt} tokens; {answer}the context window of "
                f"{self.max_model_len} is exceeded",
                do="shorten the prompt",
            )
        if self._kv.num_blocks_for(r.num_prompt) > self._kv.num_usable_blocks:
            raise RequestRefused(
                f"the prompt of {r.num_prompt} tokens exceeds the KV cache of "
                f"{self._kv.num_usable_blocks * self._kv.block_size}",
                do="shorten the prompt or give the engine a larger cache",
            )

    def _refuse_on_synthetic(self, r: Request) -> None:
        """Tokens that were accepted by a coin have no log-probability and follow no grammar."""
        spec, p = self.config.spec, r.params
        if spec is None or not spec.synthetic_rates:
            return
        for name, is_wanted in (
            ("log-probabilities", (p.logprobs, p.prompt_logprobs) != (None, None)),
            ("structured output", r.grammar is not None),
        ):
            if is_wanted:
                raise RequestRefused(
                    f"{name} and synthetic acceptance exclude each other",
                    why="this engine accepts drafts by a coin, for speed studies",
                    do="leave it out, or serve without --spec-synthetic",
                )

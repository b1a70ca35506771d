"""Runs one scheduled step: lay it out, forward, sample. Owns rows, the KV tensors and the model.

It only reads requests; what was drawn is booked by the scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from .attention import SdpaBackend
from .batch import RowTable, batch_order, build_batch
from .logprobs import score_prompts
from .models import AdapterSlots, Llama
from .plan import SampledTokens, ScheduledSeq, SchedulerOutput
from .request import TokenLogprob
from .sampler import Sampler
from .speculative import Drafter, Judge, Proposals, Speculation
from .structured import Grammar, MaskFiller


class ModelRunner:
    """One model on one device, its cache of num_blocks blocks, and at most max_rows sequences."""

    def __init__(
        self,
        model: Llama,
        *,
        max_model_len: int,
        max_rows: int,
        num_blocks: int,
        block_size: int,
        eos_ids: tuple[int, ...],
        adapters: AdapterSlots,
        speculation: Speculation | None = None,
        max_batched_tok: int = 512,
    ) -> None:
        self.last_execute_s = 0.0
        self._model = model
        self._adapters = adapters
        self._attention = SdpaBackend(model.config, num_blocks, block_size, model.dtype)
        self._rows = RowTable(max_rows, -(-max_model_len // block_size), block_size)
        self._sampler = Sampler(max_rows, model.config.vocab_size, eos_ids)
        self._masks = MaskFiller(model.config.vocab_size)
        self._drafter: Drafter | None = None
        self._judge = Judge(
            self._sampler, speculation.config.synthetic_rates if speculation else ()
        )
        if speculation is not None:
            self._drafter = speculation.drafter(
                self._rows, self._sampler, num_blocks, max_batched_tok
            )

    def execute(self, out: SchedulerOutput) -> SampledTokens:
        """Compute a step. Tokens come back in the order of out.seqs, [] where none was due."""
        started_s = time.perf_counter()
        with torch.inference_mode():
            sampled = self._execute(out)
        self.last_execute_s = time.perf_counter() - started_s
        return sampled

    def _execute(self, out: SchedulerOutput) -> SampledTokens:
        for request_id in out.released_ids:
            self._rows.release(request_id)
            if self._drafter is not None:
                self._drafter.release(request_id)
        if not out.seqs:
            return SampledTokens([])
        step_rows = np.array([self._sync(s) for s in out.seqs], dtype=np.int64)
        fresh, proposals = self._rows.take_fresh(), Proposals()
        if self._drafter is not None:
            proposals = self._drafter.propose(out.seqs, step_rows, fresh)
            _trim(out.seqs, proposals)
        order = batch_order(out.seqs)
        seqs, rows = [out.seqs[i] for i in order], step_rows[order]
        batch = build_batch(seqs, rows, self._rows)
        lora = self._adapters.plan([s.request.adapter for s in seqs], batch)
        meta = self._attention.build(batch)
        hidden = self._model.forward(batch, self._attention, meta, lora)
        sampled = [b for b, s in enumerate(seqs) if s.is_sampled]
        scored: dict[str, list[TokenLogprob]] = {}
        if batch.num_decodes < len(seqs) or len(sampled) < len(seqs):  # prompts are among them
            scored = score_prompts(seqs, batch, hidden, self._model.logits)
        if not sampled:
            return SampledTokens([[] for _ in seqs], prompt_logprobs=scored)
        if batch.logits_idx is not None:
            hidden = hidden.index_select(0, batch.logits_idx)
        logits, requests = self._model.logits(hidden), [seqs[b].request for b in sampled]
        if any(s.num_drafts for s in seqs):
            bits = self._masks.fill(requests, [r.draft_ids for r in requests])
            drawn = self._judge.judge(logits, rows[sampled], requests, proposals, bits)
        else:
            bits = self._masks.fill(requests)
            drawn = self._sampler.sample(logits, rows[sampled], requests, bitmask=bits)
        drawn = _in_step_order(drawn, [order[b] for b in sampled], len(seqs))
        drawn.prompt_logprobs = scored
        return drawn

    def _sync(self, s: ScheduledSeq) -> int:
        is_new = s.request.request_id not in self._rows
        row = self._rows.sync(s.request)
        if is_new:
            self._sampler.assign(row, s.request)
        return row


def _trim(seqs: Sequence[ScheduledSeq], proposals: Proposals) -> None:
    """Leave out drafts that a grammar forbids: they would be rejected for sure."""
    for s in seqs:
        r = s.request
        if not s.num_drafts or not isinstance(r.grammar, Grammar):
            continue
        num_kept = r.grammar.num_valid(r, r.draft_ids)
        # The ratio rule is exact only if a draft that was drawn is judged, and rejected if need be.
        num_kept += r.request_id in proposals
        if num_kept < s.num_drafts:
            s.put_drafts(r.draft_ids[:num_kept])


def _in_step_order(drawn: SampledTokens, places: list[int], num_seqs: int) -> SampledTokens:
    """Scatter the drawn rows to their places in the step."""
    token_ids: list[list[int]] = [[] for _ in range(num_seqs)]
    for place, tokens in zip(places, drawn.token_ids, strict=True):
        token_ids[place] = tokens
    if drawn.logprobs is None:
        return SampledTokens(token_ids)
    logprobs: list[list[TokenLogprob] | None] = [None] * num_seqs
    for place, values in zip(places, drawn.logprobs, strict=True):
        logprobs[place] = values
    return SampledTokens(token_ids, logprobs)

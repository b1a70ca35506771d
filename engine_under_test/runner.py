"""Runs one scheduled step: lay it out, forward, sample. Owns rows, the KV tensors and the model.

It only reads requests; what was drawn or pooled is booked by the scheduler. A step whose draws need
nothing of the host (no grammar, penalty, log-probability or draft) is launched and not waited for:
its tokens stay on the device, where the next step finds those that the host does not know yet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .attention import SdpaBackend, make_backend
from .batch import FlatBatch, IntArray, RowTable, batch_order, build_batch
from .device import to_device
from .logit_edits import LogitEdits
from .logprobs import score_prompts
from .models import AdapterSlots, LoadedModel
from .plan import SampledTokens, ScheduledSeq, SchedulerOutput
from .pooling import PooledPart, Pooler, Vectors, parts_of
from .request import Request, TokenLogprob
from .sampler import DrawPlan, Sampler
from .speculative import Drafter, Judge, Proposals, Speculation
from .step_handle import Done, OnItsWay, StepHandle, Submit, at_once
from .structured import Grammar, MaskFiller

if TYPE_CHECKING:
    from .graphs import GraphRunner


@dataclass(slots=True)
class _Step:
    """One step laid out. seqs, rows and batch are in batch order; order leads back to the plan.

    graph_q: tokens of each sequence where a graph runs the step, else 0.  meta: the attention's,
    where none does.  sampled: sequences that draw.  pooled: parts of prompts with pooling.
    """

    seqs: list[ScheduledSeq]
    rows: IntArray
    order: list[int]
    batch: FlatBatch
    graph_q: int
    has_placeholders: bool
    meta: Any
    sampled: list[int]
    pooled: list[PooledPart]

    @property
    def places(self) -> list[int]:
        """Of the drawn rows, in the plan."""
        return [self.order[b] for b in self.sampled]


class ModelRunner:
    """One model on one device, its cache of num_blocks blocks, and at most max_rows sequences.

    num_ahead counts steps that nobody waited for at their launch.  device: what it computes on.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_rows: int,
        num_blocks: int,
        block_size: int,
        adapters: AdapterSlots,
        speculation: Speculation | None = None,
        max_batched_tok: int = 512,
        uses_graphs: bool = False,
    ) -> None:
        model = loaded.model
        self.last_execute_s = 0.0
        self.num_ahead = 0
        self.submit: Submit = at_once
        self._model = model
        self.device = model.device
        self._adapters = adapters
        self._attention = make_backend(
            loaded.attention, model.config, num_blocks, block_size, model.dtype, model.device
        )
        self._rows = RowTable(max_rows, -(-loaded.max_model_len // block_size), block_size)
        self._sampler = Sampler(
            max_rows,
            model.config.vocab_size,
            model.config.eos_ids,
            model.device,
            uses_kernels=loaded.attention == "triton",
        )
        # The last row takes what padding draws.
        self._last_tokens = torch.zeros(max_rows + 1, dtype=torch.int64, device=model.device)
        self._pooler = Pooler(
            model.normed, max_rows, model.config.hidden_size, model.dtype, model.device
        )
        self._masks = MaskFiller(model.config.vocab_size)
        self._drafter: Drafter | None = None
        self._judge = Judge(
            self._sampler, speculation.config.synthetic_rates if speculation else ()
        )
        if speculation is not None:
            self._drafter = speculation.drafter(
                self._rows, self._sampler, num_blocks, max_batched_tok
            )
        lengths = speculation.config.step_lengths if speculation is not None else (1,)
        self.graphs = self._make_graphs(max_rows, lengths) if uses_graphs else None

    def capture_graphs(self, num_seqs: int | None = None) -> None:
        """See EngineCore."""
        if self.graphs is not None:
            with torch.inference_mode():
                self.graphs.warm_up(num_seqs)

    def touch_cache(self) -> None:
        """See EngineCore."""
        if isinstance(self._attention, SdpaBackend):
            self._attention.touch()

    def execute(self, out: SchedulerOutput) -> SampledTokens:
        """Compute a step. Tokens come back in the order of out.seqs, [] where none was due."""
        return self.launch(out).tokens()

    def launch(self, out: SchedulerOutput) -> StepHandle:
        """Begin a step; whoever wants its tokens waits for them."""
        started_s = time.perf_counter()
        with torch.inference_mode():
            handle = self._launch(out)
        self.last_execute_s = time.perf_counter() - started_s
        return handle

    def is_plain(self, out: SchedulerOutput) -> bool:
        """Whether the next step may be scheduled before this one's tokens are known."""
        return self._drafter is None and all(_is_plain(s.request) for s in out.seqs)

    def _launch(self, out: SchedulerOutput) -> StepHandle:
        for request_id in out.released_ids:
            self._rows.release(request_id)
            if self._drafter is not None:
                self._drafter.release(request_id)
        if not out.seqs:
            return Done(SampledTokens([]))
        step_rows = np.array([self._sync(s) for s in out.seqs], dtype=np.int64)
        fresh, proposals = self._rows.take_fresh(), Proposals()
        if self._drafter is not None:
            proposals = self._drafter.propose(out.seqs, step_rows, fresh)
            _trim(out.seqs, proposals)
        step = self._lay_out(out.seqs, step_rows)
        if not self.is_plain(out):
            # Behind what was launched before; its own tokens are waited for.
            return Done(self.submit(lambda: Done(self._run(step, proposals))).tokens())
        requests = [step.seqs[b].request for b in step.sampled]
        plan = self._sampler.plan(step.rows[step.sampled], requests) if requests else None
        self.num_ahead += 1
        return self.submit(lambda: self._run_ahead(step, plan))

    def _lay_out(self, seqs: list[ScheduledSeq], step_rows: IntArray) -> _Step:
        order = batch_order(seqs)
        seqs, rows = [seqs[i] for i in order], step_rows[order]
        batch = build_batch(seqs, rows, self._rows)
        has_placeholders = bool((batch.input_ids.numpy()[: batch.num_decodes] < 0).any())
        graph_q = self._graph_length(batch, seqs)
        meta = None
        if not graph_q:
            batch = batch.on(self.device)
            meta = self._attention.build(batch)
        sampled = [b for b, s in enumerate(seqs) if s.is_sampled]
        pooled = parts_of(seqs, rows, batch)
        return _Step(seqs, rows, order, batch, graph_q, has_placeholders, meta, sampled, pooled)

    def _run_ahead(self, step: _Step, plan: DrawPlan | None) -> StepHandle:
        """A step of plain draws; touches nothing that the host has changed since its launch."""
        with torch.inference_mode():
            logits, tokens, hidden = self._compute(step)
            if plan is not None and (tokens is None or not self._sampler.is_unfiltered(plan.rows)):
                tokens = self._sampler.draw(_wide(logits), plan)
                self._last_tokens.index_copy_(0, to_device(plan.rows, self.device), tokens)
            vectors = self._pool(step, hidden)
            if tokens is None and vectors is None:
                return Done(SampledTokens([[] for _ in step.seqs]))
            return OnItsWay(tokens, step.places, len(step.seqs), vectors)

    def _run(self, step: _Step, proposals: Proposals) -> SampledTokens:
        """A step to its end."""
        logits, tokens, hidden = self._compute(step)
        scored: dict[str, list[TokenLogprob]] = {}
        batch = step.batch
        if hidden is not None and (
            batch.num_decodes < len(step.seqs) or len(step.sampled) < len(step.seqs)
        ):  # prompts are among them
            scored = score_prompts(step.seqs, batch, hidden, self._model.logits)
        vectors = self._pool(step, hidden)
        embeddings = vectors.on_host() if vectors is not None else {}
        rows, requests = step.rows[step.sampled], [step.seqs[b].request for b in step.sampled]
        if not requests:
            return SampledTokens([[] for _ in step.seqs], None, scored, embeddings)
        if any(s.num_drafts for s in step.seqs):
            bits = self._masks.fill(requests, [r.draft_ids for r in requests])
            own = None
            if bits is None and tokens is not None and self._sampler.is_unfiltered(rows):
                own = tokens.tolist()
            else:
                logits = _wide(logits)
            drawn = self._judge.judge(logits, rows, requests, proposals, bits, own)
        else:
            bits = self._masks.fill(requests)
            drawn = self._sampler.sample(_wide(logits), rows, requests, bitmask=bits)
        drawn = _in_step_order(drawn, step.places, len(step.seqs))
        drawn.prompt_logprobs, drawn.embeddings = scored, embeddings
        return drawn

    def _pool(self, step: _Step, hidden: torch.Tensor | None) -> Vectors | None:
        """None where no prompt with pooling ends in the step."""
        if not step.pooled:
            return None
        assert hidden is not None, "a graph's sequences all draw"
        vectors = self._pooler.pool(step.pooled, hidden)
        return vectors if vectors.ids else None

    def _compute(
        self, step: _Step
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Logits [N, V] where they are wanted; the tokens drawn of them where a graph ran the step,
        else hidden states [T, D]: a graph's sequences have no prompt that could be scored.
        """
        batch = step.batch
        if step.graph_q:
            assert self.graphs is not None
            num_tokens = step.graph_q * len(step.seqs)
            static = self.graphs.run(batch, step.graph_q)
            return static.logits[:num_tokens], static.tokens[:num_tokens], None
        if step.has_placeholders:
            num = batch.num_decodes
            ids = batch.input_ids[:num]
            drawn = self._last_tokens[to_device(step.rows[:num], self.device)]
            ids.copy_(torch.where(ids < 0, drawn, ids))
        lora = self._adapters.plan([s.request.adapter for s in step.seqs], batch)
        hidden = self._model.forward(batch, self._attention, step.meta, lora)
        if not step.sampled:
            return hidden[:0], None, hidden
        wanted = hidden
        if batch.logits_idx is not None:
            wanted = hidden.index_select(0, batch.logits_idx)
        return self._model.logits(wanted), None, hidden

    def _graph_length(self, batch: FlatBatch, seqs: Sequence[ScheduledSeq]) -> int:
        """Tokens of each sequence where a graph can run the batch, else 0."""
        if self.graphs is None or any(s.request.adapter is not None for s in seqs):
            return 0
        return self.graphs.length_of(batch)

    def _make_graphs(self, max_rows: int, lengths: Sequence[int]) -> GraphRunner:
        from .attention.triton_paged import TritonBackend
        from .graphs import CudaCapture, GraphRunner, StepParts

        assert isinstance(self._attention, TritonBackend), "graphs need kernels of fixed grids"
        parts = StepParts(
            self._model, self._attention, self._rows, self._sampler, self._last_tokens
        )
        capture = CudaCapture() if self.device.type == "cuda" else None
        return GraphRunner(parts, max_rows, lengths, capture)

    def _sync(self, s: ScheduledSeq) -> int:
        is_new = s.request.request_id not in self._rows
        row = self._rows.sync(s.request)
        if is_new:
            self._sampler.assign(row, s.request)
        return row


def _is_plain(r: Request) -> bool:
    """Its draw needs nothing of the host but what is known beforehand."""
    p = r.params
    has_scores = p.logprobs is not None or p.prompt_logprobs is not None
    return not has_scores and r.grammar is None and not LogitEdits.is_needed(r)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits.float() if logits.dtype == torch.bfloat16 else logits


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

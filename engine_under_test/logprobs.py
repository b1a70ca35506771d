"""Log-probabilities of chosen tokens, and the scores of a prompt's own tokens.

Always of the raw logits, before any edit or temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .batch import FlatBatch
from .plan import ScheduledSeq
from .request import TokenLogprob

SCORED_TOK = 64  # prompt tokens whose logits exist at one time: [64, V] float32 and a copy


def token_logprobs(
    raw: torch.Tensor, tokens: Sequence[int], num_tops: Sequence[int]
) -> list[TokenLogprob]:
    """Of each row's token: its own, its rank, the most likely alternatives.

    raw: [N, V] logits.  tokens, num_tops: N.
    """
    logprobs = raw.log_softmax(dim=-1)
    chosen = logprobs.gather(1, torch.tensor(tokens, device=raw.device).unsqueeze(1))
    ranks = ((logprobs > chosen).sum(dim=-1) + 1).tolist()
    top = logprobs.topk(max(num_tops), dim=-1)
    top_ids, top_values, values = top.indices.tolist(), top.values.tolist(), chosen.tolist()
    return [
        TokenLogprob(token, value, rank, tuple(zip(ids[:n], best[:n], strict=True)))
        for token, (value,), rank, ids, best, n in zip(
            tokens, values, ranks, top_ids, top_values, num_tops, strict=True
        )
    ]


def score_prompts(
    seqs: Sequence[ScheduledSeq],
    batch: FlatBatch,
    hidden: torch.Tensor,
    logits_of: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, list[TokenLogprob]]:
    """What this step tells of prompts whose log-probabilities are wanted, by request id.

    A token is scored by the position before it, so a prompt's first token never is. Positions that
    a request computes again after a preemption are not scored twice.
    seqs: in batch order.  hidden: [T, D] of the whole batch.  logits_of: [N, D] to [N, V].
    """
    found: dict[str, list[TokenLogprob]] = {}
    for b, s in enumerate(seqs):
        r = s.request
        if (num_top := r.params.prompt_logprobs) is None:
            continue
        first = max(r.num_computed, r.num_scored)
        end = min(r.num_computed + s.num_new, r.num_prompt - 1)
        offset, rows = int(batch.cu_q[b]) - r.num_computed, []
        for at in range(first, end, SCORED_TOK):
            ids = r.prompt_ids[at + 1 : min(at + SCORED_TOK, end) + 1]
            logits = logits_of(hidden[offset + at : offset + at + len(ids)])
            rows += token_logprobs(logits, ids, [num_top] * len(ids))
        if rows:
            found[r.request_id] = rows
    return found

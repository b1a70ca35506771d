"""What may still be drawn: min_p, top_k and top_p as masks over scores, in that order.

Each sets losers to -inf. Thresholds are values, so tokens that tie with the last one kept are kept
too, and a row's result does not depend on its batch mates or on how a sort breaks ties.
"""

from __future__ import annotations

import torch

MAX_SELECTED = 1024  # up to here one topk is cheaper than a sort


def filter_min_p(scores: torch.Tensor, min_p: torch.Tensor) -> None:
    """Drop tokens less likely than min_p times the likeliest. scores [N, V], min_p [N], 0 = off."""
    threshold = scores.amax(dim=-1) + min_p.log()
    scores.masked_fill_(scores < threshold.unsqueeze(1), -torch.inf)


def filter_top_k(scores: torch.Tensor, top_k: torch.Tensor) -> None:
    """Keep the k likeliest. scores [N, V], top_k [N] int64, 0 = off."""
    vocab_size = scores.shape[1]
    k = torch.where(top_k > 0, top_k, vocab_size).clamp_(max=vocab_size)
    is_on = k < vocab_size
    largest = int(torch.where(is_on, k, 1).max())
    if largest <= MAX_SELECTED:
        ranked = scores.topk(largest, dim=-1).values
    else:
        ranked = scores.sort(dim=-1, descending=True).values
    threshold = ranked.gather(1, (k.clamp(max=ranked.shape[1]) - 1).unsqueeze(1))
    scores.masked_fill_((scores < threshold) & is_on.unsqueeze(1), -torch.inf)


def filter_top_p(scores: torch.Tensor, top_p: torch.Tensor) -> None:
    """Keep the smallest set of likeliest tokens whose probability reaches p; at least one.

    scores [N, V], top_p [N], 1 = off. Probabilities are those left after earlier filters.
    """
    log_mass = scores.logsumexp(dim=-1, keepdim=True)
    wanted = top_p.to(scores.dtype).unsqueeze(1)
    num_ranked = min(MAX_SELECTED // 4, scores.shape[1])
    ranked = scores.topk(num_ranked, dim=-1).values
    reached = (ranked - log_mass).exp_().cumsum(dim=-1)
    if bool(((reached[:, -1:] < wanted) & (wanted < 1)).any()):
        ranked = scores.sort(dim=-1, descending=True).values
        reached = (ranked - log_mass).exp_().cumsum(dim=-1)
    # The last token kept is the first at which the mass reaches p.
    last = (reached < wanted).sum(dim=-1, keepdim=True).clamp_(max=ranked.shape[1] - 1)
    threshold = ranked.gather(1, last)
    scores.masked_fill_((scores < threshold) & (wanted < 1), -torch.inf)

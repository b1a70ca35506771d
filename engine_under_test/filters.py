"""What may still be drawn: min_p, top_k and top_p as masks over scores, in that order.

Each sets losers to -inf. Thresholds are values, so tokens that tie with the last one kept are kept
too, and a row's result depends neither on its batch mates nor on how a sort breaks ties.
On a CPU selection runs in numpy: its SIMD sort takes a tenth of the time of torch's.
"""

from __future__ import annotations

import numpy as np
import torch


def filter_min_p(scores: torch.Tensor, min_p: torch.Tensor) -> None:
    """Drop tokens less likely than min_p times the likeliest. scores [N, V], min_p [N], 0 = off."""
    threshold = scores.amax(dim=-1) + min_p.log()
    scores.masked_fill_(scores < threshold.unsqueeze(1), -torch.inf)


def filter_top_k(scores: torch.Tensor, top_k: torch.Tensor) -> None:
    """Keep the k likeliest. scores [N, V], top_k [N] int64, 0 = off."""
    vocab_size = scores.shape[1]
    # The k-th largest stands at index V - k of the ascending order; off: at 0, the smallest.
    places = (vocab_size - torch.where(top_k > 0, top_k, vocab_size)).clamp_(min=0)
    if scores.device.type == "cpu":
        parted = np.partition(scores.numpy(), sorted(set(places.tolist())), axis=-1)
        ranked = torch.from_numpy(parted)
    else:
        ranked = scores.sort(dim=-1).values
    scores.masked_fill_(scores < ranked.gather(1, places.unsqueeze(1)), -torch.inf)


def filter_top_p(scores: torch.Tensor, top_p: torch.Tensor) -> None:
    """Keep the smallest set of likeliest tokens whose probability reaches p; at least one.

    scores [N, V], top_p [N], 1 = off. Probabilities are those left after earlier filters.
    """
    wanted = top_p.unsqueeze(1)
    if scores.device.type == "cpu":
        ranked = torch.from_numpy(np.sort(scores.numpy(), axis=-1)).flip(-1)
    else:
        ranked = scores.sort(dim=-1, descending=True).values
    reached = ranked.softmax(dim=-1).cumsum_(dim=-1)
    # The last token kept is the first at which the mass reaches p.
    last = (reached < wanted).sum(dim=-1, keepdim=True).clamp_(max=scores.shape[1] - 1)
    is_lost = (scores < ranked.gather(1, last)) & (wanted < 1)
    scores.masked_fill_(is_lost, -torch.inf)

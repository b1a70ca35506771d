"""Judging drafts, in the two ways that are exact.

match: draw the target's own token at every position and accept a draft while it equals the draw.
The output is the one without speculation, token for token, whatever the drafter proposes.

ratio: accept draft d with probability min(1, p(d)/q(d)); the first rejected position draws from
norm(max(p - q, 0)), and after k accepted ones the next token is drawn from p (Leviathan, Kalman,
Matias 2023; Chen et al. 2023). The output has the target's distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


def match_length(drafts: Sequence[int], drawn: Sequence[int]) -> int:
    """How many leading drafts equal the target's draws; drawn has one entry more than drafts."""
    for n, draft in enumerate(drafts):
        if draft != drawn[n]:
            return n
    return len(drafts)


class Judged(NamedTuple):
    """num_accepted [B]; weights [B, V]: what the next token is drawn from, not normalised."""

    num_accepted: torch.Tensor
    weights: torch.Tensor


def verify_ratio(
    p: torch.Tensor,
    q: torch.Tensor,
    drafts: torch.Tensor,
    num_drafts: torch.Tensor,
    u: torch.Tensor,
) -> Judged:
    """The ratio rule for B rows at once, rows padded to k drafts.

    p: [B, k + 1, V] target's distributions.  q: [B, k, V] drafts' distributions.  drafts: [B, k]
    int64, any valid id where padded.  num_drafts: [B].  u: [B, k] uniform in [0, 1).
    """
    num_rows, k = drafts.shape
    is_real = torch.arange(k, device=p.device) < num_drafts.unsqueeze(1)
    p_draft = p[:, :k].gather(2, drafts.unsqueeze(2)).squeeze(2)
    q_draft = q.gather(2, drafts.unsqueeze(2)).squeeze(2)
    is_accepted = (u * q_draft < p_draft) & is_real
    num_accepted = is_accepted.long().cumprod(1).sum(1)
    # Where nothing was proposed there is nothing to subtract: padding and the bonus draw from p.
    q = torch.cat([q * is_real.unsqueeze(2), q.new_zeros(num_rows, 1, q.shape[2])], dim=1)
    at = torch.arange(num_rows, device=p.device), num_accepted
    residual = (p[at] - q[at]).clamp_min(0)
    # Rounding can reject where p and q are equal, and leave no residual.
    is_empty = residual.sum(1, keepdim=True) <= 0
    return Judged(num_accepted, torch.where(is_empty, p[at], residual))

"""Randomness as a function: noise of (seed, absolute position, token id), nothing else.

A token drawn by argmax(log p + Gumbel noise) is a sample of p. Because the noise depends on no
generator state, a draw is the same alone or in a batch, before or after preemption, drafted or
not. The counter-based generator is SplitMix64 (Steele, Lea, Flood 2014), its stream keyed by seed
and position and indexed by token id.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_TWO_63 = float(2**-63)


def stream_key(seed: int, position: int) -> int:
    """The SplitMix64 state of one draw, as a signed 64-bit integer. Any integer is a seed."""
    return _signed(_mix(_mix(seed & _MASK) + (position + 1) * _GOLDEN & _MASK))


def mixed_seed(seed: int) -> int:
    """The part of stream_key that no position enters, for a device that adds it; signed."""
    return _signed(_mix(seed & _MASK))


def trial_key(seed: int, position: int, purpose: int, num_tokens: int) -> int:
    """A key apart from stream_key's: for draws about drafts, each of which must be used once.

    purpose: what is drawn (a draft, its acceptance).  num_tokens: known when the trial began; a
    position may be on trial in several steps, and what was seen in one must not steer the next.
    """
    return stream_key(_mix(seed + purpose * _GOLDEN & _MASK) + num_tokens, position)


def uniform(keys: Sequence[int]) -> torch.Tensor:
    """[N] float64 in [0, 1), one a key, on a 53-bit grid."""
    return torch.tensor([(_mix(key & _MASK) >> 11) * 2.0**-53 for key in keys], dtype=torch.float64)


def gumbel(keys: Sequence[int], token_ids: torch.Tensor) -> torch.Tensor:
    """Gumbel noise, float32: element [i, j] of the key i and of token_ids[j] or token_ids[i, j].

    keys: stream_key of each row.  token_ids: [V] or [N, V] int64.
    """
    rows = torch.tensor(keys, dtype=torch.int64, device=token_ids.device)
    return gumbel_of(rows.unsqueeze(1), token_ids)


def gumbel_of(keys: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
    """The same for keys and token_ids that broadcast together, both int64."""
    if keys.device.type != "cpu":  # where drafts are judged by ratio; drawing has its own kernel
        return gumbel_of(keys.cpu(), token_ids.cpu()).to(keys.device)
    # numpy has unsigned integers, whose >> is the logical shift; torch's takes two operations.
    x = token_ids.numpy().view(np.uint64) * np.uint64(_GOLDEN) + keys.numpy().view(np.uint64)
    x ^= x >> np.uint64(30)
    x *= np.uint64(_MIX_1)
    x ^= x >> np.uint64(27)
    x *= np.uint64(_MIX_2)
    # The last xor-shift of SplitMix64 only touches low bits, which float32 would round away.
    x >>= np.uint64(1)
    u = torch.from_numpy(x.view(np.int64)).to(torch.float32).mul_(_TWO_63)
    # u is fine-grained near 0 and -log1p(-u) ~ u there, so large Gumbel values are not quantised.
    return u.clamp_(2.0**-63, 1 - 2.0**-24).neg_().log1p_().neg_().log_().neg_()


def _mix(x: int) -> int:
    x = (x ^ x >> 30) * _MIX_1 & _MASK
    x = (x ^ x >> 27) * _MIX_2 & _MASK
    return x ^ x >> 31


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x

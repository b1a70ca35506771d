"""The draw of a token: argmax(logits / temperature + Gumbel noise), greedy at temperature 0.

The noise is that of noise.py: SplitMix64 of (seed, absolute position, token id), so that a draw is
the same whatever runs beside it. Integers are equal bit for bit; the two logarithms and the
division round otherwise than torch's on a CPU, by a few units in the last place of float32, so a
token can differ from the CPU's only where two noisy scores are that close (about 1 draw in 10^5 at
128,000 tokens).

Two passes: a program looks at a part of the vocabulary, then one at the best of all parts.
"""

from __future__ import annotations

import torch

from engine_under_test.noise import mixed_seed

from ._interpreter import sum_type

import triton  # isort: skip  # after the interpreter is chosen
import triton.language as tl  # isort: skip

__all__ = ["draw", "mixed_seed"]

_BLOCK = 4096


@triton.jit
def _mix(x):
    """The finaliser of SplitMix64, of uint64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@triton.jit
def _gumbel(key, token):
    """Gumbel noise, float32, of a uint64 key and token ids; see noise.gumbel_of."""
    x = token.to(tl.uint64) * 0x9E3779B97F4A7C15 + key
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    u = (x >> 1).to(tl.int64).to(tl.float32) * 1.0842021724855044e-19  # 2^-63
    u = tl.minimum(tl.maximum(u, 1.0842021724855044e-19), 0.99999994)
    # -log1p(-u) by Kahan's correction: exact where 1 - u rounds to 1, else the rounding undone.
    w = 1.0 - u
    exponential = tl.where(w == 1.0, u, -tl.log(w) * (u / tl.where(w == 1.0, 1.0, 1.0 - w)))
    return -tl.log(exponential)


@triton.jit(do_not_specialize_on_alignment=("temperatures", "seeds", "positions", "rows"))
def _best_of_part(
    logits, temperatures, seeds, positions, rows, best, best_token, stride_row, num_tokens,
    PARTS: tl.constexpr, BLOCK: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    i, part = tl.program_id(0), tl.program_id(1)
    row = tl.load(rows + i)
    token = part * BLOCK + tl.arange(0, BLOCK)
    mask = token < num_tokens
    place = logits + i.to(tl.int64) * stride_row + token
    score = tl.load(place, mask=mask, other=-float("inf")).to(SUM)
    temperature = tl.load(temperatures + row)
    if temperature > 0:
        position = tl.load(positions + i).to(tl.uint64) + 1
        seed = tl.load(seeds + row).to(tl.uint64)
        key = _mix(seed + position * 0x9E3779B97F4A7C15)
        score = score / temperature.to(SUM) + _gumbel(key, token)
        score = tl.where(mask, score, -float("inf"))
    highest, place_of = tl.max(
        score, axis=0, return_indices=True, return_indices_tie_break_left=True
    )
    tl.store(best + i * PARTS + part, highest)
    tl.store(best_token + i * PARTS + part, part * BLOCK + place_of)


@triton.jit
def _best_of_all(best, best_token, tokens, PARTS: tl.constexpr, PADDED: tl.constexpr):
    i = tl.program_id(0)
    part = tl.arange(0, PADDED)
    score = tl.load(best + i * PARTS + part, mask=part < PARTS, other=-float("inf"))
    place = tl.argmax(score, axis=0, tie_break_left=True)
    tl.store(tokens + i, tl.load(best_token + i * PARTS + place).to(tl.int64))


def draw(
    logits: torch.Tensor,
    temperatures: torch.Tensor,
    seeds: torch.Tensor,
    positions: torch.Tensor,
    rows: torch.Tensor,
) -> torch.Tensor:
    """[N] int64: a token a row of logits [N, V]. Ties go to the lowest token id.

    temperatures [R] float64, seeds [R] int64 (mixed_seed of each): of every persistent row; rows
    [N] says whose logits these are.  positions [N]: where the drawn token will stand.
    """
    num_rows, vocab_size = logits.shape
    assert logits.stride(1) == 1
    assert all(t.is_contiguous() for t in (temperatures, seeds, positions, rows))
    parts = triton.cdiv(vocab_size, _BLOCK)
    sums = torch.float64 if logits.dtype == torch.float64 else torch.float32
    best = torch.empty(num_rows, parts, dtype=sums, device=logits.device)
    best_token = torch.empty(num_rows, parts, dtype=torch.int32, device=logits.device)
    tokens = torch.empty(num_rows, dtype=torch.int64, device=logits.device)
    _best_of_part[(num_rows, parts)](
        logits, temperatures, seeds, positions, rows, best, best_token, logits.stride(0),
        vocab_size, parts, min(_BLOCK, triton.next_power_of_2(vocab_size)),
        sum_type(logits.dtype), num_warps=8,
    )  # fmt: skip
    _best_of_all[(num_rows,)](best, best_token, tokens, parts, triton.next_power_of_2(parts))
    return tokens

"""Claims of what is typical: a median over independent time blocks, with order-statistic bounds.

C1: TTFT below a limit, by prompt length. C14: output tokens/s per user. Failures count as
infinitely late, and as no speed at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.frame import FloatArray
from harness.analysis.time_blocks import BlockMedian, block_medians, median_of_blocks
from harness.decisions.claims.counted import Counted, left_share, tpot, ttft, unless_left_out
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, Standing, by_bounds, missing
from harness.decisions.wording import amount
from harness.scenario.claims import Claim
from harness.units import write_seconds


def ttft_by_prompt(claim: Claim, evidence: Evidence) -> Finding:
    """Supported where every bucket that was measured is, refuted where every one is; a mixture is
    inconclusive and says up to which length it holds."""
    measured = evidence.of(claim, "ttft")
    if not measured:
        return missing(claim, evidence.absence(claim, "ttft"))
    limit, figures = claim.number, Figures()
    figures.add("measured on", targets_of(measured))
    rtt = [m.summary.meta.rtt_s for m in measured if m.summary.meta.rtt_s is not None]
    if rtt:
        rtt_s = float(np.median(rtt))
        figures.add("round trip, inside every TTFT", amount(rtt_s, "s"), rtt_s)
    counted = [ttft(m.frame, limit) for m in measured]
    standings: dict[int, Standing] = {}
    seen: list[BlockMedian] = []
    for tokens in claim.scope.prompts:
        medians = [
            v
            for m, c in zip(measured, counted, strict=True)
            for v in _ttft_medians(m, c, tokens, claim)
        ]
        found = median_of_blocks(medians, claim.alpha)
        if not found.k:
            continue
        seen.append(found)
        standing = (
            by_bounds(claim, found.low, found.high, limit, is_max=True)
            if found.k >= claim.min_n else Standing.INCONCLUSIVE
        )  # fmt: skip
        standings[tokens] = standing
        told = f"{_ends(found, 's')}, {found.k} blocks: {standing.value}"
        figures.add(f"TTFT p50 of prompts about {tokens:,} tokens", told, found.value)
    share = left_share([m.frame for m in measured], counted)
    if not standings:
        blocks = write_seconds(claim.scope.block)
        told = f"no block of {blocks} holds five requests of one prompt length"
        return missing(claim, told + _refused(share))
    standing, reason = _joined(claim, standings, seen)
    standing, reason = unless_left_out(claim, standing, reason, share, figures)
    return _with(claim, standing, reason, figures, seen[0])


def _refused(share: float) -> str:
    return f" ({100 * share:.3g}% of the requests say nothing: 429, 4xx)" if share else ""


def _joined(
    claim: Claim, standings: dict[int, Standing], seen: Sequence[BlockMedian]
) -> tuple[Standing, str]:
    kinds, limit = set(standings.values()), amount(claim.number, "s")
    few = min(found.k for found in seen)
    for kind, word in ((Standing.SUPPORTED, "below"), (Standing.REFUTED, "above")):
        if kinds == {kind}:
            told = f"the median TTFT is surely {word} {limit} at {_lengths(claim, standings)}"
            return kind, told
    if few < (needed := blocks_needed(claim)):
        told = f"{few} blocks were measured where {needed} are asked for"
        return Standing.INCONCLUSIVE, told
    words = (
        f"{kind.value} at {', '.join(f'{t:,}' for t, s in standings.items() if s is kind)} tokens"
        for kind in (Standing.SUPPORTED, Standing.REFUTED, Standing.INCONCLUSIVE)
        if kind in kinds
    )
    return Standing.INCONCLUSIVE, f"it depends on the prompt: {'; '.join(words)}"


def _lengths(claim: Claim, tried: dict[int, Standing]) -> str:
    """Which prompts that was seen of, and which nobody sent."""
    told = f"{', '.join(f'{tokens:,}' for tokens in tried)} prompt tokens"
    rest = [f"{tokens:,}" for tokens in claim.scope.prompts if tokens not in tried]
    return told + (f"; {', '.join(rest)} were not tried" if rest else ", every length asked for")


def blocks_needed(claim: Claim) -> int:
    """The least number of blocks that carries a one-sided bound of their median, or that the claim
    asks for."""
    return max(claim.min_n, math.ceil(math.log(claim.alpha) / math.log(0.5) - 1e-9))


def _ttft_medians(m: Measured, counted: Counted, tokens: int, claim: Claim) -> list[float]:
    frame = m.frame
    n_in = np.where(np.isnan(frame.n_in), frame.asked_in, frame.n_in)
    chosen = counted.is_told & frame.is_last & (_bucket(n_in, claim.scope.prompts) == tokens)
    return block_medians(frame, counted.values, chosen, claim.scope.block)


def _bucket(n_in: FloatArray, prompts: Sequence[int]) -> FloatArray:
    """[n] the bucket nearest in ratio; NaN beyond four times the largest or a quarter of the least.

    A prompt of 500 tokens is nearer to 1,024 than to 128: half as long against four times.
    """
    known = np.array(sorted(prompts), dtype=np.float64)
    ratio = np.abs(np.log(np.maximum(n_in, 1)[:, None] / known[None, :]))
    nearest = known[np.argmin(np.where(np.isnan(ratio), np.inf, ratio), axis=1)]
    is_near = np.nanmin(np.where(np.isnan(ratio), np.inf, ratio), axis=1) <= math.log(4)
    return np.where(is_near & np.isfinite(n_in), nearest, np.nan)


def output_speed(claim: Claim, evidence: Evidence) -> Finding:
    """Output tokens/s per user, 1 / tpot: at least the value, or at most it, as claimed."""
    measured = evidence.of(claim, "tpot")
    if not measured:
        return missing(claim, evidence.absence(claim, "tpot"))
    medians: list[float] = []
    counted = [tpot(m.frame) for m in measured]
    for m, c in zip(measured, counted, strict=True):
        with np.errstate(divide="ignore"):
            speed = 1 / c.values
        medians += block_medians(m.frame, speed, c.is_told & m.frame.is_last, claim.scope.block)
    found, share = median_of_blocks(medians, claim.alpha), left_share(
        [m.frame for m in measured], counted
    )  # fmt: skip
    if not found.k:
        told = f"no block of {write_seconds(claim.scope.block)} holds five requests"
        return missing(claim, told + _refused(share))
    figures = Figures()
    figures.add("measured on", targets_of(measured))
    figures.add("output tokens/s per user, median of blocks", _ends(found, "tok/s"), found.value)
    figures.add("blocks", f"{found.k} of {write_seconds(claim.scope.block)}", float(found.k))
    if found.k < (needed := blocks_needed(claim)):
        told = f"{found.k} blocks were measured where {needed} are asked for"
        return _with(claim, Standing.INCONCLUSIVE, told, figures, found)
    is_max = claim.operator in ("<", "<=")
    standing = by_bounds(claim, found.low, found.high, claim.number, is_max=is_max)
    told = f"median over blocks {_ends(found, 'tok/s')}, claimed {amount(claim.number, 'tok/s')}"
    standing, told = unless_left_out(claim, standing, told, share, figures)
    return _with(claim, standing, told, figures, found)


def _ends(found: BlockMedian, unit: str) -> str:
    if found.low is None or found.high is None:
        return f"{amount(found.value, unit)} (too few blocks for bounds)"
    low, high = amount(found.low, unit), amount(found.high, unit)
    return f"{amount(found.value, unit)} (at least {low}, at most {high})"


def _with(
    claim: Claim, standing: Standing, reason: str, figures: Figures, found: BlockMedian
) -> Finding:
    return Finding(
        claim, standing, reason, figures=figures.done(), value=found.value, low=found.low,
        high=found.high, n=found.k,
    )  # fmt: skip

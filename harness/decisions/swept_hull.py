"""What a calibration has seen: batches with their context, and prompts. Beyond it is a guess.

Decoding is known for every (n, K) that some mixture of measured points dominates: below the
concave envelope of the measured contexts over the batch size, and below the largest batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

SLACK_RATIO = 1.02  # what lies this close to the edge was measured, for all that matters


@dataclass(frozen=True, slots=True)
class SweptHull:
    """envelope: corners (sequences, context tokens), sequences rising, context falling or flat
    after its peak.  max_prompt_tok: longest prompt read alone."""

    envelope: tuple[tuple[float, float], ...]
    max_prompt_tok: int

    @classmethod
    def of(
        cls, num_seqs: Sequence[float], context_tok: Sequence[float], prompt_tok: Sequence[float]
    ) -> Self:
        """From the measured decode points and lone prompts."""
        points = [(float(n), float(k)) for n, k in zip(num_seqs, context_tok, strict=True)]
        return cls(_envelope(points), int(max(prompt_tok, default=0)))

    @property
    def max_seqs(self) -> float:
        return self.envelope[-1][0] if self.envelope else 0.0

    def context_at(self, num_seqs: float) -> float:
        """Most context that was seen with so many sequences, or more of them."""
        if not self.envelope or num_seqs > self.max_seqs * SLACK_RATIO:
            return 0.0
        before = self.envelope[0]
        if num_seqs <= before[0]:
            return max(k for _, k in self.envelope)
        for after in self.envelope[1:]:
            if num_seqs <= after[0]:
                share = (num_seqs - before[0]) / (after[0] - before[0])
                inside = before[1] + share * (after[1] - before[1])
                return max(inside, max(k for n, k in self.envelope if n >= after[0]))
            before = after
        return before[1]

    def beyond(
        self, num_seqs: float | None, context_tok: float | None, prompt_tok: float | None
    ) -> tuple[str, ...]:
        """One phrase for each way in which a state lies outside; none inside. None: not asked."""
        found = []
        if num_seqs is not None and num_seqs > self.max_seqs * SLACK_RATIO:
            found.append(f"{num_seqs:,.0f} sequences at once, {self.max_seqs:,.0f} were swept")
        elif num_seqs is not None and context_tok is not None:
            most = self.context_at(num_seqs)
            if context_tok > most * SLACK_RATIO:
                found.append(
                    f"{context_tok:,.0f} tokens of context, {most:,.0f} were swept with"
                    f" {num_seqs:,.0f} sequences or more"
                )
        if prompt_tok is not None and prompt_tok > self.max_prompt_tok * SLACK_RATIO:
            found.append(f"prompts of {prompt_tok:,.0f} tokens, {self.max_prompt_tok:,} were swept")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {
            "envelope": [list(corner) for corner in self.envelope],
            "max_prompt_tok": self.max_prompt_tok,
        }


def _envelope(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Upper concave envelope, from the smallest batch to the largest (Andrew's monotone chain)."""
    best: dict[float, float] = {}
    for n, k in points:
        best[n] = max(best.get(n, 0.0), k)
    corners: list[tuple[float, float]] = []
    for point in sorted(best.items()):
        while len(corners) >= 2 and _is_below(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return tuple(corners)


def _is_below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])

"""How a calibrated server speculates, in the twin's two numbers; or why it cannot be planned for.

The twin tries gamma drafts a sequence and step and gains tau tokens of them, whatever the batch and
the text. What a sweep shows must be that, or there is no plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.steps import Pace
from harness.decisions.wording import counted
from harness.errors import MeasurementError

MOST_CHANGE = 1.25  # of the tokens a step, from the smallest batch to the largest


@dataclass(frozen=True, slots=True)
class BatchPace:
    """What a decoding sequence gained in the steps of one point. num_seqs: its batch."""

    num_seqs: int
    pace: Pace


@dataclass(frozen=True, slots=True)
class Drafting:
    """gamma: drafts a step, 0: none.  tau: tokens a step, 1..gamma + 1.  assumed: in words."""

    gamma: int = 0
    tau: float = 1.0
    assumed: tuple[str, ...] = ()


def drafting_of(points: Sequence[BatchPace]) -> Drafting:
    """Means over the points, each counting once.

    Raises MeasurementError where the server speculates and does not tell its drafts, or tries other
    numbers of them at other batches.
    """
    if not points:
        return Drafting()
    tau = float(np.mean([p.pace.tok_per_step for p in points]))
    if not any(p.pace.speculates for p in points):
        return Drafting()
    told = [p.pace.drafts for p in points if p.pace.drafts is not None]
    if len(told) < len(points):
        is_counted = any(p.pace.is_told for p in points)
        seen = (
            f"it made {tau:.2f} tokens a step, and" if is_counted else
            f"its answers came {tau:.2f} tokens a chunk: drafts that were kept, or a stream held"
            " back; and"
        )  # fmt: skip
        raise MeasurementError(
            "the twin cannot be told how this server speculates",
            why=f"{seen} neither its answers' timings (drafted_tokens) nor its metrics (counters of"
            " drafts and draft tokens) say with how many drafts",
            do="calibrate it with speculation off"
            + ", " * is_counted + " and a token a chunk, " * (not is_counted)
            + "or plan from a measured sweep of rates",
        )  # fmt: skip
    sizes = [p.num_seqs for p in points]
    few, many = _at(points, min(sizes)), _at(points, max(sizes))
    if max(few / many, many / few) > MOST_CHANGE:
        raise MeasurementError(
            "the twin plans for a fixed number of drafts",
            why=f"this server made {few:.2f} tokens a step with the smallest batch and {many:.2f}"
            " with the largest: it drafts by its load",
            do="calibrate it with a fixed number (of the reference engine --spec-k), with"
            " speculation off, or plan from a measured sweep of rates",
        )
    gamma = max(round(float(np.mean(told))), math.ceil(tau) - 1, 1)
    words = (
        f"speculation as on the sweep's own prompts: {counted(gamma, 'draft')} a step, {tau:.2f}"
        " tokens gained by it; other texts may be easier or harder to draft"
    )
    return Drafting(gamma, tau, (words,))


def _at(points: Sequence[BatchPace], num_seqs: int) -> float:
    """Tokens a step of the points of one batch."""
    return float(np.mean([p.pace.tok_per_step for p in points if p.num_seqs == num_seqs]))

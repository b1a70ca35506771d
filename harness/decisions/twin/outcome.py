"""What the twin answers: the times of every request, and where the server's time went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .requests import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over one replica or, added up, over a fleet.

    num_steps.  busy_s: time with a step running.  end_s: end of the last step.
    prefill_tok: prompt tokens computed, those after a preemption again.  preemptions.
    running_s: integral of the running sequences over time (mean batch = running_s / busy_s).
    peak_kv_tok: most KV held at the end of a step.
    waiting_for_batch_s, waiting_for_kv_s, waiting_for_budget_s: time of steps at whose start the
    first request in line had arrived and was kept out by a full batch, a full KV cache (or a
    preemption in that step), or a step filled up by prompts: what breaks first.
    """

    num_steps: int
    busy_s: float
    end_s: float
    prefill_tok: int
    preemptions: int
    running_s: float
    peak_kv_tok: float
    waiting_for_batch_s: float
    waiting_for_kv_s: float
    waiting_for_budget_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """[n] each, in the order of the requests; seconds; NaN where refused.

    queue_s: arrival to first admission.  ttft_s: arrival to first token.  tpot_s: mean time per
    output token after the first, NaN where n_out = 1.  e2e_s: arrival to last token.
    preemptions: times a request lost its KV.  is_refused: could never fit the KV cache.
    """

    queue_s: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray
    preemptions: IntArray
    is_refused: BoolArray
    totals: Totals

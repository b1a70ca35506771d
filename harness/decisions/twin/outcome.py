"""What the twin answers: the times of every request, and where the servers' time went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .layout import BATCH_FULL, BUDGET_SPENT, KV_FULL, RecordArray
from .model import TOKEN_UNITS
from .requests import FloatArray, IntArray, Requests

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over one replica or, added up, over a fleet.

    num_steps.  busy_s: time with a step running.  end_s: end of the last step (latest replica).
    prefill_tok: prompt tokens computed, those after a preemption again.  preemptions.
    running_s: integral of the running sequences over time (mean batch = running_s / busy_s).
    peak_kv_tok: most KV held at the end of a step (fullest replica).
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

    @classmethod
    def of(cls, replicas: RecordArray) -> Totals:
        blocked = replicas["blocked_s"].sum(axis=0)
        ends = replicas["now_s"][replicas["num_steps"] > 0]
        return cls(
            num_steps=int(replicas["num_steps"].sum()), busy_s=float(replicas["busy_s"].sum()),
            end_s=float(ends.max()) if len(ends) else 0.0,
            prefill_tok=int(replicas["prefill_tok"].sum()),
            preemptions=int(replicas["preemptions"].sum()),
            running_s=float(replicas["running_s"].sum()),
            peak_kv_tok=float(replicas["peak_units"].max(initial=0)) / TOKEN_UNITS,
            waiting_for_batch_s=float(blocked[BATCH_FULL]),
            waiting_for_kv_s=float(blocked[KV_FULL]),
            waiting_for_budget_s=float(blocked[BUDGET_SPENT]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """[n] each, in the order of the requests; seconds; NaN where refused.

    queue_s: arrival to first admission.  ttft_s: arrival to first token.  tpot_s: mean time per
    output token after the first, NaN where n_out = 1.  e2e_s: arrival to last token.
    preemptions: times a request lost its KV.  cached_tok: of its prompt, found in the prefix cache.
    replica: who served it, -1 where refused.  is_refused: could never fit the KV cache, or came
    while there was no replica and the policy rejects.
    """

    queue_s: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray
    preemptions: IntArray
    cached_tok: IntArray
    replica: IntArray
    is_refused: BoolArray
    totals: Totals

    @classmethod
    def of(cls, requests: Requests, rows: RecordArray, replicas: RecordArray) -> Outcome:
        """Durations from the kernel's stamps."""
        later = np.maximum(rows["n_out"] - 1, 1)
        tpot_s = (rows["last_s"] - rows["first_s"]) / later
        tpot_s[rows["n_out"] == 1] = np.nan
        return cls(
            queue_s=rows["scheduled_s"] - requests.arrival_s,
            ttft_s=rows["first_s"] - requests.arrival_s, tpot_s=tpot_s,
            e2e_s=rows["last_s"] - requests.arrival_s,
            preemptions=rows["preemptions"].copy(), cached_tok=rows["cached_tok"].copy(),
            replica=rows["replica"].copy(), is_refused=np.isnan(rows["last_s"]),
            totals=Totals.of(replicas),
        )  # fmt: skip

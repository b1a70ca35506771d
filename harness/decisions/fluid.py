"""The fluid bound: what no schedule of a batching server can exceed, from its step times alone.

lambda_max = 1 / (E[prefill] + E[out] t(B) / B), B = min(batch, KV / E[in + out]): each request
costs its prefill, and its share of the decoding steps of a full batch. Queues, tails and SLOs only
take from it, so a measured capacity is told as a share of it.
"""

from __future__ import annotations

from collections.abc import Callable


def full_batch(max_batch: int, kv_tok: float, mean_in_tok: float, mean_out_tok: float) -> float:
    """Sequences that decode together: as many as the batch allows and the KV cache holds."""
    return min(float(max_batch), kv_tok / (mean_in_tok + mean_out_tok))


def fluid_bound_req_per_s(
    mean_prefill_s: float, mean_out_tok: float, batch: float, step_s: Callable[[float], float]
) -> float:
    """batch: of full_batch.  step_s: batch -> seconds of one decoding step of it."""
    return 1 / (mean_prefill_s + mean_out_tok * step_s(batch) / batch)

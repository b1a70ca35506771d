"""What the validity checks look at, measured once; each function answers one question.

None means that nothing was recorded to answer it, never that all is well or ill.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.analysis.client_health import ClientHealth
from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.point_meta import PointMeta
from harness.analysis.quantiles import STATS
from harness.analysis.steady_state import SteadyState
from harness.analysis.tokens import tpot_s
from harness.scenario.slo import LatencyLimits


@dataclass(frozen=True, slots=True)
class Evidence:
    frame: Frame
    health: ClientHealth
    meta: PointMeta
    steady: SteadyState

    @property
    def measured(self) -> BoolArray:
        return self.frame.is_measured

    @property
    def succeeded(self) -> BoolArray:
        return self.frame.is_measured & self.frame.is_success

    @property
    def streamed(self) -> BoolArray:
        """Successes whose tokens came as a stream."""
        return self.succeeded & self.frame.is_streamed


def send_lag_p99_s(e: Evidence) -> float | None:
    """The client's own lateness: intended to sent, less the time a connection took to open."""
    lag = (e.frame.sent_s - e.frame.intended_s - e.frame.connect_s)[e.measured & e.frame.is_first]
    lag = lag[np.isfinite(lag)]
    return float(np.quantile(lag, 0.99)) if len(lag) else None


def sent_ratio(e: Evidence) -> float | None:
    if e.meta.kind == "closed" or not e.meta.num_scheduled:
        return None
    return int((e.measured & e.frame.is_first & e.frame.was_sent).sum()) / e.meta.num_scheduled


def extra_arrivals(e: Evidence) -> float | None:
    """Requests beyond those the schedule holds in the window."""
    if e.meta.kind == "closed" or e.meta.num_scheduled is None:
        return None
    return float(max(0, int((e.measured & e.frame.is_first).sum()) - e.meta.num_scheduled))


def arrivals_p(e: Evidence) -> float | None:
    value = e.meta.realised.get("ks_p")
    return None if value is None else float(value)


def receive_lag_p99_s(e: Evidence) -> float | None:
    return e.health.receive_lag_p99_s if e.meta.stamp_source == "kernel" else None


def hub_lag_p99_s(e: Evidence) -> float | None:
    """Matters only where stamps are the process's own."""
    return e.health.hub_lag_p99_s if e.meta.stamp_source != "kernel" else None


def uncertain_chunks(e: Evidence) -> float | None:
    chosen = np.repeat(e.succeeded, e.frame.num_chunks)
    return _mean(e.frame.chunk_is_uncertain[chosen])


def uncertain_first(e: Evidence) -> float | None:
    return _mean(e.frame.is_first_uncertain[e.streamed])


def events_per_receive(e: Evidence) -> float | None:
    """Chunks a receive among chunks whose stamp is certain: above 1, something upstream batches.

    Chunks of one receive share its stamp.
    """
    frame = e.frame
    if len(frame.chunk_s) < 2:
        return None
    counted = np.repeat(e.succeeded, frame.num_chunks) & ~frame.chunk_is_uncertain
    shares = np.zeros(len(frame.chunk_s), dtype=np.bool_)
    shares[1:] = (np.diff(frame.chunk_s) == 0) & (np.diff(frame.chunk_owner) == 0)
    num, shared = int(counted.sum()), int((counted & shares).sum())
    return num / (num - shared) if num > shared else None


def cached_ratio(e: Evidence) -> float | None:
    """Cached share of prompts that no cache should know; of each prompt, the words of the chat
    template may be cached, for they are the same in all."""
    unique = np.isin(e.frame.class_name, e.meta.unique_classes)
    told = e.succeeded & unique & np.isfinite(e.frame.cached_tok) & np.isfinite(e.frame.n_in)
    total = float(e.frame.n_in[told].sum())
    unexpected_tok = np.maximum(e.frame.cached_tok[told] - e.meta.template_tok, 0.0)
    return float(unexpected_tok.sum()) / total if total else None


def output_mismatch(e: Evidence) -> float | None:
    return _mismatch(e.frame.n_out, e.frame.asked_out, e.succeeded)


def input_mismatch(e: Evidence) -> float | None:
    return _mismatch(e.frame.n_in, e.frame.asked_in, e.succeeded)


def missing_counts(e: Evidence) -> float | None:
    return _mean(np.isnan(e.frame.n_out[e.streamed]))


def missing_input_counts(e: Evidence) -> float | None:
    """Of answers that come whole: their input is all there is to count."""
    counted = e.succeeded & ~e.frame.is_streamed & np.isnan(e.frame.audio_s)
    return _mean(np.isnan(e.frame.n_in[counted]))


def token_discrepancy(e: Evidence) -> float | None:
    """Median difference between the server's count and our tokenizer's, as a share of the server's.

    Among answers that were counted twice.
    """
    both = e.succeeded & np.isfinite(e.frame.n_recount) & (e.frame.n_out > 0)
    if not both.any():
        return None
    told, counted = e.frame.n_out[both], e.frame.n_recount[both]
    return float(np.median(np.abs(counted - told) / told))


def estimated_counts(e: Evidence) -> float | None:
    sources = e.frame.tok_source[e.streamed]
    return _mean(np.isin(sources, ("tokenizer", "characters")))


def without_tpot(e: Evidence) -> float | None:
    return _mean(np.isnan(tpot_s(e.frame))[e.streamed])


def rtt_ratio(e: Evidence) -> float | None:
    ttft = (e.frame.first_token_s - e.frame.intended_s)[e.succeeded]
    ttft = ttft[np.isfinite(ttft)]
    if e.meta.rtt_s is None or not len(ttft) or np.median(ttft) <= 0:
        return None
    return e.meta.rtt_s / float(np.median(ttft))


def dropped_ratio(e: Evidence) -> float | None:
    """Kept connections that the server closed, a request of the window."""
    num = int(e.measured.sum())
    return None if e.health.num_dropped is None or not num else e.health.num_dropped / num


def beyond_highest(e: Evidence) -> float | None:
    """Valid requests beyond the highest quantile over requests that a limit names, None without.

    A median needs none; icl and itl are quantiles over gaps, of which there are more.
    """
    named = [
        STATS[stat]
        for slo in (e.meta.slo, *e.meta.class_slos.values())
        for metric, limits in slo
        if isinstance(limits, LatencyLimits) and metric not in ("icl", "itl")
        for stat in STATS
        if stat != "p50" and getattr(limits, stat, None) is not None
    ]
    return num_valid(e) * (1 - max(named)) if named else None


def client_faults(e: Evidence) -> float | None:
    return _mean(e.frame.is_class("client_fault", "stale")[e.measured])


def cut_ratio(e: Evidence) -> float | None:
    return _mean(e.frame.is_cut[e.measured])


def injected_faults(e: Evidence) -> float | None:
    return float((e.frame.fault[e.measured] != "").sum())


def num_valid(e: Evidence) -> float:
    return float((e.measured & e.frame.is_last & e.frame.is_valid).sum())


def _mean(happened: BoolArray) -> float | None:
    return float(happened.mean()) if len(happened) else None


def _mismatch(seen: FloatArray, asked: FloatArray, chosen: BoolArray) -> float | None:
    both = chosen & np.isfinite(seen) & (asked > 0)
    total = float(asked[both].sum())
    return abs(float(seen[both].sum()) / total - 1) if total else None

"""What gives way first as the rate rises: which limit is missed, and what in the server is behind.

Which limit: of the lowest rate that misses, the one that most requests break by themselves. Why:
from the server's own gauges where it shows them (a full KV cache, requests that wait), else from
the limit alone, since a first token waits for its prefill and later ones for the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.analysis import PointSummary
from harness.analysis.slo_grid import NUM_STOPS
from harness.decisions.capacity import Capacity
from harness.decisions.wording import amount, metric_name
from harness.units import brief

Cause = Literal["prefill queue", "KV cache", "compute", "errors", "unknown"]
FULL_KV = 0.95
SOME_WAITING = 1.0


@dataclass(frozen=True, slots=True)
class Broken:
    """metric: id of the limit, `error_rate` for failures.  is_seen: told by the server's gauges,
    not only concluded from the limit.  sentence: without a full stop."""

    rate_req_per_s: float
    metric: str
    cause: Cause
    is_seen: bool
    sentence: str


def broke_first(points: list[PointSummary], capacity: Capacity) -> Broken | None:
    """None where no rate misses. points: those the capacity was drawn from."""
    share = capacity.share
    if share is None:
        return None
    missing = [lv.rate_req_per_s for lv in capacity.levels if lv.standing(share) == "misses"]
    at = [p for p in points if p.is_valid and _is(p, missing[0])] if missing else []
    if not at:
        return None
    point = next((p for p in at if not p.is_stable), at[0])
    metric = _metric(point)
    cause, seen = _cause(point, metric)
    words = "failed requests" if metric == "error_rate" else metric_name(metric)
    return Broken(missing[0], metric, cause, bool(seen), _sentence(words, cause, seen))


def _is(point: PointSummary, rate: float) -> bool:
    own = point.meta.offered_req_per_s
    return own is not None and abs(own / rate - 1) < 1e-6


def _metric(point: PointSummary) -> str:
    """The limit whose breach alone costs most requests."""
    lost: dict[str, float] = {}
    errors = point.find("error_rate", "ratio")
    if errors is not None and errors.value:
        lost["error_rate"] = errors.value * errors.n
    for grid in point.slo_grids[:1]:
        none = NUM_STOPS - 1
        kept = grid.num_good[none * NUM_STOPS + none]  # every other limit, and no failure
        lost["ttft"] = kept - grid.num_good[grid.default[0] * NUM_STOPS + none]
        lost["tpot"] = kept - grid.num_good[none * NUM_STOPS + grid.default[1]]
        rest = grid.num_valid - kept - lost.get("error_rate", 0.0)
        if rest > 0:
            lost["e2e_latency"] = rest
    if not lost or not max(lost.values()):
        return "ttft"  # the backlog grew, and has not reached any limit yet
    return max(lost, key=lambda name: lost[name])


def _cause(point: PointSummary, metric: str) -> tuple[Cause, str]:
    """And what the server shows of it; empty where it shows nothing."""
    if metric == "error_rate":
        return "errors", point.errors[0].error_class if point.errors else ""
    window = point.series.window_s
    gauges = {
        s.id: [v for t, v in zip(s.t_s, s.value, strict=True) if 0 <= t < window]
        for s in point.server.series
    }
    kv = max(gauges.get("kv_usage") or [0.0])
    waiting = gauges.get("waiting") or []
    mean_waiting = sum(waiting) / len(waiting) if waiting else 0.0
    if kv >= FULL_KV:
        return "KV cache", f"{amount(kv, 'ratio')} of it in use"
    if mean_waiting >= SOME_WAITING:
        return "prefill queue", f"{brief(mean_waiting)} requests waiting on average"
    if metric == "tpot":
        told = f"KV cache at most {amount(kv, 'ratio')} full, none waiting" if waiting else ""
        return "compute", told
    return ("prefill queue", "") if metric == "ttft" else ("unknown", "")


_FROM = {
    "prefill queue": ", from the prefill queue", "KV cache": ", from a full KV cache",
    "compute": ", from the decoding batch (compute)", "errors": "", "unknown": "",
}  # fmt: skip


def _sentence(words: str, cause: Cause, seen: str) -> str:
    if cause == "unknown":
        return words
    told = f" ({seen})" if seen else " (concluded from the limit; the server's gauges do not tell)"
    return f"{words}{_FROM[cause]}{told}"

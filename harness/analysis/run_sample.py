"""What one run gives to a comparison: one number a metric, and the sample behind it.

Requests of one run are no replicates of a deployment: they share its luck. A gate therefore takes
one number a metric from each run and counts runs. That number needs no interval of its own, so a
quantile is given as soon as ten observations lie beyond it, however correlated they are. Latencies
are over `valid` with failures = infinity, as rules judge them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from harness.analysis.frame import BoolArray, FloatArray, Frame, read_frame
from harness.analysis.goodput import judge_requests
from harness.analysis.latency import end_samples, latency_samples
from harness.analysis.point import analyse_point, request_values
from harness.analysis.point_meta import PointMeta
from harness.analysis.quantiles import STATS, needed_requests, type7
from harness.analysis.summary import PointSummary
from harness.analysis.tokens import token_samples, token_times
from harness.scenario.gate import LATENCIES


@dataclass(frozen=True, slots=True)
class RunNumber:
    """value: None where the run carries none (then `reason`), inf where it was not reached."""

    value: float | None
    n: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunSample:
    """One run, or one stage of it. samples: (metric, scope) -> [n] in order of intended send."""

    summary: PointSummary
    samples: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    shares: dict[tuple[str, str], BoolArray] = field(default_factory=dict)

    def number(self, metric: str, stat: str, scope: str = "all") -> RunNumber:
        """The run's one number. stat: a quantile for a latency, else `rate` or `ratio`."""
        if metric in LATENCIES:
            return self._quantile(metric, stat, scope)
        found = self.summary.find(metric, stat, scope=scope)
        if found is None:
            return RunNumber(None, 0, f"{metric} {stat} was not measured for {scope}")
        return RunNumber(found.value, found.n, found.reason if found.value is None else "")

    def _quantile(self, metric: str, stat: str, scope: str) -> RunNumber:
        values = self.samples.get((metric, scope), np.zeros(0))
        n, p = len(values), STATS[stat]
        if n < needed_requests(p):
            needed = needed_requests(p)
            return RunNumber(None, n, f"a run has n={n:,}: {stat} needs {needed:,}")
        return RunNumber(type7(np.sort(values), p), n)


def run_sample(
    requests: pa.Table, clients: pa.Table, meta: PointMeta, server: pa.Table | None = None
) -> RunSample:
    """Analyse one run and keep its samples. Arguments as analyse_point."""
    summary = analyse_point(requests, clients, meta, server)
    frame = read_frame(requests, meta.t0_ns, meta.t1_ns)
    times = token_times(frame)
    good = judge_requests(frame, request_values(frame, times), meta.slo, meta.class_slos)
    samples: dict[tuple[str, str], FloatArray] = {}
    shares: dict[tuple[str, str], BoolArray] = {}
    for scope in ("all", *(meta.classes if len(meta.classes) > 1 else ())):
        ends = [
            (c.sample, np.where(c.is_cut, math.inf, c.sample.values))
            for c in end_samples(frame, scope)
        ]
        plain = [*latency_samples(frame, scope), *token_samples(frame, times, scope)]
        for sample, values in [*((s, s.values) for s in plain), *ends]:
            if sample.metric in LATENCIES and sample.population == "valid":
                samples[sample.metric, scope] = values
        shares |= _shares(frame, good.is_good, good.has_limit, scope)
    return RunSample(summary, samples, shares)


def _shares(
    frame: Frame, is_good: BoolArray, has_limit: BoolArray, scope: str
) -> dict[tuple[str, str], BoolArray]:
    """Of attempts for errors, of requests for goodness, as their metrics are defined."""
    members = frame.is_measured & frame.is_valid & frame.scope(scope)
    throttled = frame.is_class("throttled")
    found = {
        ("error_rate", scope): (frame.is_failed & ~throttled)[members],
        ("throttle_rate", scope): throttled[members],
    }
    decided = members & frame.is_last
    if has_limit[decided].any():
        found["slo_attainment", scope] = is_good[decided]
    return found

"""How much one point asks for: time, requests, tokens; expected values, before anything is sent.

Closed load answers as fast as its target, so its requests are known only when they were asked for
by number. Cool-down and drain last as long as the slowest answers and are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.notices import Notice
from harness.scenario import document as doc
from harness.scenario.advice import StageBudget, sample_notices, stage_budget
from harness.scenario.expand import Point
from harness.scenario.materials import Materials
from harness.units import write_seconds

_Z95 = 1.6448536269514722  # standard normal quantile of 0.95


@dataclass(frozen=True, slots=True)
class PointBudget:
    """Expected size of a point; None where only the target or the data decides.

    load_s: warm-up and windows of all stages.  num_measured: requests in the windows.  num_sent:
    those of the warm-up too.  input_tok, output_tok: of all that is sent.
    """

    load_s: float | None
    num_measured: float | None
    num_sent: float | None
    input_tok: float | None
    output_tok: float | None
    notices: tuple[Notice, ...]


def point_budget(point: Point, materials: Materials) -> PointBudget:
    """What a point asks for; traces and tables come from the materials."""
    stages = [_stage(stage, point, materials) for stage in point.stages]
    num_sent = _sum([_sent(stage) for stage in stages])
    is_searched = isinstance(point.document.sweep, doc.SearchSweep)  # it judges no quantile
    mean_in, mean_out = mean_tokens(point.traffic, materials)
    notices = [
        notice
        for stage in stages
        if stage.num_measured is not None and not is_searched
        for notice in sample_notices(point.slo, stage.num_measured)
    ]
    return PointBudget(
        load_s=_sum([_plus(s.window_s, s.warmup_s) for s in stages]),
        num_measured=_sum([s.num_measured for s in stages]),
        num_sent=num_sent,
        input_tok=_times(num_sent, mean_in),
        output_tok=_times(num_sent, mean_out),
        notices=tuple({str(n): n for n in notices}.values()),
    )


def describe_load(point: Point) -> str:
    """`open 8/s poisson`, `closed 8 users`; stages joined by commas."""
    return ", ".join(_describe(stage) for stage in point.stages)


def mean_tokens(
    traffic: tuple[doc.TrafficClass, ...], materials: Materials
) -> tuple[float | None, float | None]:
    """Mean tokens a request, in and out, over the classes by weight; None where unknown."""
    total = sum(c.weight for c in traffic)
    pairs = [_class_means(c, materials) for c in traffic]
    weights = [c.weight / total for c in traffic]
    means = [
        _sum([_times(w, pair[side]) for w, pair in zip(weights, pairs, strict=True)])
        for side in (0, 1)
    ]
    return means[0], means[1]


def mean_length(lengths: doc.Lengths | None, materials: Materials) -> float | None:
    """Mean of a length distribution in tokens; None without one or without its table."""
    match lengths:
        case doc.Fixed(value=value):
            return value
        case doc.Uniform():
            return (lengths.min + lengths.max) / 2
        case doc.Lognormal():
            return _lognormal_mean(lengths)
        case doc.Exponential(mean=mean):
            return mean
        case doc.Empirical(file=file, column=column, max=limit):
            table = materials.tables.get((file, column))
            return table.below(limit).mean if table is not None else None
    return None


def _class_means(
    traffic: doc.TrafficClass, materials: Materials
) -> tuple[float | None, float | None]:
    work = traffic.workload
    if isinstance(work, doc.ChatWorkload):
        return (
            mean_length(work.input_tokens, materials),
            mean_length(work.output_tokens, materials),
        )
    if isinstance(work, doc.TraceWorkload):
        trace = materials.traces.get(work.file)
        if trace is None:
            return None, None
        fits = trace.input_tok <= (work.max_input_tokens or np.iinfo(np.int32).max)
        if not fits.any():
            return None, None
        return float(trace.input_tok[fits].mean()), float(trace.output_tok[fits].mean())
    if isinstance(work, doc.TaskWorkload):
        return mean_length(work.input_tokens, materials), None
    if isinstance(work, doc.EmbeddingsWorkload):
        batch, each = (mean_length(d, materials) for d in (work.batch, work.input_tokens))
        return None if batch is None or each is None else batch * each, 0.0
    if isinstance(work, doc.AudioWorkload):
        return None, 0.0  # billed by its minutes
    rows = materials.datasets.get(work.file, ())
    given = [row.output_tok for row in rows if row.output_tok is not None]
    if given and len(given) == len(rows):
        return None, sum(given) / len(given)
    return None, mean_length(work.output_tokens, materials)


def _lognormal_mean(lengths: doc.Lognormal) -> float:
    """Mean of a lognormal cut at max: exp(mu + s^2/2) P(Z < z - s) / P(Z < z)."""
    sigma = math.log(lengths.p95 / lengths.median) / _Z95
    if sigma == 0:
        return lengths.median
    z = math.log(lengths.max / lengths.median) / sigma
    return lengths.median * math.exp(sigma**2 / 2) * _normal_cdf(z - sigma) / _normal_cdf(z)


def _normal_cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def _stage(stage: doc.Stage, point: Point, materials: Materials) -> StageBudget:
    times = None
    if isinstance(stage, doc.OpenStage) and isinstance(stage.arrival, doc.TraceArrival):
        trace = materials.traces.get(stage.arrival.file)
        times = trace.arrival_s if trace is not None else None
    return stage_budget(stage, point.load, times)


def _sent(stage: StageBudget) -> float | None:
    if stage.num_measured is None or not stage.window_s:
        return stage.num_measured
    return stage.num_measured * (1 + stage.warmup_s / stage.window_s)


def _describe(stage: doc.Stage) -> str:
    if isinstance(stage, doc.ClosedStage):
        return f"closed {stage.concurrency} user{'s' if stage.concurrency > 1 else ''}"
    if isinstance(stage, doc.ProbeStage):
        return f"probe every {write_seconds(stage.every)}"
    if isinstance(stage, doc.IdleBurstStage):
        silences = ", ".join(write_seconds(idle) for idle in stage.idle)
        return f"{stage.requests} requests after {silences} of silence, {stage.cycles} times"
    kind, rate = stage.arrival.kind, stage.rate
    if isinstance(rate, doc.Ramp):
        return f"open {rate.from_:g} to {rate.to:g}/s {kind}"
    return f"open {rate:g}/s {kind}" if rate is not None else f"open {kind}"


def _sum(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _plus(a: float | None, b: float) -> float | None:
    return a + b if a is not None else None


def _times(a: float | None, b: float | None) -> float | None:
    return a * b if a is not None and b is not None else None

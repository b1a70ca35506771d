"""How much one point asks for: time, requests, tokens, minutes of audio; expected values, before
anything is sent.

Closed load answers as fast as its target, so its requests are known only when they were asked for
by number. Cool-down and drain last as long as the slowest answers and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.notices import Notice
from harness.scenario import document as doc
from harness.scenario.advice import StageBudget, sample_notices, stage_budget
from harness.scenario.expand import Point
from harness.scenario.materials import Materials
from harness.scenario.mean_use import MeanUse, mean_use, total_of
from harness.units import write_seconds


@dataclass(frozen=True, slots=True)
class PointBudget:
    """Expected size of a point; None where only the target or the data decides.

    load_s: warm-up and windows of all stages.  num_measured: requests in the windows.  num_sent:
    those of the warm-up too.  each: of an average request.
    """

    load_s: float | None
    num_measured: float | None
    num_sent: float | None
    each: MeanUse
    notices: tuple[Notice, ...]

    @property
    def total(self) -> MeanUse:
        """Of all that is sent."""
        return self.each.times(self.num_sent)


def point_budget(point: Point, materials: Materials) -> PointBudget:
    """What a point asks for; traces and tables come from the materials."""
    stages = [_stage(stage, point, materials) for stage in point.stages]
    is_searched = isinstance(point.document.sweep, doc.SearchSweep)  # it judges no quantile
    notices = [
        notice
        for stage in stages
        if stage.num_measured is not None and not is_searched
        for notice in sample_notices(point.slo, stage.num_measured)
    ]
    return PointBudget(
        load_s=total_of([_plus(s.window_s, s.warmup_s) for s in stages]),
        num_measured=total_of([s.num_measured for s in stages]),
        num_sent=total_of([_sent(stage) for stage in stages]),
        each=mean_use(point.traffic, materials),
        notices=tuple({str(n): n for n in notices}.values()),
    )


def describe_load(point: Point) -> str:
    """`open 8/s poisson`, `closed 8 users`; stages joined by commas."""
    return ", ".join(_describe(stage) for stage in point.stages)


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


def _plus(a: float | None, b: float) -> float | None:
    return a + b if a is not None else None

"""A point and its materials become a Schedule: everything that will be sent, and when.

One process covers warm-up, window and cool-down without a seam, so the window's edge disturbs
nothing. Counts are never rescaled to the asked rate. The same point gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.scenario import document as doc
from harness.units import NS_PER_S

from ._lengths import Bodies, draw_bodies
from .arrivals import burst_times, process_of, rate_profile, trace_arrivals, unit_times
from .distributions import draw
from .schedule import ArrivalLaw, Schedule, StageSchedule
from .seeds import generator

if TYPE_CHECKING:
    from harness.scenario import Materials, Point

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_LEAST_CLOSED_ROWS = 1024  # distinct bodies a closed stage cycles through
_CLOSED_ROWS_A_SLOT = 8
_SLOT_START_S = 0.05  # default spread of closed starts: 20 users a second


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """Arrivals of an open stage. row: the trace's rows, None for other arrivals."""

    ns: IntArray
    window_ns: int
    law: ArrivalLaw
    row: IntArray | None = None


def build_schedule(point: Point, materials: Materials) -> Schedule:
    """Everything the point sends. Pure: the same point and materials give the same bytes."""
    stages = [
        _closed_stage(point, materials, index, stage)
        if isinstance(stage, doc.ClosedStage)
        else _open_stage(point, materials, index, stage)
        for index, stage in enumerate(point.stages)
    ]
    return Schedule(tuple(stages), drain_ns=_ns(point.load.drain))


def _open_stage(
    point: Point,
    materials: Materials,
    index: int,
    stage: doc.OpenStage | doc.ProbeStage | doc.IdleBurstStage,
) -> StageSchedule:
    """Whatever sends by the clock: only the array of times differs."""
    file = ""
    if isinstance(stage, doc.IdleBurstStage):
        times = _burst_times(point, stage)
    elif isinstance(stage, doc.ProbeStage):
        times = _process_times(point, index, _as_open(stage), doc.Constant(kind="constant"))
    elif isinstance(stage.arrival, doc.TraceArrival):
        times = _trace_times(point, materials, index, stage, stage.arrival)
        file = stage.arrival.file
    else:
        times = _process_times(point, index, stage, stage.arrival)
    bodies = draw_bodies(point, materials, index, len(times.ns), times.row, file)
    kept = np.flatnonzero(bodies.keep)
    return _stage(
        point, index, stage, bodies, kept,
        intended_ns=times.ns[kept], window_ns=times.window_ns, law=times.law,
        think_ns=np.zeros(len(kept), np.int64), slot_start_ns=np.zeros(0, np.int64),
    )  # fmt: skip


def _process_times(
    point: Point, index: int, stage: doc.OpenStage, arrival: doc.Constant | doc.Poisson | doc.Gamma
) -> _Times:
    """Unit-rate arrivals mapped through the inverse of the cumulative rate.

    `requests: N` ends the window, exclusive, at the arrival after the N-th: it holds N exactly and
    N over its length is an unbiased rate for Poisson arrivals.
    """
    if stage.rate is None:
        raise UsageError(f"stage '{stage.name}' has no rate", do="write load.rate, such as 8/s")
    warmup_s = point.load.warmup
    profile = rate_profile(stage.rate, warmup_s, _window_s(stage))
    before = float(profile.expected(np.array([warmup_s]))[0])
    process = process_of(arrival)

    def arrivals_ns(until: float, at_least: int = 0) -> IntArray:
        # drawn again from its start each time: a longer draw only adds arrivals
        rng = generator(point.seed, "arrivals", stage=index)
        unit = unit_times(process, rng, until, at_least)
        return np.rint(profile.inverse(unit) * NS_PER_S).astype(np.int64)

    warmup_ns = _ns(warmup_s)
    if stage.duration is None:
        first = int(np.searchsorted(arrivals_ns(before + 1), warmup_ns))
        last = first + (stage.requests or 1)
        window_ns = int(arrivals_ns(before + 1, at_least=last + 1)[last]) - warmup_ns
    else:
        window_ns = _ns(stage.duration)
    end_ns = warmup_ns + window_ns + _ns(point.load.cooldown)
    at_ns = arrivals_ns(float(profile.expected(np.array([end_ns / NS_PER_S]))[0]) + 1)
    law = ArrivalLaw(
        arrival.kind, process.cv, tuple(profile.t_s.tolist()), tuple(profile.req_per_s.tolist())
    )
    return _Times(at_ns[at_ns < end_ns], window_ns, law)


def _as_open(stage: doc.ProbeStage) -> doc.OpenStage:
    """A probe is constant arrivals."""
    return doc.OpenStage.model_construct(
        kind="open", name=stage.name, arrival=doc.Constant(kind="constant"), rate=1 / stage.every,
        duration=stage.duration, requests=stage.requests,
    )  # fmt: skip


def _burst_times(point: Point, stage: doc.IdleBurstStage) -> _Times:
    """The window ends a gap after the last request: no load of its own follows."""
    warmup_ns = _ns(point.load.warmup)
    at_ns = burst_times(stage, warmup_ns)
    return _Times(at_ns, int(at_ns[-1]) + _ns(stage.gap) - warmup_ns, ArrivalLaw("idle_burst"))


def _window_s(stage: doc.OpenStage) -> float:
    """The asked window, or the mean time that `requests` take."""
    if stage.duration is not None:
        return stage.duration
    rate = stage.rate
    mean = (rate.from_ + rate.to) / 2 if isinstance(rate, doc.Ramp) else rate or 1.0
    return (stage.requests or 1) / mean


def _trace_times(
    point: Point, materials: Materials, index: int, stage: doc.OpenStage, arrival: doc.TraceArrival
) -> _Times:
    """The trace's own times from its start. A window longer than the trace ends with the trace."""
    trace = materials.traces[arrival.file]
    rng = generator(point.seed, "arrivals", stage=index)
    found = trace_arrivals(trace, arrival.thin, arrival.jitter, rng)
    at_ns = np.rint(found.t_s * NS_PER_S).astype(np.int64)
    warmup_ns = _ns(point.load.warmup)
    measured = int(np.sum(at_ns >= warmup_ns))
    needed = stage.requests or 1
    if measured < needed:
        raise UsageError(
            f"the trace has {measured} arrivals after the warm-up; {needed} are needed",
            where=f"stage '{stage.name}', {arrival.file}",
            do="lower requests or warmup, or raise thin",
        )
    # a trace is known until one mean gap after its last arrival
    span_ns = int(at_ns[-1]) + max(1, round(int(at_ns[-1]) / len(at_ns)))
    window_ns = span_ns - warmup_ns
    if stage.duration is not None:
        window_ns = min(window_ns, _ns(stage.duration))
    elif stage.requests is not None and measured > stage.requests:
        window_ns = int(at_ns[len(at_ns) - measured + stage.requests]) - warmup_ns
    kept = at_ns < warmup_ns + window_ns + _ns(point.load.cooldown)
    return _Times(at_ns[kept], window_ns, ArrivalLaw("trace"), found.row[kept])


def _closed_stage(
    point: Point, materials: Materials, index: int, stage: doc.ClosedStage
) -> StageSchedule:
    """Bodies for the slots to cycle through, think times, and seeded starts spread over the ramp.

    Without `ramp` users start 50 ms apart on average, over at most half of the warm-up.
    """
    slots = stage.concurrency
    rows = _closed_rows(point, stage)
    bodies = draw_bodies(point, materials, index, rows, None, "")
    think_ns = np.zeros(rows, np.int64)
    if stage.think_time is not None:
        rng = generator(point.seed, "arrivals", stage=index, field="think")
        drawn_s = draw(stage.think_time, rng, rows, materials.tables)
        think_ns = np.rint(drawn_s * NS_PER_S).astype(np.int64)
    ramp_s = stage.ramp
    if ramp_s is None:
        ramp_s = min(_SLOT_START_S * slots, point.load.warmup / 2)
    # one start in each of `slots` equal parts of the ramp: spread evenly and yet not in step
    rng = generator(point.seed, "arrivals", stage=index, field="slots")
    starts_s = (np.arange(slots) + rng.random(slots)) / slots * ramp_s
    return _stage(
        point, index, stage, bodies, np.arange(rows),
        intended_ns=np.zeros(rows, np.int64),
        window_ns=0 if stage.duration is None else _ns(stage.duration),
        think_ns=think_ns, slot_start_ns=np.rint(starts_s * NS_PER_S).astype(np.int64),
    )  # fmt: skip


def _closed_rows(point: Point, stage: doc.ClosedStage) -> int:
    """How many bodies are made. A load that is nothing but a count needs its requests and those
    that are on their way when it is over; making a thousand long ones would take longer than it."""
    slots = stage.concurrency
    if stage.requests is not None and not point.load.warmup and not point.load.cooldown:
        return (-(-stage.requests // slots) + 1) * slots
    return max(_LEAST_CLOSED_ROWS, _CLOSED_ROWS_A_SLOT * slots, 2 * (stage.requests or 0))


def _stage(
    point: Point,
    index: int,
    stage: doc.Stage,
    bodies: Bodies,
    kept: IntArray,
    *,
    intended_ns: IntArray,
    window_ns: int,
    think_ns: IntArray,
    slot_start_ns: IntArray,
    law: ArrivalLaw | None = None,
) -> StageSchedule:
    is_counted = not isinstance(stage, doc.IdleBurstStage) and stage.duration is None
    return StageSchedule(
        index=index,
        name=stage.name,
        kind="closed" if isinstance(stage, doc.ClosedStage) else "open",
        intended_ns=intended_ns,
        class_id=bodies.class_id[kept].astype(np.int32),
        asked_in=bodies.asked_in[kept].astype(np.int32),
        asked_out=bodies.asked_out[kept].astype(np.int32),
        content_id=bodies.content_id[kept],
        prefix_group=bodies.prefix_group[kept].astype(np.int32),
        think_ns=think_ns,
        slot_start_ns=slot_start_ns,
        warmup_ns=_ns(point.load.warmup),
        window_ns=window_ns,
        cooldown_ns=_ns(point.load.cooldown),
        num_measured=stage.requests or 0 if is_counted else 0,
        law=law,
        cancel_ns=bodies.cancel_ns[kept] if len(bodies.cancel_ns) else bodies.cancel_ns,
        cancel_tok=(
            bodies.cancel_tok[kept] if len(bodies.cancel_tok) else bodies.cancel_tok
        ).astype(np.int32),
        audio_ms=(bodies.audio_ms[kept] if len(bodies.audio_ms) else bodies.audio_ms).astype(
            np.int32
        ),
        batch=(bodies.batch[kept] if len(bodies.batch) else bodies.batch).astype(np.int32),
    )


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)

"""A scenario -> the mix of lengths it sends and its limits, for a plan: nothing of it is sent."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import numpy as np

from harness.decisions.recorded import Recorded
from harness.decisions.twin import Requests
from harness.decisions.twin_capacity import NUM_REQUESTS, Mix
from harness.errors import UsageError
from harness.scenario import document as doc
from harness.scenario import expand, load_scenario, read_materials
from harness.scenario.forecast import Forecast
from harness.scenario.slo import Slo
from harness.traffic import Schedule, build_schedule, realised


@dataclass(frozen=True, slots=True)
class Traffic:
    """slo: of the scenario."""

    mix: Mix
    slo: Slo


def read_mix(source: str) -> Mix:
    """The mix alone."""
    return read_traffic(source).mix


def read_traffic(source: str) -> Traffic:
    """Lengths of the scenario's first point, its classes in their weights; the irregularity of
    its arrivals, as it says or, of a trace, as the whole trace has it.

    Raises UsageError where a class has no output length to plan for.
    """
    loaded = load_scenario(source, env=os.environ)
    load = loaded.document.load
    if isinstance(load, doc.OpenLoad | doc.ClosedLoad):
        more = ["load.duration=null", "load.warmup=0s"]
        more += [] if _is_trace(load) else [f"load.requests={NUM_REQUESTS}"]
        more += ["sweep=null"] if loaded.document.sweep is not None else []
        loaded = load_scenario(source, overrides=more, env=os.environ)
    point = expand(loaded.document)[0]
    schedule = build_schedule(point, read_materials(point.document, loaded.search_paths))
    stages = [s for s in schedule.stages if len(s.asked_in)]
    n_in = np.concatenate([s.asked_in for s in stages]).astype(np.int64)
    n_out = np.concatenate([s.asked_out for s in stages]).astype(np.int64)
    if not len(n_in) or n_in.min() < 1 or n_out.min() < 1:
        raise UsageError(
            f"scenario {loaded.name} does not say how long its requests are",
            why="a plan needs input and output tokens of every class",
            do="give workload.input_tokens and output_tokens, or another --traffic",
        )
    mix = Mix(loaded.name, n_in, n_out)
    if isinstance(load, doc.OpenLoad) and isinstance(load.arrival, doc.Gamma):
        mix = replace(mix, cv=load.arrival.cv)
    if _is_trace(load):
        cv = _measured_cv(schedule)
        told = "as dispersed as its trace" if cv > 1 else "its trace being no more irregular"
        mix = replace(mix, cv=cv, measured=told)
    return Traffic(mix, loaded.document.slo)


def with_trace(mix: Mix, forecast: Forecast | None, *, keeps_lengths: bool, seed: int) -> Mix:
    """The mix with the forecast's own requests, where that is a trace.

    keeps_lengths: those of the mix, one drawn for each request; else a request's own row has them,
    and the mix is the trace's.
    """
    if forecast is None or forecast.trace is None:
        return mix
    trace = forecast.trace
    if keeps_lengths:
        rows = np.random.default_rng([seed, 13]).integers(0, len(mix.n_in), len(trace))
        n_in, n_out = mix.n_in[rows], mix.n_out[rows]
    else:
        n_in, n_out = trace.input_tok.astype(np.int64), trace.output_tok.astype(np.int64)
        mix = Mix(forecast.name, n_in, n_out)
    requests = Requests(trace.arrival_s, n_in, n_out)
    recorded = Recorded(requests, forecast.window_s, len(forecast.rates))
    return replace(mix, recorded=recorded)


def _is_trace(load: doc.Load) -> bool:
    return isinstance(load, doc.OpenLoad) and isinstance(load.arrival, doc.TraceArrival)


def _measured_cv(schedule: Schedule) -> float:
    """Of gamma gaps as irregular as these arrivals: by their gaps or, where bursts are longer than
    a gap, by their counts, whose variance over mean is the square of it; never below Poisson."""
    stage = realised(schedule)[0]
    return max(1.0, stage.cv or 1.0, math.sqrt(stage.dispersion or 1.0))

"""A scenario -> the mix of lengths it sends and its limits, for a plan: nothing of it is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from harness.decisions.twin_capacity import NUM_REQUESTS, Mix
from harness.errors import UsageError
from harness.scenario import document as doc
from harness.scenario import expand, load_scenario, read_materials
from harness.scenario.slo import Slo
from harness.traffic import build_schedule


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
    its arrivals where it says one. A trace gives its own lengths.

    Raises UsageError where a class has no output length to plan for.
    """
    loaded = load_scenario(source, env=os.environ)
    if isinstance(loaded.document.load, doc.OpenLoad | doc.ClosedLoad):
        more = ["load.duration=null", f"load.requests={NUM_REQUESTS}", "load.warmup=0s"]
        more += ["sweep=null"] if loaded.document.sweep is not None else []
        if not _is_trace(loaded.document.load):
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
    mix = Mix(loaded.name, n_in, n_out, _cv(loaded.document.load))
    return Traffic(mix, loaded.document.slo)


def _is_trace(load: doc.Load) -> bool:
    return isinstance(load, doc.OpenLoad) and isinstance(load.arrival, doc.TraceArrival)


def _cv(load: doc.Load) -> float:
    """Of an open load with gamma arrivals; every other is planned as Poisson."""
    if isinstance(load, doc.OpenLoad) and isinstance(load.arrival, doc.Gamma):
        return load.arrival.cv
    return 1.0

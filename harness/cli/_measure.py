"""One point measured: schedule written, load driven and shown, records merged.

Ctrl-C once stops sending, drains and keeps what was measured; twice cuts what is in flight. A
SIGTERM counts as one Ctrl-C.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.cli._display import Display
from harness.cli._endpoints import Endpoint
from harness.cli._options import Voice
from harness.load import Done, LoadProcess, PointPlan, Pulse
from harness.records import PointDirectory, RunDirectory
from harness.scenario import Materials, Point
from harness.scenario.document import OpenStage, Stage
from harness.traffic import Schedule, StageSchedule, build_schedule, realised

STOPS = (signal.SIGINT, signal.SIGTERM)


def measure_point(
    load: LoadProcess,
    run: RunDirectory,
    point: Point,
    endpoint: Endpoint,
    materials: Materials,
    voice: Voice,
) -> Done:
    """Drive one point and leave its records merged; the load process is reused between points."""
    schedule = build_schedule(point, materials)
    folder = run.add_point(point.index, point.label)
    attempt = _next_attempt(folder)
    folder.write_schedule(schedule)
    folder.update_meta(**point_facts(point, endpoint, schedule), attempt=attempt, reason="")
    plan = _plan(run, folder, point, endpoint, load.workers, attempt)
    done = _drive(load, plan, f"{run.manifest.scenario} {point.label}", voice)
    folder.update_meta(reason=done.reason)
    folder.merge(done.status)
    return done


def _next_attempt(folder: PointDirectory) -> int:
    """0 the first time; later ones start clean, with other salts than the attempt before."""
    if "attempt" not in folder.meta:
        return 0
    attempt = int(folder.meta["attempt"]) + 1
    folder.clear()
    return attempt


def _plan(
    run: RunDirectory,
    folder: PointDirectory,
    point: Point,
    endpoint: Endpoint,
    workers: int,
    attempt: int,
) -> PointPlan:
    return PointPlan(
        run_id=run.run_id,
        run_dir=str(run.path.resolve()),
        point_dir=str(folder.path.resolve()),
        resolved_scenario=str(run.path.resolve() / "scenario.resolved.yaml"),
        point_index=point.index,
        base_url=endpoint.base_url,
        model=endpoint.facts.model,
        api_key_env=endpoint.api_key_env,
        facts=endpoint.facts,
        token_plan=endpoint.token_plan,
        workers=workers,
        samples=point.document.output.samples,
        attempt=attempt,
    )


def _drive(load: LoadProcess, plan: PointPlan, title: str, voice: Voice) -> Done:
    done = Done("partial", 0, "the load process ended without a word")
    with Display(voice, title) as display, _stopped_by_signals(load, display):
        for event in load.run(plan):
            if isinstance(event, Pulse):
                display.show(event)
            else:
                done = event
    return done


@contextmanager
def _stopped_by_signals(load: LoadProcess, display: Display) -> Iterator[None]:
    """The first signal drains, the second aborts."""
    count = 0

    def on_signal(number: int, frame: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            display.note("stopping: no new requests, waiting for those in flight (again to cut)")
            load.stop()
        else:
            display.note("aborting: cutting what is in flight, keeping what was measured")
            load.abort()

    before = {number: signal.signal(number, on_signal) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def point_facts(point: Point, endpoint: Endpoint, schedule: Schedule) -> dict[str, Any]:
    """point.json: what analysis needs to know beside the rows."""
    plan = endpoint.token_plan.to_json()
    plan.pop("tokenizer_json", None)
    rows = [stage.to_json() for stage in realised(schedule)]
    pairs = zip(point.stages, schedule.stages, strict=True)
    return {
        "index": point.index,
        "label": point.label,
        "target": point.target_name,
        "swept": point.swept,
        "seed": point.seed,
        "repeat": point.repeat,
        "base_url": endpoint.base_url,
        "facts": endpoint.facts.to_json(),
        "token_plan": plan,
        "realised": rows,
        "planned": [_stage_facts(stage, planned) for stage, planned in pairs],
    }


def _stage_facts(stage: Stage, planned: StageSchedule) -> dict[str, Any]:
    if not isinstance(stage, OpenStage):
        return {"name": stage.name, "kind": "closed", "concurrency": stage.concurrency}
    begin, end = planned.warmup_ns, planned.warmup_ns + planned.window_ns
    inside = (planned.intended_ns >= begin) & (planned.intended_ns < end)
    num_scheduled = int(np.count_nonzero(inside))
    realised_rate = num_scheduled / (planned.window_ns / 1e9) if planned.window_ns else None
    rate = stage.rate if isinstance(stage.rate, float) else realised_rate
    return {
        "name": stage.name,
        "kind": "open",
        "offered_req_per_s": rate,
        "num_scheduled": num_scheduled,
    }

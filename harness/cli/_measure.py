"""One point measured: schedule written, load driven and shown, records merged.

What the user's signals do meanwhile is `_interruption`'s; how points follow each other is `_run`'s.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from harness.cli._breaker import Breaker
from harness.cli._budget import Budget
from harness.cli._display import Display
from harness.cli._endpoints import Endpoint, hidden
from harness.cli._interruption import Interruption
from harness.cli._options import Voice
from harness.cli._telemetry import is_local, watching
from harness.errors import HarnessError
from harness.load import Done, LoadProcess, PointPlan, Pulse
from harness.records import EventLog, PointDirectory, RunDirectory
from harness.scenario import Materials, Point
from harness.scenario.document import ClosedStage, IdleBurstStage, OpenStage, Stage
from harness.traffic import Schedule, StageSchedule, build_schedule, realised


def measure_point(
    load: LoadProcess,
    run: RunDirectory,
    point: Point,
    endpoint: Endpoint,
    materials: Materials,
    interruption: Interruption,
    voice: Voice,
    *,
    keeps_user_stamps: bool = False,
    budget: Budget | None = None,
) -> Done:
    """Drive one point and leave its records merged; the load process is reused between points.

    keeps_user_stamps: records hold both stamps of each chunk, for a check of the client.
    budget: ends the point where it is spent.
    Raises InternalError where the load process died, UsageError or MeasurementError where workers
    did not come or were refused; what was recorded is merged before.
    """
    schedule = build_schedule(point, materials)
    folder = run.add_point(point.index, point.label)
    # an outage that the lost client saw must not go with it
    attempt = _next_attempt(folder, run, keeps_former=point.slo.uptime is not None)
    folder.write_schedule(schedule)
    facts = point_facts(point, endpoint, schedule)
    wall_ns = time.time_ns() - time.monotonic_ns()
    folder.update_meta(**facts, attempt=attempt, reason="", stopped={}, wall_ns=wall_ns)
    plan = _plan(run, folder, point, endpoint, load.workers, attempt)
    plan = replace(plan, keeps_user_stamps=keeps_user_stamps)
    title = f"{run.manifest.scenario} {point.label}"
    if budget is not None and (unknown := budget.begin(point, materials)):
        voice.say(unknown)
    log = run.log
    log.append("point_begun", point=point.index, label=point.label, attempt=attempt)
    try:
        with watching(folder, point, endpoint, log):
            breaker = Breaker.of(point)
            done = _drive(load, plan, title, interruption, voice, log, budget, breaker)
    except HarnessError as error:
        log.append("point_ended", point=point.index, status="partial", reason=error.what)
        folder.update_meta(reason=error.what)
        folder.merge("partial")
        raise
    log.append("point_ended", point=point.index, status=done.status, reason=done.reason,
               num_rows=done.rows)  # fmt: skip
    folder.update_meta(reason=done.reason)
    if breaker is not None and breaker.rule:
        folder.update_meta(stopped={"rule": breaker.rule, "said": breaker.said})
    folder.merge(done.status)
    return done


def _next_attempt(folder: PointDirectory, run: RunDirectory, *, keeps_former: bool) -> int:
    """0 the first time; later ones start clean, with other salts than the attempt before.

    keeps_former: what it had measured stays, in a folder of its own.
    """
    if folder.is_fresh:
        return 0
    attempt = folder.last_attempt + 1
    if keeps_former:
        folder.set_aside(run.lost)
    else:
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
        keeps_asking=point.document.slo.uptime is not None,
    )


def _drive(
    load: LoadProcess,
    plan: PointPlan,
    title: str,
    interruption: Interruption,
    voice: Voice,
    log: EventLog,
    budget: Budget | None = None,
    breaker: Breaker | None = None,
) -> Done:
    if interruption.is_asked:
        return Done("interrupted", 0, "stopped by the user before the first request")
    done = Done("partial", 0, "the load process ended without a word")
    num_workers, most_workers, told = 0, 0, ""
    with Display(voice, title) as display:

        def note(text: str) -> None:
            log.append("interrupted", point=plan.point_index, text=text)
            display.note(text)

        with interruption.reaching(load, note):
            for event in load.run(plan):
                if not isinstance(event, Pulse):
                    done = event
                    continue
                is_spent = budget is not None and budget.see(event)
                display.show(event, budget.spent_usd if budget is not None else None)
                is_tripped = breaker is not None and breaker.see(event)
                if (is_spent or is_tripped) and not told:
                    told = budget.told if budget is not None and is_spent else breaker_said(breaker)
                    note(f"{told}: no new requests, waiting for those in flight")
                    load.stop()
                most_workers = max(most_workers, event.workers)
                if event.workers < num_workers:
                    log.append("worker_lost", point=plan.point_index, left=event.workers)
                num_workers = event.workers
    has_stopped = done.status == "interrupted" or done.is_refused
    if told and has_stopped and not interruption.is_asked:
        # a tripped breaker has its answer; a spent budget, or a lost worker, leaves a part
        has_answer = told == breaker_said(breaker) and num_workers == most_workers
        return Done("complete" if has_answer else "partial", done.rows, told)
    if interruption.is_asked and done.status == "partial":
        return Done("interrupted", done.rows, done.reason)
    return done


def breaker_said(breaker: Breaker | None) -> str:
    return breaker.said if breaker is not None else ""


def point_facts(point: Point, endpoint: Endpoint, schedule: Schedule) -> dict[str, Any]:
    """point.json: what analysis needs to know beside the rows."""
    plan = endpoint.token_plan.to_json()
    for own in (plan, plan["embeddings"] or {}):
        own.pop("tokenizer_json", None)
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
        "is_local_target": is_local(endpoint),
        "facts": hidden(endpoint.facts.to_json(), point),
        "token_plan": plan,
        "realised": rows,
        "planned": [_stage_facts(stage, planned) for stage, planned in pairs],
    }


def _stage_facts(stage: Stage, planned: StageSchedule) -> dict[str, Any]:
    if isinstance(stage, ClosedStage):
        return {"name": stage.name, "kind": "closed", "concurrency": stage.concurrency}
    begin, end = planned.warmup_ns, planned.warmup_ns + planned.window_ns
    inside = (planned.intended_ns >= begin) & (planned.intended_ns < end)
    num_scheduled = int(np.count_nonzero(inside))
    realised_rate = num_scheduled / (planned.window_ns / 1e9) if planned.window_ns else None
    asked = stage.rate if isinstance(stage, OpenStage) else None
    rate = asked if isinstance(asked, float) else realised_rate
    return {
        "name": stage.name,
        "kind": "open",
        "offered_req_per_s": rate,
        "num_scheduled": num_scheduled,
        "idle_s": list(stage.idle) if isinstance(stage, IdleBurstStage) else [],
    }

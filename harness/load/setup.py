"""From a PointPlan to what one worker needs to send its shard: schedule, bodies, pools, limits.

Every worker rebuilds the whole schedule from the resolved scenario, so that only a path and a
seed travel; the digests it returns prove that all built the same.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UsageError
from harness.load.bodies import Bodies, ClassPlan, opening_sha256, request_head
from harness.load.dialects import dialect_of
from harness.load.exchange import Limits
from harness.load.expectations import expectation_of
from harness.load.kept_texts import KeptTexts
from harness.load.plan import PointPlan
from harness.load.polls import Polls
from harness.load.pool import Pool
from harness.scenario import Materials, Point, expand, load_resolved, read_materials
from harness.scenario.document import EnvValue, OpenAITarget, Target, Timeouts
from harness.traffic import ContentMaker, Schedule, build_schedule

SPARE_DESCRIPTORS = 256
MOST_WARM = 256


@dataclass(slots=True)
class Shard:
    """All of one worker's inputs for one point."""

    plan: PointPlan
    point: Point
    schedule: Schedule
    classes: tuple[ClassPlan, ...]
    bodies: Bodies
    bodies_sha256: str  # of the schedule's first ones, not of this shard's
    salt_words: tuple[str, ...]
    pool: Pool
    limits: Limits
    max_in_flight: int
    num_to_warm: int
    keeps_text: KeptTexts


def prepare(
    plan: PointPlan, worker: int, num_workers: int, polls: Polls, breathe: Callable[[], None]
) -> Shard:
    """Read, build and serialise; `breathe` lets heartbeats through. Raises HarnessError."""
    loaded = load_resolved(Path(plan.resolved_scenario))
    point = expand(loaded.document)[plan.point_index]
    materials = read_materials(loaded.document, loaded.search_paths)
    schedule = build_schedule(point, materials)
    maker = ContentMaker(point, schedule, materials, plan.token_plan, plan.run_id)
    timeouts = point.target.timeout
    pool = Pool(plan.base_url, timeouts.connect, polls, plan.facts.keeps_connections)
    classes = _classes(plan, point, pool, materials)
    bodies = Bodies(schedule, maker, classes, plan.facts, worker, num_workers, breathe)
    spare = descriptor_limit() - SPARE_DESCRIPTORS
    _check_descriptors(spare, schedule, point.load.max_in_flight, num_workers)
    cap = point.load.max_in_flight or spare
    return Shard(
        plan=plan,
        point=point,
        schedule=schedule,
        classes=classes,
        bodies=bodies,
        bodies_sha256=opening_sha256(schedule, maker, classes, plan.facts, breathe),
        salt_words=tuple(maker.salt_words),
        pool=pool,
        limits=_limits(timeouts),
        max_in_flight=max(1, cap // num_workers + (worker < cap % num_workers)),
        num_to_warm=_expected_concurrency(schedule, num_workers),
        keeps_text=KeptTexts(schedule, plan.samples, point.seed, num_workers),
    )


def descriptor_limit() -> int:
    """Raised to the hard limit; locust does that only in its own main."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1 << 20) if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def _check_descriptors(
    spare: int, schedule: Schedule, max_in_flight: int | None, num_workers: int
) -> None:
    """Each request in flight holds a descriptor. Raises UsageError where its share of the load,
    as far as it is known beforehand, does not fit."""
    slots = max((stage.concurrency for stage in schedule.stages), default=0)
    needed = -(-max(max_in_flight or 0, slots, 1) // num_workers)
    if needed > spare:
        raise UsageError(
            "too few descriptors for this load",
            why=f"{needed} requests in flight on this worker, {max(0, spare)} descriptors for them"
            f" ({SPARE_DESCRIPTORS} are kept for other files)",
            do="raise ulimit -n, add workers, or lower load.concurrency or load.max_in_flight",
        )


def _classes(
    plan: PointPlan, point: Point, pool: Pool, materials: Materials
) -> tuple[ClassPlan, ...]:
    headers = target_headers(point.target)
    hidden = hidden_values(point.target)
    plans = []
    for traffic in point.traffic:
        dialect = dialect_of(traffic)
        secret = _secret(traffic.api_key_env or plan.api_key_env)
        head = request_head(
            pool.path + dialect.path,
            pool.authority,
            secret,
            headers,
            is_stream=dialect.is_stream,
            is_json=dialect.is_json,
            content_type=dialect.content_type,
        )
        model, secrets = traffic.model or plan.model, (secret, *hidden)
        expected = expectation_of(traffic.workload, materials.tasks)
        plans.append(
            ClassPlan(traffic.name, dialect, model, head, secrets, expected, traffic.endpoint)
        )
    return tuple(plans)


def target_headers(target: Target) -> dict[str, str]:
    """Extra headers of a target, values from the environment where it says so."""
    if not isinstance(target, OpenAITarget):
        return {}
    return {
        name: _secret(value.env) if isinstance(value, EnvValue) else value
        for name, value in target.headers.items()
    }


def hidden_values(target: Target) -> tuple[str, ...]:
    """Values of a target's headers that come from the environment."""
    if not isinstance(target, OpenAITarget):
        return ()
    return tuple(_secret(v.env) for v in target.headers.values() if isinstance(v, EnvValue))


def _secret(name: str | None) -> str:
    if not name:
        return ""
    value = os.environ.get(name, "")
    if not value:
        raise UsageError(
            f"the environment variable {name} is not set",
            why="a traffic class or a header takes its key from it",
            do=f"export {name}=...",
        )
    return value


def _limits(timeouts: Timeouts) -> Limits:
    first, idle, total = (
        int(value * 1e9) for value in (timeouts.first_byte, timeouts.token_idle, timeouts.total)
    )
    return Limits(timeouts.connect, timeouts.send, first, idle, total)


def _expected_concurrency(schedule: Schedule, num_workers: int) -> int:
    """Connections worth opening beforehand: all slots, or a second of arrivals."""
    first = schedule.stages[0]
    if first.kind == "closed":
        wanted = first.concurrency
    else:
        wanted = int(np.searchsorted(first.intended_ns, 1_000_000_000))
    return min(MOST_WARM, -(-wanted // num_workers))

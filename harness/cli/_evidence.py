"""Stored runs as evidence for claims: their windows, plans, and what of them is on no record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.analysis import PointMeta, analyse_point
from harness.analysis.frame import read_frame
from harness.cli._before import due_s
from harness.cli._judge import stage_metas
from harness.decisions.capacity import sustained
from harness.decisions.claims import Capacity, Crossing, Measured
from harness.errors import UsageError
from harness.notices import Notice
from harness.records import PointRecords, Run
from harness.scenario import Point, expand, load_resolved


@dataclass(slots=True)
class RunEvidence:
    """What one run can tell. cut_short: attempts that later ones replaced.  is_unrecorded: requests
    were sent of which nothing is on record, a client having been lost."""

    measured: list[Measured] = field(default_factory=list)
    cut_short: list[Measured] = field(default_factory=list)
    capacities: list[Capacity] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    is_unrecorded: bool = False


def read_evidence(run: Run) -> RunEvidence:
    """Raises MeasurementError where records were lost or altered since the run ended."""
    run.require_whole()
    document = load_resolved(run.path / "scenario.resolved.yaml").document
    points = expand(document)
    label = document.labels.get("replicas", "")
    replicas = int(label) if label.isdecimal() and int(label) > 0 else None
    found = RunEvidence(crossings=planned(run))
    partial = []
    for records in run.points:
        point, is_again = points[records.index], int(records.meta.get("attempt", 0)) > 0
        found.is_unrecorded |= records.is_partial or is_again
        if records.is_partial:
            partial.append(records.label)
            continue
        found.measured += _windows(run, point, records, replicas)
        for former in records.before if point.slo.uptime is not None else ():
            found.cut_short += _windows(run, point, former, replicas)
    if replicas is not None:
        estimate = sustained([m.summary for m in found.measured])
        found.capacities.append(Capacity(replicas, estimate))
    if partial:
        told = ", ".join(partial[:3]) + (f" and {len(partial) - 3} more" * (len(partial) > 3))
        facts = {"run": run.manifest.run_id, "points": told}
        found.notices.append(Notice("partial_points", "warning", facts))
    return found


def _windows(run: Run, point: Point, records: PointRecords, replicas: int | None) -> list[Measured]:
    """Every window of a point, or of a former attempt at one."""
    requests, clients, server = records.requests(), records.clients(), records.server()
    found = []
    for meta in stage_metas(point, records):
        summary = analyse_point(requests, clients, _as_asked(meta), server)
        found.append(
            Measured(
                run.manifest.run_id, summary, read_frame(requests, meta.t0_ns, meta.t1_ns),
                str(records.meta.get("facts", {}).get("model", "")), replicas,
                str(records.meta.get("base_url", "")),
                due_s(records, meta) if records.is_partial else None,
                int(records.meta.get("attempt", 0)),
            )
        )  # fmt: skip
    return found


def _as_asked(meta: PointMeta) -> PointMeta:
    """Of a point that was cut short, what it must be: valid but for its length."""
    if not meta.is_partial:
        return meta
    lenient = meta.validity.model_copy(update={"min_requests": 0, "min_duration": 0.0})
    return replace(meta, is_partial=False, validity=lenient)


def planned(run: Run) -> list[Crossing]:
    """What `harness plan crossover` has written for the run, where it has."""
    path = run.path / "plan.json"
    try:
        return crossings_of(run.manifest.run_id, json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "records cannot be read", where=str(path), why=str(error),
            do="restore it from a copy of the run, or plan again: harness plan crossover",
        ) from error  # fmt: skip


def crossings_of(name: str, plan: Mapping[str, Any]) -> list[Crossing]:
    """The part `crossover` of a plan: the least traffic at which any scaling may cross, and from
    which one surely has, where the plan is sure of its answer."""
    part = plan["crossover"]
    if part is None or part.get("traffic_unit", "tok") != "tok":  # a claim speaks of tokens
        return []
    lows = [e["low"] for e in part["crossing"].values() if e["low"] not in (None, "inf")]
    is_feasible = part["feasibility"] != "infeasible"  # where it is uncertain it may be
    highs = [e["high"] for e in part["crossing"].values() if e["high"] not in (None, "inf")]
    least, most = (float(min(ends)) if ends else None for ends in (lows, highs))
    return [Crossing(name, least, is_feasible, most if part["outcome"] == "pass" else None)]

"""The `replicas` part of plan.json, its schema, and the same hours as a spreadsheet reads them.

Rates in requests/s, shares 0..1, times in seconds; what was not simulated is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.decisions.headline import Headline
from harness.decisions.replicas import Fleet, ReplicaPlan
from harness.decisions.step_fit import StepFit
from harness.decisions.twin import Deployment
from harness.decisions.twin_capacity import Mix, Objective, TwinCapacity, capacity_json
from harness.estimate import Outcome

COLUMNS = (
    "hour", "mean_req_per_s", "peak_req_per_s", "fewest", "likely", "needed", "fixed",
    "autoscaled", "good_fixed", "good_autoscaled",
)  # fmt: skip


def replica_document(
    *, fit: StepFit, deployment: Deployment, assumed: Sequence[str], capacity: TwinCapacity,
    mix: Mix, objective: Objective, forecast: Mapping[str, Any], fleet: Fleet,
    plan: ReplicaPlan | None, headline: Headline, reason: str,
) -> dict[str, Any]:  # fmt: skip
    """Plain JSON values. forecast: name, source and window_s; plan: None where nothing helps."""
    row: dict[str, Any] = {
        "verdict": headline.outcome,
        "reason": reason,
        "answer": headline.answer,
        "detail": headline.detail,
        "objective": asdict(objective),
        "arrivals": {
            "how": mix.how, "told": mix.arrivals(plan.mean_req_per_s if plan is not None else None),
        },
        "mix": {
            "name": mix.name, "cv": mix.cv, "mean_in_tok": float(mix.n_in.mean()),
            "mean_out_tok": float(mix.n_out.mean()), "max_in_tok": int(mix.n_in.max()),
        },
        "forecast": dict(forecast),
        "deployment": asdict(deployment),
        "assumed": list(assumed),
        "calibration": fit.to_json(),
        "capacity": capacity_json(capacity),
        "fleet": asdict(fleet),
        "fixed": None, "autoscaled": None, "hours": [],
    }  # fmt: skip
    if plan is not None:
        row |= {
            "fixed": _plain(asdict(plan.fixed)), "autoscaled": _plain(asdict(plan.autoscaled)),
            "hours": [_plain(asdict(hour)) for hour in plan.hours],
            "peak_req_per_s": plan.peak_req_per_s, "mean_req_per_s": plan.mean_req_per_s,
            "num_requests": plan.num_requests, "simulated_ratio": plan.cut,
        }  # fmt: skip
    return row


def hours_csv(part: Mapping[str, Any]) -> str:
    """A header and a row an hour; empty cells for what was not simulated."""
    lines = [",".join(COLUMNS)]
    for hour in part["hours"]:
        row = {**hour, "fixed": part["fixed"]["replicas"]}
        lines.append(",".join("" if row[c] is None else f"{row[c]:.6g}" for c in COLUMNS))
    return "\n".join(lines) + "\n"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def replica_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the part."""
    text, number, whole = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    maybe, texts = {"type": ["number", "null"]}, {"type": "array", "items": {"type": "string"}}
    value = {"anyOf": [number, {"type": "null"}, {"const": "inf"}]}
    estimate = _object(
        ("metric", "unit", "value", "low", "high", "method"), metric=text, unit=text, value=value,
        low=value, high=value, method=text,
    )  # fmt: skip
    load = _object(
        ("load_ratio", "req_per_s", "good_ratio", "good_low", "good_high", "ttft_p95_s",
         "tpot_p95_s"),
        load_ratio=number, req_per_s=number, good_ratio=number, good_low=number, good_high=number,
        ttft_p95_s=value, tpot_p95_s=value,
    )  # fmt: skip
    hour = _object(
        [c for c in COLUMNS if c != "fixed"], hour=whole, mean_req_per_s=number,
        peak_req_per_s=number, fewest=whole, likely=whole, needed=whole, autoscaled=number,
        good_fixed=maybe, good_autoscaled=maybe,
    )  # fmt: skip
    fixed = _object(
        ("replicas", "at_lower_bound", "likely", "good", "good_without_one", "replica_hours"),
        replicas=whole, at_lower_bound=whole, likely=whole, good=maybe, good_without_one=maybe,
        replica_hours=number, by_rates=whole,
    )  # fmt: skip
    scaled = _object(
        ("mean_replicas", "most_replicas", "replica_hours", "cold_starts", "good", "is_simulated"),
        mean_replicas=number, most_replicas=whole, replica_hours=number, cold_starts=whole,
        good=maybe, is_simulated={"type": "boolean"},
    )  # fmt: skip
    nothing = {"type": "null"}
    return _object(
        ("verdict", "reason", "answer", "detail", "objective", "mix", "forecast", "deployment",
         "assumed", "calibration", "capacity", "fleet", "fixed", "autoscaled", "hours"),
        verdict={"enum": [o.value for o in Outcome]}, reason=text, answer=text, detail=text,
        objective=_object(("attainment",), attainment=number, ttft_s=maybe, tpot_s=maybe,
                          e2e_s=maybe),
        arrivals=_object(("how", "told"), how={"enum": ["trace", "gamma", "poisson"]}, told=text),
        mix=_object(("name", "cv", "mean_in_tok", "mean_out_tok"), name=text, cv=number,
                    mean_in_tok=number, mean_out_tok=number, max_in_tok=whole),
        forecast=_object(("name", "source", "window_s"), name=text, source=text, window_s=number,
                         remarks=texts),
        deployment={"type": "object"}, assumed=texts,
        calibration=_object(("parameters", "held_out", "swept"),
                            parameters={"type": "object", "additionalProperties": estimate},
                            held_out={"type": "object"}, swept={"type": "object"},
                            drift=_object(("sd", "num_blocks", "low", "high"), sd=number,
                                          num_blocks=whole, low=number, high=number)),
        capacity=_object(("sustained", "breaks_first", "extrapolated", "headroom"),
                         sustained=estimate, breaks_first=text, extrapolated=texts,
                         headroom={"type": "array", "items": load}),
        fleet=_object(("spare", "load_target", "cold_start_s"), spare=whole, load_target=number,
                      cold_start_s=number),
        fixed={"anyOf": [nothing, fixed]}, autoscaled={"anyOf": [nothing, scaled]},
        hours={"type": "array", "items": hour},
        peak_req_per_s=number, mean_req_per_s=number, num_requests=whole, simulated_ratio=number,
    )  # fmt: skip

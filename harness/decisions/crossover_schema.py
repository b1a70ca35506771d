"""JSON Schema of the part `crossover` of plan.json; keys may be added in v1, never removed."""

from __future__ import annotations

from typing import Any

from harness.decisions.traffic_unit import UNITS
from harness.estimate import Outcome


def crossover_schema() -> dict[str, Any]:
    """JSON Schema of the part. Traffic in tokens/h, or in what `traffic_unit` says, in
    keys of that name; bills in USD/h; "inf": there is none."""
    number = {"anyOf": [{"type": "number"}, {"const": "inf"}]}
    estimate = {
        "type": "object",
        "required": ["metric", "unit", "value", "low", "high", "level", "method"],
        "properties": {"value": number, "low": number, "high": number},
    }
    by_name = {"type": "object", "additionalProperties": estimate}
    band = {"type": "array", "items": number, "minItems": 3, "maxItems": 3}
    bands = {"type": "array", "items": band}
    at_traffic = {
        "type": "object",
        "required": ["serverless", "fleets", "saving", "choice", "used"],
        "anyOf": [{"required": [f"{unit}_per_h"]} for unit in UNITS],
        "properties": {
            **{f"{unit}_per_h": {"type": "number"} for unit in UNITS},
            "serverless": estimate, "fleets": by_name, "saving": estimate, "used": estimate,
            "choice": {"enum": ["on_demand", "serverless", "too_close"]},
            **{f"usd_per_{unit.price_unit.lower()}": by_name for unit in UNITS.values()},
            "day": {"anyOf": [{"type": "null"}, _day()]},
        },
    }  # fmt: skip
    days = {"type": "array", "items": _day()}
    simulated = {
        "type": "object",
        "required": ["days", "to_zero", "attainment"],
        "properties": {
            "days": days,
            "to_zero": days,
            "attainment": {"type": "number"},
            "how": {"enum": ["twin", "fluid"]},
            "arrivals": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "required": [
            "answer", "outcome", "required", "feasibility", "one_replica", "crossing", "scaling",
            "regimes", "at_traffic", "assumptions", "curve",
        ],
        "properties": {
            "answer": {"type": "string"},
            "traffic_unit": {"enum": list(UNITS)},
            "outcome": {"enum": [o.value for o in Outcome]},
            "required": estimate,
            "feasibility": {"enum": ["feasible", "infeasible", "uncertain"]},
            "one_replica": estimate,
            "crossing": by_name,
            "scaling": {"enum": ["autoscaled", "fixed", "committed", "to_zero"]},
            "simulated": {"anyOf": [{"type": "null"}, simulated]},
            "regimes": {"type": "array", "items": {"type": "array"}},
            "at_traffic": {"anyOf": [{"type": "null"}, at_traffic]},
            "assumptions": {"type": "array", "items": {"type": "object"}},
            "curve": {
                "type": "object",
                "properties": {
                    **{f"{u}_per_h": {"type": "array", "items": {"type": "number"}} for u in UNITS},
                    "serverless": bands,
                    "on_demand": bands,
                    "fleets": {"type": "object", "additionalProperties": bands},
                    "good_ratio": {"type": "array", "items": {"type": ["number", "null"]}},
                },
            },
        },
    }  # fmt: skip


def _day() -> dict[str, Any]:
    """One simulated day: replicas as means over it, shares of requests."""
    number, maybe = {"type": "number"}, {"type": ["number", "null"]}
    own = {
        "load": number, "req_per_s": number, "span_s": number, "paid": number, "by_stairs": number,
        "committed": maybe, "committed_by_stairs": maybe, "starts_per_day": number,
        "good_ratio": number, "late_ratio": number,
    }  # fmt: skip
    return {"type": "object", "required": list(own), "properties": own}

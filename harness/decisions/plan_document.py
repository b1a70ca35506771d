"""plan.json: what a run means in replicas and in money, and its JSON Schema `harness/plan/v1`.

Each `harness plan` verb owns one part and leaves the other as it is; a part nobody has planned is
null. The parts describe themselves: `replicas` here, `crossover` beside its own arithmetic.
"""

from __future__ import annotations

from typing import Any

from harness.decisions.crossover_schema import crossover_schema
from harness.decisions.replica_document import replica_schema

SCHEMA = "harness/plan/v1"
PARTS = ("replicas", "crossover")
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def empty_plan(run_id: str) -> dict[str, Any]:
    """A plan with no part yet."""
    return {"schema": SCHEMA, "run": run_id, **dict.fromkeys(PARTS)}


def with_part(plan: dict[str, Any], name: str, part: dict[str, Any]) -> dict[str, Any]:
    """The plan with one part replaced. name: one of PARTS; plain JSON values."""
    if name not in PARTS:
        raise ValueError(f"a plan has no part {name!r}")
    return {**plan, name: part}


def plan_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of plan.json; keys may be added in v1, never changed or removed."""
    nothing = {"type": "null"}
    return {
        "$schema": _DRAFT,
        "title": SCHEMA,
        "type": "object",
        "required": ["schema", "run", *PARTS],
        "properties": {
            "schema": {"const": SCHEMA},
            "run": {"type": "string"},
            "replicas": {"anyOf": [nothing, replica_schema()]},
            "crossover": {"anyOf": [nothing, crossover_schema()]},
        },
    }

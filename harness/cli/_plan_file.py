"""plan.json of a run: read, and written with one part replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.decisions.plan_document import PARTS, SCHEMA, empty_plan, plan_schema, with_part
from harness.errors import UsageError
from harness.records import Run, RunDirectory, write_bytes

FILE = "plan.json"


def read_plan(run: Run) -> dict[str, Any]:
    """What has been planned from this run so far. Raises UsageError where the file is none."""
    plan = _load(run)
    for part in PARTS:
        if plan[part] is not None:
            _require_part(run, part, plan[part])
    return plan


def _require_part(run: Run, name: str, part: Any) -> None:
    import jsonschema  # slow, and most runs have no plan

    _, schema = plan_schema()["properties"][name]["anyOf"]  # null, or this
    faults = jsonschema.Draft202012Validator(schema).iter_errors(part)
    fault = jsonschema.exceptions.best_match(faults)
    if fault is not None:
        raise unreadable_plan(run, f"{name}{fault.json_path[1:]}: {fault.message[:200]}")


def _load(run: Run) -> dict[str, Any]:
    """Its parts, whatever they hold."""
    path = run.path / FILE
    if not path.exists():
        return empty_plan(run.manifest.run_id)
    try:
        plan = json.loads(path.read_text("utf-8"))
        if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable_plan(run, str(error)) from error
    return empty_plan(run.manifest.run_id) | plan


def unreadable_plan(run: Run, why: str) -> UsageError:
    """What to tell the user of a plan that is none."""
    return UsageError(
        "the run's plan cannot be read", where=str(run.path / FILE), why=why,
        do="move it away; harness plan replicas and harness plan crossover write it anew",
    )  # fmt: skip


def keep_part(run: Run, name: str, part: dict[str, Any]) -> Path:
    """Write one part of plan.json, leave the other, and digest the run's files again."""
    plan = with_part(_load(run), name, part)
    path = run.path / FILE
    text = json.dumps(plan, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())
    if run.manifest.status != "running":  # else its writer may be at work on the manifest
        RunDirectory.open(run.path).refresh()
    return path

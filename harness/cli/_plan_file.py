"""plan.json of a run: read, and written with one part replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.decisions.plan_document import SCHEMA, empty_plan, with_part
from harness.errors import UsageError
from harness.records import Run, RunDirectory, write_bytes

FILE = "plan.json"


def read_plan(run: Run) -> dict[str, Any]:
    """What has been planned from this run so far. Raises UsageError where the file is none."""
    path = run.path / FILE
    if not path.exists():
        return empty_plan(run.manifest.run_id)
    try:
        plan = json.loads(path.read_text("utf-8"))
        if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
    except (OSError, ValueError) as error:
        raise UsageError(
            "the run's plan cannot be read", where=str(path), why=str(error),
            do="move it away; it is written anew",
        ) from error  # fmt: skip
    return plan


def keep_part(run: Run, name: str, part: dict[str, Any]) -> Path:
    """Write one part of plan.json, leave the other, and digest the run's files again."""
    plan = with_part(read_plan(run), name, part)
    path = run.path / FILE
    text = json.dumps(plan, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())
    if run.manifest.status != "running":  # else its writer may be at work on the manifest
        RunDirectory.open(run.path).refresh()
    return path

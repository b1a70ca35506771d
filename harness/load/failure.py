"""Errors of ours on their way to another process, and back as what they were."""

from __future__ import annotations

from typing import Any

from harness.errors import (
    ExitCode,
    HarnessError,
    InternalError,
    MeasurementError,
    TargetError,
    UsageError,
)

_KINDS: dict[int, type[HarnessError]] = {
    ExitCode.USAGE: UsageError,
    ExitCode.INVALID: MeasurementError,
    ExitCode.TARGET: TargetError,
}


def error_to_json(error: HarnessError) -> dict[str, Any]:
    """Its four parts and its exit code; what a subclass adds is put into words here."""
    why = error.why or "; ".join(error.render().splitlines()[1:])
    parts = {"what": error.what, "where": error.where, "why": why, "do": error.do}
    return parts | {"exit_code": int(error.exit_code)}


def error_from_json(row: dict[str, Any]) -> HarnessError:
    """An error with the same words and exit code; an InternalError for a code it does not know."""
    kind = _KINDS.get(int(row["exit_code"]), InternalError)
    return kind(str(row["what"]), where=str(row["where"]), why=str(row["why"]), do=str(row["do"]))

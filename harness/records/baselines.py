"""Baselines and calibrations: append-only lines of JSON below the folder of runs.

`baselines/<name>.jsonl` holds one line a saved session; a line is never changed, and no mean is
rolled over them. Quarantine is a line too: it takes a session out of use and says why, and another
line lets it back in. `calibrations.jsonl` holds one line a calibration. Lines this version cannot
read are an error with their number, never skipped: a baseline that shrinks in silence is none.
"""

from __future__ import annotations

import errno
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError

from ._atomic import disk_error

BASELINES, CALIBRATIONS = "baselines", "calibrations.jsonl"
BASELINE_SCHEMA, CALIBRATION_SCHEMA = "harness/baseline/v1", "harness/calibration/v1"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Session:
    """One saved session of a baseline. key: comparability hash.  build: of what was measured.

    values: metric key -> the numbers of its runs.  fingerprint: plain JSON.  quarantine: why it is
    out of use, empty where it is in use.
    """

    run_id: str
    saved_utc: str
    key: str
    build: str
    fingerprint: dict[str, Any]
    values: dict[str, tuple[float, ...]]
    quarantine: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": BASELINE_SCHEMA, "kind": "session", "run_id": self.run_id,
            "saved_utc": self.saved_utc, "key": self.key, "build": self.build,
            "fingerprint": self.fingerprint,
            "values": {name: list(v) for name, v in self.values.items()},
        }  # fmt: skip

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Session:
        values = {name: tuple(map(float, v)) for name, v in row["values"].items()}
        return cls(
            row["run_id"], row["saved_utc"], row["key"], row["build"], row["fingerprint"], values
        )


def save_session(out_root: Path, name: str, session: Session) -> Path:
    """Append one session. Raises UsageError where it cannot be written."""
    return _append(baseline_path(out_root, name), session.to_json())


def set_quarantine(out_root: Path, name: str, run_id: str, reason: str, utc: str) -> Path:
    """Take a session out of use, or with an empty reason back in. Raises UsageError where the
    baseline holds no such session."""
    known = [s.run_id for s in read_sessions(out_root, name)]
    if run_id not in known:
        raise UsageError(
            f"baseline '{name}' holds no session of run '{run_id}'",
            why=f"it holds {', '.join(known) or 'none'}", do="harness baseline list",
        )  # fmt: skip
    row = {
        "schema": BASELINE_SCHEMA, "kind": "quarantine", "run_id": run_id, "reason": reason,
        "utc": utc,
    }  # fmt: skip
    return _append(baseline_path(out_root, name), row)


def read_sessions(out_root: Path, name: str) -> tuple[Session, ...]:
    """Every session of a baseline in the order saved, those in quarantine marked.

    Raises UsageError where there is no such baseline or a line cannot be read.
    """
    path = baseline_path(out_root, name)
    if not path.exists():
        names = ", ".join(baseline_names(out_root)) or "none yet"
        raise UsageError(
            f"there is no baseline '{name}'", where=str(path), why=f"there are: {names}",
            do=f"save one: harness gate RUN --save-baseline {name}",
        )  # fmt: skip
    sessions: dict[str, Session] = {}
    for row in _lines(path):
        if row["kind"] == "session":
            earlier = sessions.get(row["run_id"])
            reason = earlier.quarantine if earlier else ""  # saved again, it stays out of use
            sessions[row["run_id"]] = replace(Session.from_json(row), quarantine=reason)
        elif row["run_id"] in sessions:
            found = sessions[row["run_id"]]
            sessions[row["run_id"]] = replace(found, quarantine=row["reason"])
    return tuple(sessions.values())


def baseline_names(out_root: Path) -> tuple[str, ...]:
    folder = out_root / BASELINES
    return tuple(sorted(p.stem for p in folder.glob("*.jsonl"))) if folder.is_dir() else ()


def baseline_path(out_root: Path, name: str) -> Path:
    """Raises UsageError for a name that is no plain file name."""
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise UsageError(
            f"'{name[:40]}' is not a name for a baseline",
            do="use letters, digits, dots, dashes and underscores",
        )
    return out_root / BASELINES / f"{name}.jsonl"


def save_calibration(out_root: Path, row: dict[str, Any]) -> Path:
    """Append one calibration; row: plain JSON with `key` and `sigma`."""
    return _append(out_root / CALIBRATIONS, {"schema": CALIBRATION_SCHEMA, **row})


def read_calibrations(out_root: Path) -> tuple[dict[str, Any], ...]:
    """Every calibration in the order saved; none where there is no file."""
    path = out_root / CALIBRATIONS
    return tuple(_lines(path)) if path.exists() else ()


def _append(path: Path, row: dict[str, Any]) -> Path:
    """One write of one line, synced: a line is whole or absent, whoever else appends."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            num_written = os.write(handle, line)
            if num_written < len(line):  # a full disk takes what fits: half a line is taken back
                os.ftruncate(handle, os.fstat(handle).st_size - num_written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise disk_error(path, error) from error
    return path


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(
            "records cannot be read", where=str(path), why=str(error),
            do="check the file's permissions, or restore it from a copy",
        ) from error  # fmt: skip
    # not splitlines: JSON leaves U+2028 and its like as they are
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        try:
            row = json.loads(line)
            if row["schema"] not in (BASELINE_SCHEMA, CALIBRATION_SCHEMA):
                raise ValueError(f"schema {row['schema']} is not known")
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                "records cannot be read", where=f"{path} line {number}", why=str(error),
                do="mend or remove that line; the others are whole",
            ) from error  # fmt: skip
        rows.append(row)
    return rows

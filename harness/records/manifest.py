"""manifest.json: what a run directory holds, and in which state it is. Tools start here.

It is replaced by rename, so a reader sees the former state or the next, never half of one. Paths
in it are relative to the run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from harness.errors import UsageError

from ._atomic import write_json
from .schema import SCHEMA_VERSION

MANIFEST = "manifest.json"

RunStatus = Literal["running", "complete", "partial", "interrupted", "invalid"]
_KINDS = {
    "run_id": str, "scenario": str, "status": str, "created_utc": str, "schema_version": int,
    "finished_utc": str | None, "points": list, "provenance": dict, "files": dict,
}  # fmt: skip
_NEEDED = ("run_id", "scenario", "status", "created_utc")
_OF_POINT = {"index": int, "label": str, "path": str}


@dataclass(frozen=True, slots=True)
class PointEntry:
    """A point of a run. path: of its directory, relative to the run."""

    index: int
    label: str
    path: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """files: relative path -> {sha256, bytes}, complete once the run is finished."""

    run_id: str
    scenario: str
    status: RunStatus
    created_utc: str
    schema_version: int = SCHEMA_VERSION
    finished_utc: str | None = None
    points: tuple[PointEntry, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Manifest:
        """Reads any version: keys this one does not know are ignored.

        Raises ValueError naming what is missing or of another kind.
        """
        _require(row, _KINDS, _NEEDED, "it")
        if row["status"] not in get_args(RunStatus):
            raise ValueError(f"its status is none of {', '.join(get_args(RunStatus))}")
        for name, known in row.get("files", {}).items():
            _require(known, {}, (), f"files: {name}")
        for number, point in enumerate(row.get("points", ())):
            _require(point, _OF_POINT, tuple(_OF_POINT), f"points[{number}]")
            place = PurePosixPath(point["path"])
            if place.is_absolute() or ".." in place.parts:
                raise ValueError(f"points[{number}]: 'path' leaves the run")
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        values["points"] = tuple(
            PointEntry(p["index"], p["label"], p["path"]) for p in row.get("points", ())
        )
        return cls(**values)

    def write(self, run_dir: Path) -> None:
        write_json(run_dir / MANIFEST, self.to_json())


def read_manifest(run_dir: Path) -> Manifest:
    """Raises UsageError where the directory is no run or its manifest cannot be read."""
    path = run_dir / MANIFEST
    try:
        return Manifest.from_json(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise UsageError(
            f"'{run_dir}' is not a run", why=f"it holds no {MANIFEST}", do="name a run directory"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        what = "it is no JSON, or cut off: " if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(
            "the run's manifest cannot be read", where=str(path), why=f"{what}{error}",
            do="restore it from a copy of the run, or measure again: without it nothing says which"
            " records are whole",
        ) from error  # fmt: skip


def _require(row: Any, kinds: Mapping[str, Any], needed: Sequence[str], what: str) -> None:
    """Raises ValueError where row is no object, or a key is missing or of another kind."""
    if not isinstance(row, dict):
        raise ValueError(f"{what} is no object with keys")
    for name in needed:
        if name not in row:
            raise ValueError(f"{what} has no '{name}'")
    for name, kind in kinds.items():
        if name in row and (not isinstance(row[name], kind) or isinstance(row[name], bool)):
            raise ValueError(f"'{name}' of {what} is a {type(row[name]).__name__}")


def digest_files(run_dir: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size of every file of a run but the manifest; spools and temporaries left out."""
    found = {}
    for path in sorted(run_dir.rglob("*")):
        relative = path.relative_to(run_dir)
        hidden = any(part.startswith(".") or part == "spool" for part in relative.parts)
        if path.is_file() and not path.is_symlink() and not hidden and str(relative) != MANIFEST:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[relative.as_posix()] = {"sha256": digest, "bytes": path.stat().st_size}
    return found

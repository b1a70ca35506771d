"""manifest.json: what a run directory holds, and in which state it is. Tools start here.

It is replaced by rename, so a reader sees the former state or the next, never half of one. Paths
in it are relative to the run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from harness.errors import UsageError

from ._atomic import write_json
from .schema import SCHEMA_VERSION

MANIFEST = "manifest.json"

RunStatus = Literal["running", "complete", "partial", "interrupted", "invalid"]


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
        """Reads any version: keys this one does not know are ignored."""
        if not isinstance(row, dict):
            raise TypeError("expected an object with keys")
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in row.items() if k in known}
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "the run's manifest cannot be read", where=str(path), why=str(error)
        ) from error


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

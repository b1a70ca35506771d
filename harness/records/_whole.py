"""Whether a run's records are still those it ended with, by the digests in its manifest.

Reports are made from records and may be made again; the records themselves never change once the
run, or the point of a run that goes on, is complete. A file that was lost or altered since would
silently change a verdict, so it is found here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import MeasurementError

from .manifest import Manifest

_RECORDS = {
    "requests.parquet", "clients.parquet", "server.parquet", "schedule.parquet", "samples.jsonl",
    "point.json", "stages.json", "workers.json", "scenario.yaml", "scenario.resolved.yaml",
}  # fmt: skip


def is_record(name: str) -> bool:
    """name: relative to the run."""
    return PurePosixPath(name).name in _RECORDS


def damaged(run_dir: Path, manifest: Manifest) -> tuple[str, ...]:
    """Records that are gone or not as digested; none where the run has not ended yet."""
    return tuple(
        name
        for name, known in sorted(manifest.files.items())
        if is_record(name) and _digest(run_dir / name) != known.get("sha256")
    )


def require_whole(run_dir: Path, manifest: Manifest, *, with_points: bool = True) -> None:
    """Raises MeasurementError naming the records that are gone or altered.

    with_points: False looks at the scenario only, for points can be measured again.
    """
    names = [n for n in damaged(run_dir, manifest) if with_points or "/" not in n]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise MeasurementError(
            "the run's records are not those it ended with",
            where=str(run_dir),
            why=f"gone or altered since: {', '.join(names[:3])}{more}",
            do="restore them from a copy, or measure again: points with harness run --resume RUN",
        )


def records_below(files: dict[str, Any], folders: tuple[str, ...]) -> dict[str, Any]:
    """The digests of the run's own records and of those below these points."""
    return {
        name: known
        for name, known in files.items()
        if is_record(name) and ("/" not in name or name.startswith(tuple(f"{f}/" for f in folders)))
    }


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

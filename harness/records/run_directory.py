"""Writing a run: `runs/<UTC>-<scenario>-<6 hex>/`, its points and its manifest.

The directory is usable at every moment: each file appears whole, the spool holds what has been
measured so far, and the manifest says how far the run came. Reading is run.py.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

from harness.traffic import Schedule

from ._atomic import disk_error, sync_directory, write_bytes, write_json, write_parquet
from ._lock import RunLock
from ._whole import damaged, is_record, records_below, require_whole
from .event_log import LOG, EventLog
from .locate import BEFORE, LATEST, kept_attempts
from .manifest import Manifest, PointEntry, RunStatus, digest_files, read_manifest
from .schedule_file import write_schedule
from .spool import SPOOL_DIRECTORY, SpoolWriter, read_spool

_NAME_CHARACTERS = 60


class PointDirectory:
    """One point of a run being written."""

    def __init__(self, path: Path, index: int, label: str) -> None:
        self.path, self.index, self.label = path, index, label
        self._spool: SpoolWriter | None = None

    @property
    def spool(self) -> SpoolWriter:
        """Opened on first use; belongs to one process."""
        if self._spool is None:
            self._spool = SpoolWriter(self.path)
        return self._spool

    def close(self) -> None:
        """Close the spool; what was appended stays."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    @property
    def meta(self) -> dict[str, Any]:
        """point.json as written so far; empty before, or where it was damaged since."""
        try:
            return dict(json.loads((self.path / "point.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def update_meta(self, **values: Any) -> None:
        """Add to point.json, or replace keys of it."""
        write_json(self.path / "point.json", {**self.meta, **values})

    def write_json(self, name: str, value: Any) -> None:
        """Another file of this point, such as summary.json."""
        write_json(self.path / name, value)

    def write_schedule(self, schedule: Schedule) -> None:
        write_schedule(self.path / "schedule.parquet", schedule)
        self.update_meta(schedule_sha256=schedule.sha256())

    def merge(self, status: str = "complete") -> None:
        """Turn the spool into requests.parquet, clients.parquet and, where the target told
        anything, server.parquet; it goes only after all stand.

        status: complete, interrupted or partial; written to point.json. Merging twice is safe.
        """
        self.close()
        directory = self.path / SPOOL_DIRECTORY
        if directory.exists():
            spool = read_spool(self.path)
            write_parquet(self.path / "clients.parquet", spool.clients)
            if spool.server.num_rows:
                write_parquet(self.path / "server.parquet", spool.server)
            write_parquet(self.path / "requests.parquet", spool.requests)
            self.update_meta(status=status, num_torn_bytes=spool.num_torn_bytes)
            shutil.rmtree(directory)
            sync_directory(self.path)
        else:
            self.update_meta(status=status)

    @property
    def is_fresh(self) -> bool:
        """Whether no attempt has left anything here yet."""
        left = ("requests.parquet", SPOOL_DIRECTORY)
        has_own = "attempt" in self.meta or any((self.path / n).exists() for n in left)
        return not has_own and not kept_attempts(self.path)

    @property
    def last_attempt(self) -> int:
        """Number of the latest one that left anything; from 0."""
        kept = (int(path.name.removeprefix(BEFORE)) for path in kept_attempts(self.path))
        return max(int(self.meta.get("attempt", 0)), *kept, 0)

    def clear(self) -> None:
        """Drop what a former, unfinished attempt left, before the point is repeated."""
        self.close()
        shutil.rmtree(self.path)
        self.path.mkdir()
        sync_directory(self.path.parent)

    def set_aside(self, lost: Iterable[Path] = ()) -> None:
        """Keep what a former attempt left in a folder of its own, its spool merged, before the
        point is repeated. Killed meanwhile, it may be called again.

        lost: records that are gone or altered; the attempt they belong to is dropped.
        """
        self.close()
        struck = {path.parent for path in lost}
        for kept in struck.intersection(kept_attempts(self.path)):
            shutil.rmtree(kept)
        if self.path in struck:
            self._drop_own()
        else:
            self._move_own()
        sync_directory(self.path)

    def _move_own(self) -> None:
        if (self.path / SPOOL_DIRECTORY).exists():
            self.merge("partial")
        folder = self.path / f"{BEFORE}{int(self.meta.get('attempt', 0))}"
        try:
            # point.json, which names the folder, goes last
            for path in sorted(self._own, key=lambda path: path.name == "point.json"):
                folder.mkdir(exist_ok=True)
                os.replace(path, folder / path.name)
        except OSError as error:
            raise disk_error(folder, error) from error

    def _drop_own(self) -> None:
        for path in self._own:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    @property
    def _own(self) -> list[Path]:
        """What belongs to the attempt that is here, no former one's folder."""
        return [path for path in self.path.iterdir() if not path.name.startswith(BEFORE)]

    @property
    def is_complete(self) -> bool:
        """Measured to its end and merged; `--resume` repeats a point that is not."""
        merged = all((self.path / n).exists() for n in ("requests.parquet", "clients.parquet"))
        return merged and self.meta.get("status") == "complete"


class RunDirectory:
    """A run being written. run_id is also the name of its directory.

    lost: records that were gone or altered when it was opened again.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._lock: RunLock | None = None
        self.lost: tuple[Path, ...] = ()

    @property
    def run_id(self) -> str:
        return self.manifest.run_id

    @property
    def log(self) -> EventLog:
        """log.jsonl of the run."""
        return EventLog(self.path / LOG)

    @classmethod
    def create(
        cls,
        out_root: Path,
        scenario_name: str,
        *,
        given_text: str,
        resolved_yaml: str,
        provenance: dict[str, Any],
    ) -> RunDirectory:
        """A new directory below out_root, in status `running`; `latest` points to it.

        Raises UsageError where the directory cannot be made or the disk is full.
        """
        now = datetime.now(UTC)
        short = scenario_name[:_NAME_CHARACTERS]
        run_id = f"{now:%Y%m%dT%H%M%SZ}-{short}-{secrets.token_hex(3)}"
        path = Path(out_root) / run_id
        try:
            (path / "points").mkdir(parents=True)
        except OSError as error:
            raise disk_error(path, error) from error
        write_bytes(path / "scenario.yaml", given_text.encode())
        write_bytes(path / "scenario.resolved.yaml", resolved_yaml.encode())
        created = now.isoformat(timespec="seconds")
        manifest = Manifest(run_id, scenario_name, "running", created, provenance=provenance)
        manifest.write(path)
        _point_latest(path)
        run = cls(path, manifest)
        run.lock()
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run, to be resumed or finished again. Raises UsageError where it is none."""
        return cls(Path(path), read_manifest(Path(path)))

    @property
    def points(self) -> tuple[PointDirectory, ...]:
        return tuple(
            PointDirectory(self.path / p.path, p.index, p.label) for p in self.manifest.points
        )

    def add_point(self, index: int, label: str) -> PointDirectory:
        """The point's directory, made and listed; the same one when it is already there."""
        for point in self.points:
            if point.index == index:
                return point
        entry = PointEntry(index, label, f"points/{index:03d}-{label}")
        path = self.path / entry.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            sync_directory(path.parent)
        except OSError as error:
            raise disk_error(path, error) from error
        point = PointDirectory(path, index, label)
        point.update_meta(index=index, label=label, status="running")
        self._write(replace(self.manifest, points=(*self.manifest.points, entry)))
        return point

    def lock(self) -> None:
        """Be the run's only writer until `finish`. Raises UsageError where another process is,
        MeasurementError where the scenario is not the one it began with."""
        if self._lock is None:
            self._lock = RunLock(self.path)
            require_whole(self.path, self.manifest, with_points=False)

    @property
    def whole_points(self) -> tuple[PointDirectory, ...]:
        """The complete points whose records are still as they were digested."""
        lost = damaged(self.path, self.manifest)
        return tuple(
            point
            for point in self.points
            if point.is_complete
            and not any((self.path / name).is_relative_to(point.path) for name in lost)
        )

    def reopen(self) -> None:
        """In status `running` again; digests are kept for the points that stay as they are."""
        self.lost = tuple(self.path / name for name in damaged(self.path, self.manifest))
        kept = tuple(p.path.relative_to(self.path).as_posix() for p in self.whole_points)
        files = records_below(self.manifest.files, kept)
        self._write(replace(self.manifest, status="running", finished_utc=None, files=files))

    def write_json(self, name: str, value: Any) -> None:
        """A file of the whole run, such as summary.json."""
        write_json(self.path / name, value)

    def finish(self, status: str) -> None:
        """Digest every file into the manifest. Call it again after adding files.

        status: complete, partial, interrupted or invalid.
        """
        if status not in get_args(RunStatus):
            raise ValueError(f"{status!r} is no status of a run")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        files = digest_files(self.path)
        known = cast(RunStatus, status)
        self._write(replace(self.manifest, status=known, finished_utc=now, files=files))
        _point_latest(self.path)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def refresh(self) -> None:
        """Digest again after files were rendered anew; status, times and the digests of records
        stay as they are, so that damage to them is not made good by rendering."""
        found = {n: d for n, d in digest_files(self.path).items() if not is_record(n)}
        records = {n: d for n, d in self.manifest.files.items() if is_record(n)}
        self._write(replace(self.manifest, files=found | records))

    def _write(self, manifest: Manifest) -> None:
        manifest.write(self.path)
        self.manifest = manifest


def _point_latest(run_dir: Path) -> None:
    """`latest` beside the run: a symlink, or a file with its name where links cannot be made."""
    latest = run_dir.parent / LATEST
    aside = run_dir.parent / f".{LATEST}.{os.getpid()}.tmp"
    aside.unlink(missing_ok=True)
    try:
        os.symlink(run_dir.name, aside, target_is_directory=True)
        os.replace(aside, latest)
    except OSError:
        aside.unlink(missing_ok=True)
        write_bytes(latest, run_dir.name.encode() + b"\n")

"""Reading a run back: finished, interrupted, or killed half way.

A point that was merged is read from its Parquet files; one that was not, from its spool. Either way
the tables have this version's columns. Nothing here writes.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.traffic import Schedule

from ._atomic import unreadable
from ._whole import require_whole
from .conform import conform
from .locate import find_run, kept_attempts
from .manifest import Manifest, read_manifest
from .schedule_file import read_schedule
from .schema import CLIENT_SCHEMA, REQUEST_SCHEMA, SERVER_SCHEMA
from .spool import Spool, read_spool


class PointRecords:
    """What one point left behind."""

    def __init__(self, path: Path, index: int, label: str) -> None:
        self.path, self.index, self.label = path, index, label

    @property
    def is_partial(self) -> bool:
        """True unless the point was measured to its end and merged."""
        # merging writes clients.parquet first: without it something was lost since
        is_whole = self._is_merged and (self.path / "clients.parquet").exists()
        return not is_whole or self.meta.get("status") != "complete"

    @property
    def num_torn_bytes(self) -> int:
        """Bytes of the spool that could not be read, then and now; 0 when nothing was lost."""
        if self._is_merged:
            return int(self.meta.get("num_torn_bytes", 0))
        return self._spool.num_torn_bytes

    @property
    def before(self) -> tuple[PointRecords, ...]:
        """What former attempts at the point left, in order; kept where uptime is asked for."""
        kept = kept_attempts(self.path)
        return tuple(PointRecords(path, self.index, self.label) for path in kept)

    @cached_property
    def meta(self) -> dict[str, Any]:
        """point.json, with `stages` from stages.json where the load wrote it; empty if absent."""
        meta: dict[str, Any] = self._json("point.json") or {}
        stages = self._json("stages.json")
        return meta if stages is None else {**meta, "stages": stages}

    def requests(self) -> pa.Table:
        """REQUEST_SCHEMA, one row a finished request, in order of arrival here."""
        return self._table("requests.parquet", REQUEST_SCHEMA, "requests")

    def clients(self) -> pa.Table:
        """CLIENT_SCHEMA, one row a second and worker."""
        return self._table("clients.parquet", CLIENT_SCHEMA, "clients")

    def server(self) -> pa.Table:
        """SERVER_SCHEMA: what the target said of itself, by second and series; may be empty."""
        return self._table("server.parquet", SERVER_SCHEMA, "server")

    def samples(self, most: int) -> list[dict[str, Any]]:
        """The first answers whose text was kept (`output.samples`): request_id, stage, row,
        visible, reasoning, calls. Torn lines are left out."""
        path = self.path / "samples.jsonl"
        try:
            lines = path.read_bytes().split(b"\n") if path.exists() else []
        except OSError as error:
            raise unreadable(path, error) from error
        found = []
        for line in lines[:most]:
            with suppress(ValueError):
                found.append(dict(json.loads(line)))
        return found

    def schedule(self) -> Schedule | None:
        """What was to be sent; None where the run was killed before it was written."""
        path = self.path / "schedule.parquet"
        return read_schedule(path) if path.exists() else None

    @property
    def _is_merged(self) -> bool:
        return (self.path / "requests.parquet").exists()

    @cached_property
    def _spool(self) -> Spool:
        return read_spool(self.path)

    def _table(self, name: str, schema: pa.Schema, of_spool: str) -> pa.Table:
        path = self.path / name
        if not path.exists():
            found: pa.Table = getattr(self._spool, of_spool)
            return found
        try:
            return conform(pq.read_table(path), schema)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from error

    def _json(self, name: str) -> Any:
        path = self.path / name
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands on disk. given_text: the scenario as written by the user."""

    path: Path
    manifest: Manifest
    given_text: str
    resolved_yaml: str
    points: tuple[PointRecords, ...]

    @classmethod
    def open(cls, path: Path | str, out_root: Path | str = "runs") -> Run:
        """A run by its directory, by its name below out_root, or the `latest` one there.

        Raises UsageError where there is none, or its manifest cannot be read.
        """
        found = find_run(path, Path(out_root))
        manifest = read_manifest(found)
        return cls(
            found,
            manifest,
            _text(found / "scenario.yaml"),
            _text(found / "scenario.resolved.yaml"),
            tuple(PointRecords(found / p.path, p.index, p.label) for p in manifest.points),
        )

    def require_whole(self) -> None:
        """Raises MeasurementError where records were lost or altered since the run ended."""
        require_whole(self.path, self.manifest)

    @property
    def is_partial(self) -> bool:
        return self.manifest.status != "complete" or any(p.is_partial for p in self.points)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error

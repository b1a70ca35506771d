"""What happened, on disk: the run directory, its schema, its spool and its provenance."""

from __future__ import annotations

from ._atomic import write_bytes
from .conform import conform
from .locate import find_run
from .manifest import Manifest, PointEntry, RunStatus, read_manifest
from .provenance import provenance, redact
from .run import PointRecords, Run
from .run_directory import PointDirectory, RunDirectory
from .schedule_file import read_schedule, write_schedule
from .schema import CLIENT_SCHEMA, REQUEST_SCHEMA, SCHEMA_VERSION
from .spool import Spool, SpoolWriter, read_spool

__all__ = [
    "CLIENT_SCHEMA",
    "REQUEST_SCHEMA",
    "SCHEMA_VERSION",
    "Manifest",
    "PointDirectory",
    "PointEntry",
    "PointRecords",
    "Run",
    "RunDirectory",
    "RunStatus",
    "Spool",
    "SpoolWriter",
    "conform",
    "find_run",
    "provenance",
    "read_manifest",
    "read_schedule",
    "read_spool",
    "redact",
    "write_bytes",
    "write_schedule",
]

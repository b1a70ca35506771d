"""What happened, on disk: the run directory, its schema, its spool and its provenance."""

from __future__ import annotations

from ._atomic import make_folder, require_folder, write_bytes
from .baselines import (
    Session,
    baseline_names,
    baseline_path,
    read_calibrations,
    read_sessions,
    save_calibration,
    save_session,
    set_quarantine,
)
from .conform import conform
from .event_log import LOG, EventLog, read_log
from .exposition import NotExposition, Sample, parse_exposition
from .gpu import GpuReader, open_gpus
from .locate import find_run
from .manifest import Manifest, PointEntry, RunStatus, read_manifest
from .metrics_page import MetricsPage, PageFault, is_same_origin, metrics_url
from .provenance import provenance, redact
from .run import PointRecords, Run
from .run_directory import PointDirectory, RunDirectory
from .schedule_file import read_schedule, write_schedule
from .schema import CLIENT_SCHEMA, REQUEST_SCHEMA, SCHEMA_VERSION, SERVER_SCHEMA
from .server_metrics import METRICS, ServerMetric, names_of, recognise
from .spool import ServerSpool, Spool, SpoolWriter, read_spool
from .telemetry import Readings, Telemetry, to_batch
from .workers import on_master_axis, read_workers, write_workers

__all__ = [
    "CLIENT_SCHEMA",
    "LOG",
    "METRICS",
    "REQUEST_SCHEMA",
    "SCHEMA_VERSION",
    "SERVER_SCHEMA",
    "EventLog",
    "GpuReader",
    "Manifest",
    "MetricsPage",
    "NotExposition",
    "PageFault",
    "PointDirectory",
    "PointEntry",
    "PointRecords",
    "Readings",
    "Run",
    "RunDirectory",
    "RunStatus",
    "Sample",
    "ServerMetric",
    "ServerSpool",
    "Session",
    "Spool",
    "SpoolWriter",
    "Telemetry",
    "baseline_names",
    "baseline_path",
    "conform",
    "find_run",
    "is_same_origin",
    "make_folder",
    "metrics_url",
    "names_of",
    "on_master_axis",
    "open_gpus",
    "parse_exposition",
    "provenance",
    "read_calibrations",
    "read_log",
    "read_manifest",
    "read_schedule",
    "read_sessions",
    "read_spool",
    "read_workers",
    "recognise",
    "redact",
    "require_folder",
    "save_calibration",
    "save_session",
    "set_quarantine",
    "to_batch",
    "write_bytes",
    "write_schedule",
    "write_workers",
]

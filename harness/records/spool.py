"""Append-only spool of a point: what was acknowledged survives `kill -9` and a power cut.

A frame is magic, length and CRC-32 of its payload, then the payload: one Arrow IPC stream that
holds one batch and its schema, so that each frame is readable alone. A torn or corrupt frame is
skipped and its bytes counted; the frames around it stay readable.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pyarrow as pa

from ._atomic import disk_error, sync_directory, unreadable
from .conform import conform
from .schema import CLIENT_SCHEMA, REQUEST_SCHEMA, SERVER_SCHEMA
from .workers import on_master_axis, read_workers, with_clocks

MAGIC = b"HSP1"
_HEADER = struct.Struct("<4sQI")  # magic, payload bytes, CRC-32 of the payload
SPOOL_DIRECTORY = "spool"


class Spool(NamedTuple):
    """What a spool holds. num_torn_bytes: bytes that belong to no whole frame."""

    requests: pa.Table
    clients: pa.Table
    num_torn_bytes: int
    server: pa.Table


class SpoolWriter:
    """Appends batches to `<point_dir>/spool/`; every call returns only after fsync.

    Raises UsageError naming the path where the disk is full; whole frames stay readable and the
    writer may be used again. Not to be shared between threads or processes.
    """

    def __init__(self, point_dir: Path) -> None:
        directory = Path(point_dir) / SPOOL_DIRECTORY
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._requests = _FrameFile(directory / "requests.frames")
            self._clients = _FrameFile(directory / "clients.frames")
            sync_directory(directory)
            sync_directory(directory.parent)
        except OSError as error:
            raise disk_error(directory, error) from error

    def append_requests(self, batch: pa.RecordBatch) -> None:
        """Rows in REQUEST_SCHEMA, or in a subset of its columns."""
        self._requests.append(batch)

    def append_clients(self, batch: pa.RecordBatch) -> None:
        """Rows in CLIENT_SCHEMA, or in a subset of its columns."""
        self._clients.append(batch)

    def close(self) -> None:
        """Safe to call twice; nothing is pending, since every append is synced."""
        self._requests.close()
        self._clients.close()

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ServerSpool:
    """Appends readings of the target to `<point_dir>/spool/server.frames`, each synced.

    Beside SpoolWriter, for it belongs to another process. Raises UsageError where the disk is full.
    """

    def __init__(self, point_dir: Path) -> None:
        directory = Path(point_dir) / SPOOL_DIRECTORY
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._frames = _FrameFile(directory / "server.frames")
            sync_directory(directory)
        except OSError as error:
            raise disk_error(directory, error) from error

    def append(self, batch: pa.RecordBatch) -> None:
        """Rows in SERVER_SCHEMA."""
        self._frames.append(batch)

    def close(self) -> None:
        self._frames.close()


def read_spool(point_dir: Path) -> Spool:
    """Every whole frame, in the order written; empty tables where there is no spool.

    Times are on the master's axis, whichever host took them.
    """
    directory = Path(point_dir) / SPOOL_DIRECTORY
    tables, torn = [], 0
    for name, schema in (
        ("requests.frames", REQUEST_SCHEMA),
        ("clients.frames", CLIENT_SCHEMA),
        ("server.frames", SERVER_SCHEMA),
    ):
        path = directory / name
        data = _read(path)
        parts = [schema.empty_table()]
        whole = 0
        for payload in _frames(data):
            parts.append(conform(pa.ipc.open_stream(payload).read_all(), schema))
            whole += _HEADER.size + len(payload)
        tables.append(pa.concat_tables(parts))
        torn += len(data) - whole
    workers = read_workers(Path(point_dir))
    requests, clients = (on_master_axis(table, workers) for table in tables[:2])
    return Spool(requests, with_clocks(clients, workers), torn, tables[2])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise unreadable(path, error) from error


class _FrameFile:
    """One append-only file of frames."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, batch: pa.RecordBatch) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        payload = sink.getvalue().to_pybytes()
        frame = memoryview(_HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload)
        start = os.fstat(self._handle).st_size
        try:
            while frame:
                frame = frame[os.write(self._handle, frame) :]
            os.fsync(self._handle)
        except OSError as error:
            # the half frame goes, so that the space serves the next try; readers would skip it
            with suppress(OSError):
                os.ftruncate(self._handle, start)
            raise disk_error(self._path, error) from error

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _frames(data: bytes) -> Iterator[bytes]:
    """Payloads of the whole frames; past a bad one, reading resumes at the next good one."""
    at = data.find(MAGIC)
    while 0 <= at <= len(data) - _HEADER.size:
        _, length, crc = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        payload = data[start : start + length]
        if len(payload) == length and zlib.crc32(payload) == crc:
            yield payload
            at = data.find(MAGIC, start + length)
        else:
            at = data.find(MAGIC, at + 1)

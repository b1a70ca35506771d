"""Files that are either wholly there or not there: written aside, synced, renamed, synced again.

A full or read-only disk surfaces as a UsageError that names the path; what was there before stays.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import UsageError


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file at `path` by these bytes."""

    def write(aside: Path) -> None:
        with open(aside, "wb") as file:
            file.write(data)

    _replace(path, write)


def write_json(path: Path, value: Any) -> None:
    """Replace the file by JSON that a person can read. NaN and infinity are refused: not JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def write_parquet(path: Path, table: pa.Table) -> None:
    """Replace the file by a zstd-compressed Parquet file."""
    _replace(path, lambda aside: pq.write_table(table, aside, compression="zstd"))


def sync_directory(directory: Path) -> None:
    """Make renames and new names in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_folder(folder: Path) -> None:
    """Raises UsageError where `folder` cannot be made or written; leaves nothing. Told early:
    before an engine is started whose measurement could not be kept.

    Tried, not asked: what a file system grants to root it may still refuse, as /proc does.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise disk_error(folder, NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder"))
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".harness-", dir=there))
    except OSError as error:
        why = PermissionError(error.errno, f"{there} cannot be written")
        raise disk_error(folder, why) from error


def make_folder(folder: Path) -> None:
    """With its parents. Raises UsageError where it cannot be made or written."""
    require_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error


def disk_error(path: Path, error: OSError) -> UsageError:
    """What to tell the user when a file of a run cannot be written."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return UsageError(
        "the disk is full" if is_full else "a file of the run cannot be written",
        where=str(path),
        why=error.strerror or str(error),
        do="free some space; what was written is kept and `harness report` reads it"
        if is_full
        else "check the folder's permissions, or choose another with --out",
    )


def unreadable(path: Path, error: Exception) -> UsageError:
    """What to tell the user when a file of a run is not what was written."""
    return UsageError(
        "records cannot be read", where=str(path),
        why=getattr(error, "strerror", None) or str(error),
        do="restore it from a copy of the run; points are measured again by harness run --resume"
        " RUN",
    )  # fmt: skip


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(aside)
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise disk_error(path, error) from error

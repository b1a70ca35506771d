"""log.jsonl: what happened to a run, one JSON object a line, in order.

Points begun and ended, notices, failed readings of the target, interruptions, lost workers. Each
line is one write and one fsync, so a killed run has all but the line being written. No measurement
lives here, and no secret: texts are redacted.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .provenance import redact

LOG = "log.jsonl"
MAX_TEXT = 2_000


class EventLog:
    """Appends; a line that cannot be written is lost in silence: the run matters more."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: str, **fields: Any) -> None:
        """One line: utc, event, and the fields that are not None."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = {"utc": now, "event": event}
        row |= {name: _safe(value) for name, value in fields.items() if value is not None}
        line = json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"
        with suppress(OSError):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, (b"\n" if _is_torn(handle) else b"") + line)
                os.fsync(handle)
            finally:
                os.close(handle)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Every whole line, oldest first; none where there is no log."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                rows.append(row)
    return rows


def _is_torn(handle: int) -> bool:
    """Whether the last line was cut by a kill, so that the next must not join it."""
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)[:MAX_TEXT]
    if isinstance(value, dict):
        return {str(name): _safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item) for item in value]
    return value

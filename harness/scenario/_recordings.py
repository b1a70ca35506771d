"""Reads WAV files that are sent as they are: their bytes, and how long they play."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from pathlib import Path

from harness.scenario._files import FileFault

MOST_BYTES = 25_000_000  # what the API takes


@dataclass(frozen=True, slots=True)
class Recording:
    """wav: the whole file."""

    wav: bytes
    duration_s: float


def read_wav(path: Path) -> Recording:
    """Raises FileFault where it is no WAV with sound in it, or larger than endpoints take."""
    raw = path.read_bytes()
    if len(raw) > MOST_BYTES:
        raise FileFault(f"{path.name} has {len(raw):,} bytes; endpoints take {MOST_BYTES:,}")
    try:
        with wave.open(io.BytesIO(raw)) as file:
            duration_s = file.getnframes() / file.getframerate()
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise FileFault(f"{path.name} is no WAV file of PCM samples: {error}") from error
    if duration_s <= 0:
        raise FileFault(f"{path.name} holds no sound")
    return Recording(raw, duration_s)

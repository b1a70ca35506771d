"""Reads public traces: when requests came, how long they were, which openings they shared.

Times are seconds from the first row, ascending. Lengths are what the trace says; nothing here
thins, jitters or caps: that is the schedule's business.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.scenario._files import FileFault, open_text
from harness.scenario.distributions import MOST_TOK
from harness.units import MOST_SECONDS

MOONCAKE_BLOCK_TOK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Rows of a real trace in order of arrival.

    arrival_s: [n] seconds from the first row, ascending.  input_tok, output_tok: [n], 1 or more.
    hash_ids: [n] one id for each prefix block of block_tok tokens, equal ids = equal text; None
    where the trace has none (block_tok 0).  num_dropped: rows left out because they had failed.
    """

    arrival_s: npt.NDArray[np.float64]
    input_tok: npt.NDArray[np.int32]
    output_tok: npt.NDArray[np.int32]
    hash_ids: tuple[tuple[int, ...], ...] | None = None
    block_tok: int = 0
    num_dropped: int = 0

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(slots=True)
class _Row:
    time_s: float
    input_tok: int
    output_tok: int
    hash_ids: tuple[int, ...] = ()


def read_trace(path: Path, format: str) -> Trace:
    """A trace in one of the known layouts; raises FileFault naming the line that is wrong."""
    reader = {
        "azure_csv": _azure,
        "mooncake_jsonl": _mooncake,
        "burstgpt_csv": _burstgpt,
    }[format]
    with open_text(path) as text:
        rows = list(reader(path.name, text))
    # A request that got no tokens failed there and says nothing about load here.
    kept = sorted((r for r in rows if r.output_tok > 0 and r.input_tok > 0), key=lambda r: r.time_s)
    if not kept:
        raise FileFault(f"{path.name} holds no usable row")
    time_s = np.array([r.time_s for r in kept], np.float64)
    if time_s[-1] - time_s[0] > MOST_SECONDS:
        raise FileFault(f"{path.name} spans more than 30 years; its times are not in one unit")
    has_blocks = format == "mooncake_jsonl"
    return Trace(
        arrival_s=time_s - time_s[0],
        input_tok=np.array([r.input_tok for r in kept], np.int32),
        output_tok=np.array([r.output_tok for r in kept], np.int32),
        hash_ids=tuple(r.hash_ids for r in kept) if has_blocks else None,
        block_tok=MOONCAKE_BLOCK_TOK if has_blocks else 0,
        num_dropped=len(rows) - len(kept),
    )


def _azure(name: str, text: Iterator[str]) -> Iterator[_Row]:
    """TIMESTAMP,ContextTokens,GeneratedTokens; times are UTC with up to nine digits."""
    for line, row in _csv(name, text, ("TIMESTAMP", "ContextTokens", "GeneratedTokens")):
        yield _Row(
            _timestamp_s(name, line, row[0]),
            _count(name, line, row[1]),
            _count(name, line, row[2]),
        )


def _burstgpt(name: str, text: Iterator[str]) -> Iterator[_Row]:
    """Timestamp (s), Request tokens, Response tokens; 0 response tokens is a failure."""
    for line, row in _csv(name, text, ("Timestamp", "Request tokens", "Response tokens")):
        try:
            time_s = float(row[0])
        except ValueError:
            time_s = math.nan
        if not math.isfinite(time_s):
            raise FileFault(f"line {line} of {name}: '{row[0][:40]}' is not a time in seconds")
        yield _Row(time_s, _count(name, line, row[1]), _count(name, line, row[2]))


def _mooncake(name: str, text: Iterator[str]) -> Iterator[_Row]:
    """timestamp (ms), input_length, output_length, hash_ids (one per 512 tokens)."""
    for line, raw in enumerate(text, 1):
        if not raw.strip():
            continue
        try:
            found = _mooncake_row(json.loads(raw))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise FileFault(
                f"line {line} of {name} is not a Mooncake row"
                " {timestamp, input_length, output_length, hash_ids}"
            ) from error
        yield found


def _mooncake_row(row: dict[str, Any]) -> _Row:
    time_s, hash_ids = float(row["timestamp"]) / 1000, row["hash_ids"]
    input_tok, output_tok = int(row["input_length"]), int(row["output_length"])
    if not (math.isfinite(time_s) and 0 <= input_tok <= MOST_TOK and 0 <= output_tok <= MOST_TOK):
        raise ValueError("a time or a length that no request has")
    if not isinstance(hash_ids, list):
        raise TypeError("hash_ids is no list")
    return _Row(time_s, input_tok, output_tok, tuple(int(i) for i in hash_ids))


def _csv(
    name: str, text: Iterator[str], columns: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(text)
    header = [cell.strip() for cell in next(rows, [])]
    missing = [column for column in columns if column not in header]
    if missing:
        found = ", ".join(header)[:120] or "nothing"
        raise FileFault(f"{name} has no column '{missing[0]}'; its first line has {found}")
    indices = [header.index(column) for column in columns]
    for row in rows:
        if row:
            try:
                yield rows.line_num, [row[i].strip() for i in indices]
            except IndexError:
                raise FileFault(f"line {rows.line_num} of {name} has too few columns") from None


def _timestamp_s(name: str, line: int, text: str) -> float:
    """`2023-11-16 18:15:46.6805900` as seconds of the epoch.

    Python's parser stops at microseconds, so the fraction (here 100 ns digits) is read apart.
    """
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|\+00:00)?", text)
    try:
        whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC) if match else None
    except ValueError:
        whole = None
    if whole is None or match is None:
        raise FileFault(f"line {line} of {name}: '{text[:40]}' is not a UTC time")
    return whole.timestamp() + float(match[2] or 0)


def _count(name: str, line: int, text: str) -> int:
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        value = -1
    if not 0 <= value <= MOST_TOK:
        raise FileFault(f"line {line} of {name}: '{text[:40]}' is not a number of tokens")
    return value

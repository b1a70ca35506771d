"""Reads data sets of real prompts: JSONL, one object a line, text or a list of chat messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.scenario._files import FileFault, open_text
from harness.scenario.distributions import MOST_TOK
from harness.scenario.document import Columns

_ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One prompt: either messages [(role, text), ...] or a bare prompt.

    output_tok: answer length asked for, None where the row does not say.
    """

    messages: tuple[tuple[str, str], ...] | None
    prompt: str | None
    output_tok: int | None


def read_dataset(path: Path, columns: Columns) -> tuple[DatasetRow, ...]:
    """Every row of the file; raises FileFault naming the first line that is wrong."""
    if path.name.removesuffix(".gz").endswith((".csv", ".parquet")):
        raise FileFault(f"{path.name}: this version reads data sets as JSONL, one object a line")
    rows: list[DatasetRow] = []
    with open_text(path) as text:
        for line, raw in enumerate(text, 1):
            if raw.strip():
                try:
                    rows.append(_row(json.loads(raw), columns))
                except json.JSONDecodeError as error:
                    raise FileFault(f"line {line} of {path.name} is not JSON") from error
                except (ValueError, RecursionError) as error:
                    raise FileFault(f"line {line} of {path.name}: {error}") from error
    if not rows:
        raise FileFault(f"{path.name} holds no rows")
    return tuple(rows)


def _row(row: Any, columns: Columns) -> DatasetRow:
    if not isinstance(row, dict):
        raise ValueError("expected an object with keys")
    if columns.prompt not in row:
        raise ValueError(f"no key '{columns.prompt}'; it has {', '.join(map(str, row)) or 'none'}")
    output_tok = _output(row, columns.output_tokens) if columns.output_tokens else None
    prompt = row[columns.prompt]
    if isinstance(prompt, str) and prompt.strip():
        return DatasetRow(None, _whole(prompt), output_tok)
    if isinstance(prompt, list) and prompt:
        return DatasetRow(tuple(_message(item) for item in prompt), None, output_tok)
    raise ValueError(f"'{columns.prompt}' is neither text nor a list of messages")


def _message(item: Any) -> tuple[str, str]:
    role = item.get("role") if isinstance(item, dict) else None
    text = item.get("content") if isinstance(item, dict) else None
    if role not in _ROLES or not isinstance(text, str):
        raise ValueError(f"a message needs a role ({', '.join(_ROLES)}) and text as content")
    return role, _whole(text)


def _whole(text: str) -> str:
    """The text, if it can be sent: JSON's escapes can spell halves of characters."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("its text holds half a character (an unpaired surrogate)")
    return text


def _output(row: dict[str, Any], column: str) -> int | None:
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TOK:
        raise ValueError(f"'{column}' is not a whole number of tokens from 1 to {MOST_TOK:,}")
    return value

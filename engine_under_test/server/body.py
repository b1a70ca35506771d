"""A JSON body to Python objects without making everyone else wait.

Whoever parses JSON holds the interpreter lock, and what it costs is objects and escapes, not bytes:
ten megabytes of one text take two milliseconds, ten megabytes of empty lists two seconds. So what a
large body may hold is counted first, outside the lock: too many objects are refused unread, and
long strings of escapes are read in slices.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pydantic_core

from .errors import bad_request
from .escapes import parse_in_slices
from .json_scan import MAX_CONTAINERS, MAX_MEMBERS, MAX_VALUES, Body, Size, num_escapes, size_of

_BOM = b"\xef\xbb\xbf"
UNCOUNTED_BYTES = 64 * 1024  # so little cannot hold many
MAX_ESCAPES = 30_000  # more are read in slices; a millisecond


async def parse(body: bytearray) -> object:
    """Raises ApiError (400) for what is no JSON, or holds more values than any request needs."""
    if body.startswith(_BOM):
        del body[: len(_BOM)]
    if len(body) <= UNCOUNTED_BYTES:
        return _parsed(body)
    size, num = await asyncio.to_thread(_counted, body)
    if not size.is_bearable:
        raise bad_request(
            f"the JSON body holds {size.num_commas + 1} values, {size.num_members} members of "
            f"objects and {size.num_containers} lists and objects; at most {MAX_VALUES}, "
            f"{MAX_MEMBERS} and {MAX_CONTAINERS} are read: send fewer prompts at a time"
        )
    if num > MAX_ESCAPES:
        return await asyncio.to_thread(parse_in_slices, body, _parsed)
    return _parsed(body)


def _counted(body: bytearray) -> tuple[Size, int]:
    return size_of(body), num_escapes(body)


def _parsed(body: Body) -> object:
    """At once."""
    try:
        return pydantic_core.from_json(body, cache_strings="keys")
    except ValueError as error:
        content = _with_half_pairs(body)
        if content is None:
            raise bad_request(f"the body is not valid JSON: {error}") from error
    _refuse_half_pairs(content)
    return content


def _with_half_pairs(body: Body) -> Any:
    """What only Python's parser takes: half a surrogate pair in an escape. None: nothing."""
    if b"\\u" not in body:
        return None
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _refuse_half_pairs(content: object) -> None:
    """JSON can spell half a surrogate pair, which no tokenizer and no hash takes for text."""
    fields = content if isinstance(content, dict) else {"": content}
    for name, value in fields.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise bad_request(f"'{name}' holds half a surrogate pair: no text", name) from error

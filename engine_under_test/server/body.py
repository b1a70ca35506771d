"""A JSON body to Python objects without making everyone else wait.

Whoever parses JSON holds the interpreter lock, and what it costs is objects, not bytes: ten
megabytes of one text take two milliseconds, ten megabytes of empty lists two seconds. So a body
that may hold too many is counted first, outside the lock, and refused unread.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pydantic_core

from .errors import bad_request

# 48 prompts of 8,192 token ids; thousands of messages with tools. Some ten milliseconds each.
MAX_VALUES = 400_000
MAX_MEMBERS = 50_000
MAX_CONTAINERS = 25_000
_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 2**20
UNCOUNTED_BYTES = 64 * 1024  # so little cannot hold many

Bytes = npt.NDArray[np.uint8]


class Size(NamedTuple):
    """What stands outside strings: commas, colons, and opening brackets and braces."""

    num_commas: int
    num_members: int
    num_containers: int

    @property
    def is_bearable(self) -> bool:
        limits = (MAX_VALUES, MAX_MEMBERS, MAX_CONTAINERS)
        return all(num <= most for num, most in zip(self, limits, strict=True))


async def parse(body: bytearray) -> object:
    """Raises ApiError (400) for what is no JSON, or holds more values than any request needs."""
    if body.startswith(_BOM):
        del body[: len(_BOM)]
    if len(body) > UNCOUNTED_BYTES:
        size = await asyncio.to_thread(size_of, body)
        if not size.is_bearable:
            raise bad_request(
                f"the JSON body holds {size.num_commas + 1} values, {size.num_members} members of "
                f"objects and {size.num_containers} lists and objects; at most {MAX_VALUES}, "
                f"{MAX_MEMBERS} and {MAX_CONTAINERS} are read: send fewer prompts at a time"
            )
    try:
        return pydantic_core.from_json(body, cache_strings="keys")
    except ValueError as error:
        content = _with_half_pairs(body)
        if content is None:
            raise bad_request(f"the body is not valid JSON: {error}") from error
    _refuse_half_pairs(content)
    return content


def size_of(body: bytes | bytearray) -> Size:
    """Block by block in numpy, which lets go of the interpreter lock."""
    totals, is_inside, num_slashes = [0, 0, 0], False, 0
    whole: Bytes = np.frombuffer(body, np.uint8)
    for start in range(0, len(whole), _BLOCK_BYTES):
        block = whole[start : start + _BLOCK_BYTES]
        quotes, num_slashes = _quotes(block, num_slashes)
        inside = np.logical_xor.accumulate(quotes)
        if is_inside:
            np.logical_not(inside, out=inside)
        is_inside = bool(inside[-1])
        for n, signs in enumerate((b",", b":", b"[{")):
            found = block == signs[0]
            for sign in signs[1:]:
                found |= block == sign
            totals[n] += int(np.count_nonzero(found & ~inside))
    return Size(*totals)


def _quotes(block: Bytes, num_slashes: int) -> tuple[npt.NDArray[np.bool_], int]:
    """Which bytes are quotes that no backslash escapes, and how many backslashes end the block.

    num_slashes: that ended the block before.
    """
    quotes, slashes = block == ord('"'), block == ord("\\")
    if not num_slashes and not slashes.any():
        return quotes, 0
    # The last byte before each that is no backslash: an odd number of them in between escapes.
    last = np.where(slashes, -1 - num_slashes, np.arange(len(block)))
    np.maximum.accumulate(last, out=last)
    run = np.arange(len(block)) - last  # backslashes up to and with each byte
    before = np.concatenate(([num_slashes], run[:-1]))
    return quotes & (before % 2 == 0), int(run[-1])


def _with_half_pairs(body: bytearray) -> Any:
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

"""Long strings full of escapes, read a slice at a time.

Every escape is read under the interpreter lock, some 30 ns each: 50 ms for ten megabytes of them.
So long strings are taken out of the body, decoded in slices between which others may run, and put
where the marks are that stood for them while the rest was parsed. Call it in a thread.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable

import pydantic_core

from .errors import bad_request
from .json_scan import Body, long_strings, num_escapes

LONG_BYTES = 4096
SLICE_BYTES = 64 * 1024  # some 0.3 ms
# Between two slices. A thread that always wants the lock gets it back within half a millisecond,
# and a step of the engine gives it up a hundred times: only who sleeps lets it through.
PAUSE_S = 0.002
MAX_SHORT_ESCAPES = 400_000  # in strings that are not long: read at once, some ten milliseconds


class HalfPair(ValueError):
    """A string holds half a surrogate pair, which is no text."""


def parse_in_slices(body: Body, parse: Callable[[Body], object]) -> object:
    """What parse gives for the whole body. Raises ApiError (400) and what parse raises."""
    mark, at = secrets.token_hex(8), 0
    rest, spans = bytearray(), long_strings(body, LONG_BYTES)
    for n, (start, end) in enumerate(spans):
        rest += body[at:start] + f"{mark}-{n}".encode()
        at = end
    rest += body[at:]
    if (num := num_escapes(rest)) > MAX_SHORT_ESCAPES:
        raise bad_request(
            f"the JSON body holds {num} escapes in strings of less than {LONG_BYTES} bytes; at "
            f"most {MAX_SHORT_ESCAPES} are read: send UTF-8 as it is, or fewer prompts at a time"
        )
    content = parse(rest)
    # Decoded only where they are asked for: what is no JSON need not be read to its end.
    texts = {f"{mark}-{n}": body[start:end] for n, (start, end) in enumerate(spans)}
    field = ""
    try:
        if not isinstance(content, dict):
            return _filled(content, texts)
        filled = {}
        for name, value in content.items():
            field = "" if name in texts else name
            filled[_filled(name, texts)] = _filled(value, texts)
    except HalfPair:
        raise bad_request(f"'{field}' holds half a surrogate pair: no text", field) from None
    except ValueError as error:
        raise bad_request(f"the body is not valid JSON: '{field}': {error}") from error
    return filled


def _filled(value: object, texts: dict[str, Body]) -> object:
    """value with the texts in the places of their marks."""
    if isinstance(value, str):
        return decoded(texts[value]) if value in texts else value
    if isinstance(value, list):
        return [_filled(item, texts) for item in value]
    if isinstance(value, dict):
        return {_filled(name, texts): _filled(item, texts) for name, item in value.items()}
    return value


def decoded(inside: Body) -> str:
    """The text of a JSON string without its quotes. Raises ValueError, HalfPair."""
    parts, start = [], 0
    while start < len(inside):
        end = _cut(inside, start, min(start + SLICE_BYTES, len(inside)))
        parts.append(_decoded_at_once(bytes(inside[start:end])))
        start = end
        time.sleep(PAUSE_S)
    return "".join(parts)


def _decoded_at_once(piece: bytes) -> str:
    try:
        text: str = pydantic_core.from_json(b'"' + piece + b'"')
    except ValueError:
        # Half a pair is valid JSON, for Python's parser too; everything else is its own error.
        json.loads(f'"{piece.decode()}"')
        raise HalfPair from None
    return text


def _cut(inside: Body, start: int, end: int) -> int:
    """The last place up to `end` that lies within no escape, pair of escapes or character."""
    if end == len(inside):
        return end
    last = inside.rfind(b"\\", max(start, end - 6), end)
    if last >= 0 and _is_escape(inside, start, last):
        half = _half(inside, last)
        after = last + (6 if inside[last + 1 : last + 2] == b"u" else 2)
        if after > end:
            is_second = half == 2 and _is_escape(inside, start, last - 6)
            return last - 6 if is_second and _half(inside, last - 6) == 1 else last
        if half == 1 and after == end:
            return last
    for _ in range(3):  # a character has at most four bytes
        if inside[end] & 0xC0 == 0x80:
            end -= 1
    return end


def _is_escape(inside: Body, start: int, at: int) -> bool:
    """Whether an escape begins there, where none crosses `start`: after an even number of \\."""
    if at < start or inside[at : at + 1] != b"\\":
        return False
    before = bytes(inside[start:at])
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0


def _half(inside: Body, at: int) -> int:
    """1 or 2: the escape there is that half of a surrogate pair; 0: it is none."""
    head = bytes(inside[at : at + 4]).lower()
    if head[:3] != b"\\ud":
        return 0
    return 1 if head[3:] in (b"8", b"9", b"a", b"b") else 2 if head[3:] > b"7" else 0

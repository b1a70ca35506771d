"""Server-sent events after the fact: a body's bytes to events, by the WHATWG grammar.

Lines end in CR, LF or CRLF; fields may lack a colon; at most one space after it is dropped;
comments, `event`, `id`, `retry` and a byte order mark are understood; several `data` lines are
joined with LF. An event's `end` is the body offset at which its blank line is known, so its stamp
is that of the receive that holds it, wherever the bytes were split. Text is not decoded here:
a character split over two receives stays whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """end: body bytes needed to see it (offset just past the first byte of its blank line).

    is_closed: False for a last event that the end of the body cut before its blank line.
    """

    data: bytes
    name: str
    end: int
    is_closed: bool = True


class Events(NamedTuple):
    events: list[Event]
    consumed: int  # bytes of the part that need not be seen again


def read_events(part: bytes | bytearray, base: int = 0, *, is_final: bool = True) -> Events:
    """Events of a body, or of a part of it that starts at offset base, on an event boundary.

    Not final: an unfinished event is left for the next part. Events without a data field are
    dropped, as the standard says, but for `event: error`, which some servers send bare.
    """
    body = bytes(part)
    begin = 3 if base == 0 and body.startswith(_BOM) else 0
    if b"\r" not in body:
        plain = _read_plain(body, begin, base)
        if plain is not None and (not is_final or plain.consumed == len(body)):
            return plain
    return _read_any(body, begin, base, is_final)


def _read_plain(body: bytes, begin: int, base: int) -> Events | None:
    """The shape nearly all servers send, `data: ...` LF LF; None for anything else."""
    events = []
    at = begin
    while (stop := body.find(b"\n\n", at)) >= 0:
        block = body[at:stop]
        if not block.startswith(b"data: ") or b"\n" in block:
            return None
        at = stop + 2
        events.append(Event(block[6:], "", base + at))
    return Events(events, at)


def _read_any(body: bytes, begin: int, base: int, is_final: bool) -> Events:
    events: list[Event] = []
    data: list[bytes] = []
    name, consumed, at = "", begin, begin
    for match in _LINE.finditer(body, begin):
        line, at = match[1], match.end()
        if not is_final and match[2] == b"\r" and at == len(body):
            at = match.start()  # its LF may still come
            break
        if line:
            name = _take_field(line, data, name)
            continue
        if data or name == "error":
            # a CR alone already ends the line: the LF of a CRLF carries no news
            events.append(Event(b"\n".join(data), name, base + match.end(1) + 1))
        data, name, consumed = [], "", at
    if is_final:
        if at < len(body):
            name = _take_field(body[at:], data, name)
        if data:
            events.append(Event(b"\n".join(data), name, base + len(body), is_closed=False))
        consumed = len(body)
    return Events(events, consumed)


def _take_field(line: bytes, data: list[bytes], name: str) -> str:
    """Add a line to the event being read; returns the event's name."""
    field, _, value = line.partition(b":")
    value = value.removeprefix(b" ")
    if field == b"data":
        data.append(value)
    elif field == b"event":
        return value.decode("utf-8", "replace")
    return name

"""Server-sent events after the fact: a body's bytes to events, by the WHATWG grammar.

Lines end in CR, LF or CRLF; fields may lack a colon; at most one space after it is dropped;
comments, `event`, `id`, `retry` and a byte order mark are understood; several `data` lines are
joined with LF. An event's end is the body offset at which its blank line is known, so its stamp
is that of the receive that holds it, wherever the bytes were split. Text is not decoded here:
a character split over two receives stays whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"
_START, _BETWEEN, _LF = b"data: ", b"\n\ndata: ", 10


@dataclass(slots=True)
class Events:
    """Events in order, as columns.

    ends: body bytes needed to see each (offset just past the first byte of its blank line).
    names: the `event` field of those that have one, by index.  is_last_closed: False where the end
    of the body cut the last event before its blank line.  consumed: bytes of the part that need
    not be seen again.
    """

    data: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    is_last_closed: bool = True
    consumed: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def add(self, data: list[bytes], name: str, end: int) -> None:
        if name:
            self.names[len(self.data)] = name
        self.data.append(b"\n".join(data))
        self.ends.append(end)

    def drop_unclosed(self) -> None:
        """What a cut-off stream left of its last event is no event."""
        if not self.is_last_closed:
            self.data.pop()
            self.names.pop(len(self.data), None)
            self.ends.pop()
            self.is_last_closed = True


def read_events(part: bytes | bytearray, base: int = 0, *, is_final: bool = True) -> Events:
    """Events of a body, or of a part of it that starts at offset base, on an event boundary.

    Not final: an unfinished event is left for the next part. Events without a data field are
    dropped, as the standard says, but for `event: error`, which some servers send bare.
    """
    body = bytes(part)
    begin = 3 if base == 0 and body.startswith(_BOM) else 0
    plain = _read_plain(body, begin, base)
    if plain is not None and (not is_final or plain.consumed == len(body)):
        return plain
    return _read_any(body, begin, base, is_final)


def _read_plain(body: bytes, begin: int, base: int) -> Events | None:
    """What nearly all servers send, `data: ...` LF LF throughout, read by a few searches in C; None
    for anything else."""
    stop = body.rfind(b"\n\n") + 2
    if stop < 2 or not body.startswith(_START, begin) or b"\r" in body:
        return None
    data = body[begin + len(_START) : stop - 2].split(_BETWEEN)
    feeds = np.flatnonzero(np.frombuffer(body, np.uint8, stop - begin, begin) == _LF)
    # no line feed but those between events, or some event has a second line
    if len(feeds) != 2 * len(data):
        return None
    ends = feeds[1::2] + (base + begin + 1)
    return Events(data, ends.tolist(), consumed=stop)


def _read_any(body: bytes, begin: int, base: int, is_final: bool) -> Events:
    events = Events(consumed=begin)
    data: list[bytes] = []
    name, at = "", begin
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
            events.add(data, name, base + match.end(1) + 1)
        data, name, events.consumed = [], "", at
    if is_final:
        if at < len(body):
            name = _take_field(body[at:], data, name)
        if data:
            events.add(data, name, base + len(body))
            events.is_last_closed = False
        events.consumed = len(body)
    return events


def _take_field(line: bytes, data: list[bytes], name: str) -> str:
    """Add a line to the event being read; returns the event's name."""
    key, _, value = line.partition(b":")
    value = value.removeprefix(b" ")
    if key == b"data":
        data.append(value)
    elif key == b"event":
        return value.decode("utf-8", "replace")
    return name

"""Spells one event in the stream: every liberty the event-stream format gives a server."""

from __future__ import annotations

from harness.testing.script import Behaviour

_LINE_ENDS = {"lf": b"\n", "cr": b"\r", "crlf": b"\r\n"}
BOM = b"\xef\xbb\xbf"


class Spelling:
    """How this script writes events. Templates keep their holes."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._sse = behaviour.sse
        self.line_end = _LINE_ENDS[self._sse.line_end]
        self.comment = b": still here" + self.line_end + self.line_end
        self._field = b"data: " if self._sse.space else b"data:"
        is_plain = not (self._sse.comments or self._sse.other_fields or self._sse.multi_line)
        self._is_plain = is_plain

    def event(self, data: bytes) -> bytes:
        """The lines of an event, its blank line included."""
        end = self.line_end
        if self._is_plain:
            return self._field + data + end + end
        lines = [b": a comment"] if self._sse.comments else []
        if self._sse.other_fields:
            lines += [b"event: message", b"id: 7", b"retry: 1000", b"colour: blue", b"noted"]
        # a line break where JSON allows white space: before the last key
        parts = data.split(b',"x_script"') if self._sse.multi_line else [data]
        if len(parts) == 2:
            parts = [parts[0] + b",", b'"x_script"' + parts[1]]
        lines += [self._field + part for part in parts]
        return end.join(lines) + end + end

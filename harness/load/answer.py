"""What a streamed body says: text of each kind by chunk, usage, the finish reason, errors.

Fed with events in order, in as many parts as one likes. Events in a spelling met before are read by
their shape (shapes.py); runs of others are joined and parsed at once, by pydantic's reader, in half
the time of json.loads and a quarter of one call each; where it fails, or yields another number of
values, they are read one by one. Offsets, not times: stamps are added by record.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json

from harness.load.dialects import Dialect
from harness.load.shapes import Shape
from harness.load.sse import Events
from harness.load.usage import MOST_TOK

BATCH_EVENTS = 128  # parsed at a time: some tenths of a millisecond
_BAD = object()


class Answer:
    """Accumulates. Lists have one entry a token-bearing chunk.

    chunk_end: body offset.  chunk_bytes: UTF-8 length of its text.  chunk_usage: the cumulative
    completion tokens told so far, -1 before any.  first_visible: index of the first chunk with
    content or refusal, -1 for none.
    """

    def __init__(self, dialect: Dialect, keep_text: bool) -> None:
        self._dialect, self._keep_text = dialect, keep_text
        self.chunk_end: list[int] = []
        self.chunk_bytes: list[int] = []
        self.chunk_usage: list[int] = []
        self.event_end: list[int] = []
        self.first_visible = self.first_call = -1
        self.num_hidden_bytes = self.num_bad = 0
        self.finish = ""
        self.has_done_mark = False
        self.usage: dict[str, Any] | None = None
        self.timings: dict[str, Any] | None = None
        self.perf_metrics: dict[str, Any] | None = None
        self.error: Any = None
        self.num_usage = 0
        self._told = -1
        self._shape: Shape | None = None
        self._has_learnt = False
        self._usage_event = b""  # the last one whose usage is counted but not yet read
        self.visible: list[str] = []
        self.hidden: list[str] = []
        self.calls: list[str] = []

    @property
    def num_events(self) -> int:
        return len(self.event_end)

    def feed(self, events: Events, breathe: Callable[[], None]) -> None:
        """Read these events; `breathe` is called between batches and may switch greenlets."""
        self.event_end.extend(events.ends)
        for at in range(0, len(events), BATCH_EVENTS):
            if self.has_done_mark:
                break  # what follows the end mark is counted, not read
            data = events.data[at : at + BATCH_EVENTS]
            for k in range(len(data)):
                if data[k].startswith(b"[DONE]"):
                    self.has_done_mark = True
                    del data[k:]
                    break
            self._take_all(data, events.ends[at : at + len(data)])
            for index, name in events.names.items():
                if name == "error" and at <= index < at + len(data) and self.error is None:
                    self._take_named_error(events.data[index])
            breathe()
        self._read_usage_event()

    def _take_all(self, data: Sequence[bytes], ends: Sequence[int]) -> None:
        """The hot loop: nearly every event is plain content and nothing else, in the spelling of
        the one before. What is not is read as JSON, whole runs at once."""
        if self._keep_text:
            self._take_json(data, ends)
            return
        shape, find = self._shape, self._dialect.shapes.find
        add_end, add_size = self.chunk_end.append, self.chunk_bytes.append
        add_told, told = self.chunk_usage.append, self._told
        begin = 0
        for k, event in enumerate(data):
            if shape is None:
                shape = self._shape = find(event)
                if shape is None:
                    continue
            match = shape.match(event)
            if match is None or not _is_utf8(event):
                continue
            if k > begin:
                self._take_json(data[begin:k], ends[begin:k])
                told = self._told
            begin = k + 1
            if shape.has_usage:
                self.num_usage += 1
                self._usage_event = event
                if shape.told:
                    self._told = told = int(match[shape.told])
            if self.first_visible < 0:
                self.first_visible = len(self.chunk_end)
            add_end(ends[k])
            add_size(len(match[shape.text]))
            add_told(told)
        if begin < len(data):
            self._take_json(data[begin:], ends[begin:])

    def _take_json(self, data: Sequence[bytes], ends: Sequence[int]) -> None:
        plain_text, is_plain = self._dialect.plain_text, not self._keep_text
        for event, end, value in zip(data, ends, _decode(data), strict=True):
            if type(value) is not dict:
                self.num_bad += 1
                continue
            usage = value.get("usage")
            if usage:
                self._take_usage(usage)
            text = plain_text(value) if is_plain else None
            if text is None:
                self._take(end, value)
                continue
            if self._shape is None and not self._has_learnt:
                self._has_learnt = True
                self._dialect.shapes.learn(event)
            if self.first_visible < 0:
                self.first_visible = len(self.chunk_end)
            self.chunk_end.append(end)
            self.chunk_bytes.append(_num_bytes(text))
            self.chunk_usage.append(self._told)

    def _take(self, end: int, value: dict[str, Any]) -> None:
        """Any event: roles, reasoning, tools, finish reasons, errors, timings."""
        if value.get("error") and self.error is None:
            self.error = value["error"]
        if type(value.get("timings")) is dict:
            self.timings = value["timings"]
        if type(value.get("perf_metrics")) is dict:
            self.perf_metrics = value["perf_metrics"]
        if type(value.get("x_groq")) is dict:  # Groq tells its counts there
            self._take_usage(value["x_groq"].get("usage"))
        try:
            visible, hidden, call, finish = self._dialect.read(value)
            text = visible + hidden + call
        except (KeyError, TypeError, AttributeError):
            self.num_bad += 1
            return
        if finish:
            self.finish = str(finish)
        if not text:
            return
        if visible and self.first_visible < 0:
            self.first_visible = len(self.chunk_end)
        if call and self.first_call < 0:
            self.first_call = len(self.chunk_end)
        self.num_hidden_bytes += _num_bytes(hidden)
        self.chunk_end.append(end)
        self.chunk_bytes.append(_num_bytes(text))
        self.chunk_usage.append(self._told)
        if self._keep_text:
            self.visible.append(visible)
            self.hidden.append(hidden)
            self.calls.append(call)

    def _take_usage(self, usage: Any) -> None:
        if type(usage) is not dict:
            return
        self._usage_event = b""
        self.usage, self.num_usage = usage, self.num_usage + 1
        told = usage.get("completion_tokens")
        if type(told) is int and 0 <= told <= MOST_TOK:
            self._told = told

    def _read_usage_event(self) -> None:
        if self._usage_event:
            self.usage = _decode_one(self._usage_event)["usage"]
            self._usage_event = b""

    def _take_named_error(self, data: bytes) -> None:
        """An `event: error`, whatever its data; words that are no JSON are its message."""
        value = _decode_one(data)
        if value is _BAD:
            self.num_bad -= 1
            value = data.decode("utf-8", "replace")
        self.error = value or "an error event without data"


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _is_utf8(event: bytes) -> bool:
    if event.isascii():
        return True
    try:
        event.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(data: Sequence[bytes]) -> list[Any]:
    """The JSON value of each text, _BAD for what is none."""
    try:
        values = from_json(b"[" + b",".join(data) + b"]")
        if len(values) == len(data):
            return values  # type: ignore[no-any-return]
    except ValueError:
        pass
    return [_decode_one(text) for text in data]


def _decode_one(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BAD

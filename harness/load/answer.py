"""What a streamed body says: text of each kind by chunk, usage, the finish reason, errors.

Fed with events in order, in as many parts as one likes. Runs of events in a spelling met before are
read by their shape (shapes.py); runs of others are joined and parsed at once, by pydantic's reader,
in half the time of json.loads and a quarter of one call each; where it fails, or yields another
number of values, they are read one by one. Offsets, not times: stamps are added by record.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json

from harness.load.dialects import Dialect, Whole
from harness.load.shapes import Shape
from harness.load.sse import Events
from harness.load.usage import MOST_TOK

BATCH_EVENTS = 128  # parsed at a time: some tenths of a millisecond
_BAD = object()


class Answer:
    """Accumulates. Lists have one entry a token-bearing chunk.

    chunk_end: body offset.  chunk_bytes: UTF-8 length of its text.  chunk_usage: the cumulative
    completion tokens told so far, -1 before any.  first_visible: index of the first chunk with
    content or refusal, -1 for none.  whole: what came without a stream.  num_inputs: texts that
    were asked about, of embeddings.
    """

    def __init__(self, dialect: Dialect, keep_text: bool) -> None:
        self._dialect, self._keep_text = dialect, keep_text
        self.is_stream, self.is_json, self.whole = dialect.is_stream, dialect.is_json, Whole()
        self.num_inputs = 0
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
        self._has_learnt = False
        self._usage_event = b""  # the last one whose usage is counted but not yet read
        self.visible: list[str] = []
        self.hidden: list[str] = []
        self.calls: list[str] = []
        self.call_events: list[tuple[int, dict[str, Any]]] = []  # (chunk, event), with the text

    @property
    def num_events(self) -> int:
        return len(self.event_end)

    def feed(self, events: Events, breathe: Callable[[], None]) -> None:
        """Read these events; `breathe` is called between batches and may switch greenlets."""
        self.event_end.extend(events.ends)
        for at in range(0, len(events), BATCH_EVENTS):
            if self.has_done_mark:
                break  # what follows the end mark is counted, not read
            batch = slice(at, at + BATCH_EVENTS)
            num_read = self._take_all(events.data[batch], events.ends[batch])
            for index, name in events.names.items():
                if name == "error" and at <= index < at + num_read and self.error is None:
                    self._take_named_error(events.data[index])
            breathe()
        self._read_usage_event()

    def feed_whole(self, body: bytes) -> None:
        """Read an answer that is no stream."""
        self.whole = self._dialect.read_whole(body)
        self.usage, self.error = self.whole.usage, self.whole.error

    def _take_all(self, data: Sequence[bytes], ends: Sequence[int]) -> int:
        """How many were read: all, but for those from an end mark on.

        Nearly every event is plain content and nothing else, in one spelling: what lies between the
        first and the last of those is read in one search if it can be, and else as JSON, like what
        is around it.
        """
        shape = None if self._keep_text else self._dialect.shapes.find(data[len(data) // 2])
        if shape is None:
            return self._take_json(data, ends)
        begin, end = 0, len(data)
        while not shape.matches(data[begin]):
            begin += 1
        while not shape.matches(data[end - 1]):
            end -= 1
        num_read = self._take_json(data[:begin], ends[:begin])
        if num_read == begin:
            num_read += self._take_run(shape, data[begin:end], ends[begin:end])
        if num_read == end:
            num_read += self._take_json(data[end:], ends[end:])
        return num_read

    def _take_run(self, shape: Shape, data: Sequence[bytes], ends: Sequence[int]) -> int:
        texts = shape.read(data)
        if texts is None:
            return self._take_json(data, ends)
        if self.first_visible < 0:
            self.first_visible = len(self.chunk_end)
        if shape.has_usage:
            self.num_usage += len(data)
            self._usage_event = data[-1]
        self.chunk_end.extend(ends)
        self.chunk_bytes.extend(texts.sizes)
        self.chunk_usage.extend(texts.told or [self._told] * len(data))
        self._told = self.chunk_usage[-1]
        return len(data)

    def _take_json(self, data: Sequence[bytes], ends: Sequence[int]) -> int:
        """How many were read, up to an end mark."""
        for k, event in enumerate(data):
            if event.startswith(b"[DONE]"):
                self.has_done_mark = True
                data, ends = data[:k], ends[:k]
                break
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
            if not self._has_learnt:
                self._has_learnt = True
                if self._dialect.shapes.find(event) is None:
                    self._dialect.shapes.learn(event)
            if self.first_visible < 0:
                self.first_visible = len(self.chunk_end)
            self.chunk_end.append(end)
            self.chunk_bytes.append(_num_bytes(text))
            self.chunk_usage.append(self._told)
        return len(data)

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
        if call:
            if self.first_call < 0:
                self.first_call = len(self.chunk_end)
            if self._keep_text:
                self.call_events.append((len(self.chunk_end), value))
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

"""Tool calls as Hermes models write them, read while they stream.

`<tool_call>{"name": ..., "arguments": {...}}</tool_call>` becomes a call whose name goes out once
and whose argument text goes out as it is generated. Whatever does not have this form stays text:
the model is free to write anything, and nothing it wrote is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from ..detokenizer import StopChecker, StopMatch, prefix_at_end

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_HEADER = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of call `index`. name is given once, in the call's first piece."""

    index: int
    name: str | None
    arguments: str


class Parts(NamedTuple):
    """What some text turned out to hold."""

    content: str
    calls: list[CallDelta]


class _State(Enum):
    TEXT = "outside a call"
    HEADER = "from <tool_call> to the arguments"
    ARGUMENTS = "inside the JSON value"
    TAIL = "from the value's end to </tool_call>"


class ToolCallParser:
    """One sequence's parser. push may hold text back; flush gives out what is left."""

    def __init__(self) -> None:
        self.num_calls = 0
        self._state = _State.TEXT
        self._buffer = ""
        self._skips_space = False  # white space after a call belongs to neither
        self._value = _JsonValue()

    def push(self, text: str) -> Parts:
        self._buffer += text
        parts = Parts("", [])
        progress = True
        while progress:
            content, progress = self._advance(parts.calls)
            parts = Parts(parts.content + content, parts.calls)
        return parts

    def flush(self) -> Parts:
        """At the end of the answer. An unfinished header is text after all."""
        held = {_State.TEXT: self._buffer, _State.HEADER: OPEN + self._buffer}.get(self._state, "")
        self._buffer = ""
        return Parts(held, [])

    def _advance(self, calls: list[CallDelta]) -> tuple[str, bool]:
        """Consume what the present state can. Returns text, and whether the state changed."""
        if self._state is _State.TEXT:
            return self._text()
        if self._state is _State.HEADER:
            return self._header(calls)
        if self._state is _State.ARGUMENTS:
            if not self._value.has_begun:  # the space before it may come later than its colon
                self._buffer = self._buffer.lstrip()
            length = self._value.scan(self._buffer)
            if length:
                calls.append(CallDelta(self.num_calls - 1, None, self._buffer[:length]))
            self._buffer = self._buffer[length:]
            if self._value.is_over:
                self._state = _State.TAIL
            return "", self._value.is_over
        _, found, rest = self._buffer.partition(CLOSE)
        if found:
            self._buffer, self._state, self._skips_space = rest, _State.TEXT, True
        return "", bool(found)

    def _text(self) -> tuple[str, bool]:
        if self._skips_space:
            self._buffer = self._buffer.lstrip()
        content, opened, rest = self._buffer.partition(OPEN)
        if opened:
            self._buffer, self._state = rest, _State.HEADER
            return content, True
        keep = prefix_at_end(content, OPEN)
        content, self._buffer = content[: len(content) - keep], content[len(content) - keep :]
        self._skips_space = self._skips_space and not content
        return content, False

    def _header(self, calls: list[CallDelta]) -> tuple[str, bool]:
        match = _HEADER.match(self._buffer)
        if match is not None:
            calls.append(CallDelta(self.num_calls, _string(match[1]), ""))
            self.num_calls += 1
            self._buffer = self._buffer[match.end() :]
            self._value = _JsonValue()
            self._state = _State.ARGUMENTS
            return "", True
        before, closed, rest = self._buffer.partition(CLOSE)
        if not closed:
            return "", False
        self._buffer, self._state = rest, _State.TEXT
        return OPEN + before + CLOSE, True


class _JsonValue:
    """Finds the end of one JSON value in pieces of text, without judging what is inside."""

    def __init__(self) -> None:
        self.has_begun = self.is_over = False
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    def scan(self, text: str) -> int:
        """How many characters of text belong to the value."""
        self.has_begun = self.has_begun or bool(text)
        for n, char in enumerate(text):
            if self._in_string:
                if self._is_escaped:
                    self._is_escaped = False
                elif char == "\\":
                    self._is_escaped = True
                elif char == '"':
                    self._in_string = False
                    self.is_over = self._depth == 0
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                if self._depth == 0:  # a bare number or word ended just before
                    self.is_over = True
                    return n
                self._depth -= 1
                self.is_over = self._depth == 0
            if self.is_over:
                return n + 1
        return len(text)


class StopsOutsideCalls:
    """A StopChecker for answers with calls in them: what stands inside a call ends nothing."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._checker = StopChecker(stops)
        self._held = ""
        self._is_inside = False

    def push(self, text: str) -> StopMatch:
        """See StopChecker. What may still become a bracket is held back."""
        self._held += text
        shown = ""
        while True:
            bracket = CLOSE if self._is_inside else OPEN
            before, found, self._held = self._held.partition(bracket)
            if not found and (keep := prefix_at_end(before, bracket)):
                before, self._held = before[:-keep], before[-keep:]
            match = StopMatch(before) if self._is_inside else self._checker.push(before)
            shown += match.text
            if match.stop is not None or not found:
                return StopMatch(shown, match.stop)
            shown += bracket if self._is_inside else self._checker.flush() + bracket
            self._is_inside = not self._is_inside

    def flush(self) -> str:
        held, self._held = self._held, ""
        if self._is_inside:
            return held
        match = self._checker.push(held)
        return match.text + self._checker.flush()


def _string(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:  # an escape JSON does not know: the name as it was written
        return quoted[1:-1]


def is_tool(value: Any) -> bool:
    """Whether a request's tool has the one form there is: a function with a name."""
    function = value.get("function") if isinstance(value, dict) else None
    return (
        isinstance(function, dict)
        and value.get("type") == "function"
        and isinstance(function.get("name"), str)
        and function["name"] != ""
    )

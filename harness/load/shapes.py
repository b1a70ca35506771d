"""Token events that repeat an earlier one but for their text, strings and numbers, without JSON.

Nearly every event of a stream has one spelling: the same keys in the same order, other values. The
spelling of one event that was read as plain text becomes a regular expression which tells the text,
and the count where there is one, in a third of the time of building the event's objects. What it
does not match in full (an escape, another key, a finish reason) is read as JSON, as ever: a shape
can only save time. Shapes are shared by all streams of the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

Path = tuple[str | int, ...]
MOST_SHAPES = 4  # at a time, the last learnt first: endpoints, and their first and later chunks
MOST_LEARNT = 64  # in all: an endpoint that spells each event differently is not worth the effort
_FINISH: Final = ("choices", 0, "finish_reason")
_TOLD: Final = ("usage", "completion_tokens")
_TOKEN = re.compile(
    rb'("(?:[^"\\\x00-\x1f]|\\.)*")|(-?[0-9][0-9.eE+-]*)|(true|false|null|[ \t\r\n]+)|([{}\[\],:])'
)
# Possessive, and whole numbers only: twice as fast as JSON's number in full, which few events hold.
_STRING = rb'"[^"\\\x00-\x1f]*+"'
_TEXT = rb'"([^"\\\x00-\x1f]++)"'
_NUMBER = rb"(?:[1-9][0-9]{0,15}+|0)"  # of 64 bits; longer ones are JSON's to judge
_IS_NUMBER = re.compile(_NUMBER)


class Shape(NamedTuple):
    """match: of a whole event; group `text` is its text, group `told` its cumulative count.

    has_usage: every event that matches has a usage object.  told: 0 where it has no count.
    """

    match: Callable[[bytes], re.Match[bytes] | None]
    text: int
    told: int
    has_usage: bool


class Shapes:
    """What is known of one dialect, whose text stands at `text_path`."""

    def __init__(self, text_path: Path) -> None:
        self._text_path = text_path
        self._known: dict[bytes, Shape] = {}
        self._num_learnt = 0

    def find(self, event: bytes) -> Shape | None:
        """The shape that this event has; None where it is not known."""
        for shape in reversed(self._known.values()):
            if shape.match(event):
                return shape
        return None

    def learn(self, event: bytes) -> None:
        """The shape of an event that was read as JSON and is plain text and nothing else."""
        if self._num_learnt >= MOST_LEARNT:
            return
        self._num_learnt += 1
        spelled = _spell(event, self._text_path)
        if spelled is None:
            return
        pattern, text, told, has_usage = spelled
        if pattern in self._known:
            return
        if len(self._known) == MOST_SHAPES:
            del self._known[next(iter(self._known))]
        self._known[pattern] = Shape(re.compile(pattern).fullmatch, text, told, has_usage)


def _spell(event: bytes, text_path: Path) -> tuple[bytes, int, int, bool] | None:
    """The expression, its groups of text and count (0: none), whether usage is an object with
    something in it. None where the text is not found, or a finish reason or a fraction is."""
    out: list[bytes] = []
    path: list[str | int] = []
    at, is_key, num_groups, text, told, has_usage = 0, False, 0, 0, 0, False
    while at < len(event):
        token = _TOKEN.match(event, at)
        if token is None:
            return None
        string, number, literal, mark = token.groups()
        at, here = token.end(), tuple(path)
        has_usage = has_usage or (
            here[:1] == ("usage",) and type(here[-1]) is str and len(here) > 1 and not is_key
        )
        if string and is_key:
            path[-1] = json.loads(string)
            out.append(re.escape(string))
        elif string and here == text_path:
            num_groups += 1
            text = num_groups
            out.append(_TEXT)
        elif string:
            if here == _FINISH:
                return None
            out.append(_STRING)
        elif number:
            if not _IS_NUMBER.fullmatch(number):
                return None
            is_told = here == _TOLD
            num_groups += is_told
            told = num_groups if is_told else told
            out.append(b"(%s)" % _NUMBER if is_told else _NUMBER)
        elif literal:
            out.append(literal)
        else:
            out.append(re.escape(mark))
            if mark in b"{[":
                path.append("" if mark == b"{" else 0)
            elif mark in b"}]":
                path.pop()
            elif mark == b"," and type(path[-1]) is int:
                path[-1] += 1
            is_key = mark in b"{," and bool(path) and type(path[-1]) is str
    return (b"".join(out), text, told, has_usage) if text else None

"""Token events that repeat an earlier one but for their text, strings and numbers, without JSON.

Nearly every event of a stream has one spelling: the same keys in the same order, other values. The
spelling of one event that was read as plain text becomes a regular expression which tells the text,
and the count where there is one, of a whole run of events in one search: a fifth of the time of
building their objects. What it does not match in full (another key, a finish reason) is read as
JSON, as ever: a shape can only save time. Shapes are shared by all streams of the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from harness.load.usage import MOST_TOK

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
_TEXT = rb'"((?:[^"\\\x00-\x1f]++|\\.)++)"'
_NUMBER = rb"(?:[1-9][0-9]{0,15}+|0)"  # of 64 bits; longer ones are JSON's to judge
_IS_NUMBER = re.compile(_NUMBER)


class Texts(NamedTuple):
    """Of a run of events: UTF-8 length of each text; each count, none where none is told."""

    sizes: list[int]
    told: list[int]


class Shape(NamedTuple):
    """matches: whether this is a whole such event.  each: the groups of every line that is one;
    group `text` is its text, group `told` its cumulative count, 0 where it has none.

    has_usage: every event that matches has a usage object.
    """

    matches: Callable[[bytes], Any]
    each: Callable[[bytes], list[Any]]
    text: int
    told: int
    has_usage: bool

    def read(self, events: Sequence[bytes]) -> Texts | None:
        """None where not every one of them is such an event."""
        lines = b"\n".join(events) + b"\n"
        found = self.each(lines)
        # no line feed but those between events, or a match may be a part of one
        if len(found) != len(events) or lines.count(b"\n") != len(events):
            return None
        if not lines.isascii() and not _is_utf8(lines):
            return None
        if not self.told:
            texts, told = found, []
        else:
            texts = [groups[self.text - 1] for groups in found]
            told = [int(groups[self.told - 1]) for groups in found]
            if max(told) > MOST_TOK:
                return None
        if b"\\" not in lines:
            return Texts(list(map(len, texts)), told)
        try:
            return Texts(list(map(_num_bytes, texts)), told)
        except ValueError:  # an escape that is none
            return None


class Shapes:
    """What is known of one dialect, whose text stands at `text_path`."""

    def __init__(self, text_path: Path) -> None:
        self._text_path = text_path
        self._known: dict[bytes, Shape] = {}
        self._num_learnt = 0

    def find(self, event: bytes) -> Shape | None:
        """The shape that this event has; None where it is not known."""
        for shape in reversed(self._known.values()):
            if shape.matches(event):
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
        each = re.compile(b"^" + pattern + b"\n", re.MULTILINE).findall
        self._known[pattern] = Shape(re.compile(pattern).fullmatch, each, text, told, has_usage)


def _num_bytes(text: bytes) -> int:
    """UTF-8 length of a JSON string, given without its quotes. Raises ValueError."""
    if b"\\" not in text:
        return len(text)
    return len(json.loads(b'"%s"' % text).encode("utf-8", "replace"))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


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

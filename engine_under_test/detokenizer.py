"""Tokens to text while they arrive, and the search for stop strings in that text.

A detokenizer gives out only text that no later token can change: an incomplete UTF-8 tail is
withheld. A StopChecker withholds only what may still become a stop string. Neither waits for whole
words. Concatenating everything given out equals decoding all tokens at once.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

REPLACEMENT = "\ufffd"


class IncrementalDetokenizer(Protocol):
    """One sequence's decoder. push and flush return text that will not change any more."""

    def push(self, token_id: int) -> str: ...

    def flush(self) -> str: ...


class ByteDetokenizer:
    """For byte-level vocabularies: every token is bytes, so the cost a token is constant.

    whole_text: of a token, where its bytes are whole characters: nearly all are, and where no
    character is open such a token reads alone as it reads here.
    """

    def __init__(
        self, token_bytes: Callable[[int], bytes], whole_text: Callable[[int], str | None]
    ) -> None:
        self._token_bytes = token_bytes
        self._whole_text = whole_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_open = False  # a character has begun and not ended

    def push(self, token_id: int) -> str:
        if not self._is_open and (text := self._whole_text(token_id)) is not None:
            return text
        text = self._decoder.decode(self._token_bytes(token_id))
        self._is_open = bool(self._decoder.getstate()[0])
        return text

    def flush(self) -> str:
        self._is_open = False
        return self._decoder.decode(b"", True)


class WindowDetokenizer:
    """For every other vocabulary: decode a short window twice and give out the difference.

    The window opens at the last token whose text was complete, so that decoders that treat the
    first token apart (a leading space, say) see the same left context both times.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._prefix = 0
        self._read = 0

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        text = self._tail()
        if not text or text.endswith(REPLACEMENT):
            return ""
        self._prefix, self._read = self._read, len(self._ids)
        return text

    def flush(self) -> str:
        text = self._tail()
        self._prefix = self._read = len(self._ids)
        return text

    def _tail(self) -> str:
        before = self._decode(self._ids[self._prefix : self._read])
        return self._decode(self._ids[self._prefix :])[len(before) :]


class StopMatch(NamedTuple):
    """Text that may be given out now, and the stop string that ended it (None: go on)."""

    text: str
    stop: str | None = None


class StopChecker:
    """Finds the stop string that completes first; the answer does not depend on chunking."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> StopMatch:
        if not self._stops:
            return StopMatch(text)
        buffer = self._held + text
        hits = [
            (at + len(stop), at, stop) for stop in self._stops if (at := buffer.find(stop)) >= 0
        ]
        if hits:
            # The earliest end wins, then the earliest start: what a reader of single characters
            # would have seen first, however the text was cut into tokens.
            _, at, stop = min(hits)
            self._held = ""
            return StopMatch(buffer[:at], stop)
        keep = max(prefix_at_end(buffer, stop) for stop in self._stops)
        self._held = buffer[len(buffer) - keep :]
        return StopMatch(buffer[: len(buffer) - keep])

    def flush(self) -> str:
        text, self._held = self._held, ""
        return text


def prefix_at_end(text: str, word: str) -> int:
    """Length of the longest proper prefix of word that text ends with."""
    for length in range(min(len(word) - 1, len(text)), 0, -1):
        if text.endswith(word[:length]):
            return length
    return 0

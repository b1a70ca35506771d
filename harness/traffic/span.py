"""Bytes that many requests share, and which of them one request sends: sound, so far.

A recording of a minute is 2 MB, and a closed load cycles through a thousand of them: made whole,
they would fill a disk with copies of one and the same half minute.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """num_bytes of source from byte start on, round and round. 0 <= start < len(source)."""

    source: bytes
    start: int
    num_bytes: int

    def read(self) -> bytes:
        """The bytes themselves; source itself where that is all of it."""
        if self.start == 0 and self.num_bytes == len(self.source):
            return self.source
        found = self.source[self.start : self.start + self.num_bytes]
        missing = self.num_bytes - len(found)
        if missing <= 0:
            return found
        rounds, rest = divmod(missing, len(self.source))
        return b"".join((found, *(self.source,) * rounds, self.source[:rest]))

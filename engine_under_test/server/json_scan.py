"""What a JSON body holds, found without parsing it: block by block in numpy, outside the lock.

Nothing here knows whether the body is JSON; of one that is not, the counts mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# 48 prompts of 8,192 token ids; thousands of messages with tools. Some ten milliseconds each.
MAX_VALUES = 400_000
MAX_MEMBERS = 50_000
MAX_CONTAINERS = 25_000
_BLOCK_BYTES = 2**15  # what is made of one stays in the second-level cache

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Body = bytes | bytearray


class Size(NamedTuple):
    """What stands outside strings: commas, colons, and opening brackets and braces."""

    num_commas: int
    num_members: int
    num_containers: int

    @property
    def is_bearable(self) -> bool:
        limits = (MAX_VALUES, MAX_MEMBERS, MAX_CONTAINERS)
        return all(num <= most for num, most in zip(self, limits, strict=True))


def size_of(body: Body) -> Size:
    """Counts of the whole body."""
    totals, is_inside = [0, 0, 0], False
    for _, block, quotes in _blocks(body):
        inside = np.logical_xor.accumulate(quotes)
        if is_inside:
            np.logical_not(inside, out=inside)
        is_inside = bool(inside[-1])
        for n, signs in enumerate((b",", b":", b"[{")):
            found = block == signs[0]
            for sign in signs[1:]:
                found |= block == sign
            totals[n] += int(np.count_nonzero(found & ~inside))
    return Size(*totals)


def num_escapes(body: Body) -> int:
    """Backslashes, which is at least as many."""
    whole: Bytes = np.frombuffer(body, np.uint8)
    return int(np.count_nonzero(whole == ord("\\")))


def long_strings(body: Body, least_bytes: int) -> list[tuple[int, int]]:
    """Where the contents of strings of at least so many bytes begin and end."""
    places = [start + np.flatnonzero(quotes) for start, _, quotes in _blocks(body)]
    every = np.concatenate(places) if places else np.zeros(0, np.int64)
    begins, ends = every[: len(every) // 2 * 2 : 2] + 1, every[1::2]
    is_long = ends - begins >= least_bytes
    return list(zip(begins[is_long].tolist(), ends[is_long].tolist(), strict=True))


def _blocks(body: Body) -> Iterator[tuple[int, Bytes, Bools]]:
    """Of each block: where it begins, its bytes, and which of them are quotes."""
    whole: Bytes = np.frombuffer(body, np.uint8)
    num_slashes = 0
    for start in range(0, len(whole), _BLOCK_BYTES):
        block = whole[start : start + _BLOCK_BYTES]
        quotes, num_slashes = _quotes(block, num_slashes)
        yield start, block, quotes


def _quotes(block: Bytes, num_slashes: int) -> tuple[Bools, int]:
    """Which bytes are quotes that no backslash escapes, and how many backslashes end the block.

    num_slashes: that ended the block before.
    """
    quotes, slashes = block == ord('"'), block == ord("\\")
    if not num_slashes and not slashes.any():
        return quotes, 0
    # The last byte before each that is no backslash: an odd number of them in between escapes.
    places = np.arange(len(block), dtype=np.int64)
    last = np.where(slashes, -1 - num_slashes, places)
    np.maximum.accumulate(last, out=last)
    run = np.subtract(places, last, out=places)  # backslashes up to and with each byte
    is_escaped = (run & 1).astype(bool)
    quotes[1:] &= ~is_escaped[:-1]
    quotes[0] &= num_slashes % 2 == 0
    return quotes, int(run[-1])

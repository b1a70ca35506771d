"""The receives of exchanges that are over, on the axis: when each chunk, and each answer, came.

Of many exchanges at once: numpy's cost is by call, and a call for each exchange is most of what a
short answer would cost. Which receive holds an event's blank line is found by offset. Chunks of one
receive share its stamp; where the time in which the earlier ones may have come exceeds 1 ms they
are marked uncertain.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from harness.load.answer import Answer
from harness.load.clock import Axis
from harness.load.exchange import Exchange
from harness.load.wire import NUM_STAMPS

UNCERTAIN_NS = 1_000_000
_STRIDE = 1 << 44  # between the offsets of two exchanges, or their lags: more than any of either
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stamps:
    """Of one exchange; ns on the axis. source: `kernel` where every receive has the kernel's stamp.

    lag_ns: [num] from a receive's stamp to our read of it.  chunk_*: [n token chunks];
    chunk_user_ns: when user space had read up to there.  num_coalesced: chunks that shared a
    receive with the one before.
    """

    num: int
    source: str
    num_body_bytes: int
    headers_ns: int | None
    first_byte_ns: int | None
    end_ns: int
    lag_ns: Int64Array
    lag_max_ns: int | None
    lag_p50_ns: int | None
    chunk_ns: Int64Array
    chunk_user_ns: Int64Array
    chunk_uncertain: BoolArray
    num_uncertain: int
    num_coalesced: int


def read_stamps(
    exchanges: Sequence[Exchange],
    answers: Sequence[Answer],
    axis: Axis,
    breathe: Callable[[], None] = lambda: None,
) -> list[Stamps]:
    """Stamps of each. `breathe` is called between calls of numpy, and may switch greenlets."""
    axis.refresh()  # a step since the last sample must be known before stamps are mapped
    receives = _Receives(exchanges, axis)
    breathe()
    events = receives.holding([answer.event_end for answer in answers])[0]
    breathe()
    at, owner, ends = receives.holding([answer.chunk_end for answer in answers])
    breathe()
    uncertain = receives.doubts(at, ends, events)
    is_same = (at[1:] == at[:-1]) & (owner[1:] == owner[:-1])
    num = len(exchanges)
    num_uncertain = np.bincount(owner[uncertain], minlength=num).tolist()
    num_coalesced = np.bincount(owner[1:][is_same], minlength=num).tolist()
    chunk_ns, chunk_user_ns = receives.ns[at], receives.user_ns[at]
    breathe()
    bounds = list(accumulate((len(answer.chunk_end) for answer in answers), initial=0))
    firsts, lag = receives.first_byte_ns(), receives.lag_ns
    medians, maxima, sources = receives.lag_medians_ns(), receives.lag_maxima_ns(), receives.sources
    found = []
    for k, exchange in enumerate(exchanges):
        begin, end = receives.bounds[k], receives.bounds[k + 1]
        mine = slice(bounds[k], bounds[k + 1])
        head = begin + exchange.head_row
        has_head = exchange.head_row >= 0 and head < end
        is_whole = exchange.fault is None and exchange.reader.is_done and end > begin
        # the end of a connection has no stamp of the kernel's
        ends_by_itself = is_whole and not exchange.reader.ends_with_connection
        found.append(
            Stamps(
                end - begin, sources[k], receives.num_body_bytes[k],
                int(receives.ns[head]) if has_head else None, firsts[k],
                int(receives.ns[end - 1]) if ends_by_itself else exchange.end_ns,
                lag[begin:end], maxima[k], medians[k],
                chunk_ns[mine], chunk_user_ns[mine], uncertain[mine],
                num_uncertain[k], num_coalesced[k],
            )
        )  # fmt: skip
    return found


class _Receives:
    """The receives of all exchanges in a row: [n] arrays, and bounds[k]:bounds[k + 1] of one."""

    def __init__(self, exchanges: Sequence[Exchange], axis: Axis) -> None:
        joined = array("q")
        for exchange in exchanges:
            joined.extend(exchange.receives)
        table = np.array(joined, dtype=np.int64).reshape(-1, NUM_STAMPS)
        kernel, self.user_ns, poll, self._offset = np.ascontiguousarray(table.T)
        sizes = np.array([len(x.receives) // NUM_STAMPS for x in exchanges])
        edges = np.concatenate(([0], np.cumsum(sizes)))
        self.bounds: list[int] = edges.tolist()
        self._has_any = sizes > 0
        self._starts, self._lasts = edges[:-1][self._has_any], edges[1:] - 1
        self._owner = np.repeat(np.arange(len(sizes)), sizes)
        self._key = self._offset + self._owner * _STRIDE
        mapped, self._is_kernel = axis.map(kernel, self.user_ns)
        self.ns = self._ascending(mapped)
        self.lag_ns = self.user_ns - self.ns
        # earlier bytes of a receive came after the poll before and after the read before
        before = np.empty_like(poll)
        before[1:] = self.user_ns[:-1]
        before[self._starts] = poll[self._starts]
        self._is_wide = self.ns - np.maximum(poll, before) > UNCERTAIN_NS
        bodies = np.zeros(len(sizes), dtype=np.int64)
        bodies[self._has_any] = self._offset[self._lasts[self._has_any]]
        self.num_body_bytes: list[int] = bodies.tolist()
        is_all = np.zeros(len(sizes), dtype=bool)
        if len(self._starts):
            is_all[self._has_any] = np.logical_and.reduceat(self._is_kernel, self._starts)
        self.sources = ["kernel" if is_true else "user" for is_true in is_all.tolist()]

    def _ascending(self, mapped: Int64Array) -> Int64Array:
        """A receive cannot come before the one before it: some had a stamp, some had none."""
        falls = (mapped[1:] < mapped[:-1]) & (self._owner[1:] == self._owner[:-1])
        for k in set(self._owner[1:][falls].tolist()):
            mine = slice(self.bounds[k], self.bounds[k + 1])
            mapped[mine] = np.maximum.accumulate(mapped[mine])
        return mapped

    def holding(self, ends: Sequence[list[int]]) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Of body offsets of each exchange, in a row: the receive that reached each, its exchange,
        and the offsets."""
        sizes = [len(one) for one in ends]
        owner = np.repeat(np.arange(len(ends)), sizes)
        flat = np.fromiter(chain.from_iterable(ends), dtype=np.int64, count=sum(sizes))
        at = np.searchsorted(self._key, flat + owner * _STRIDE)
        return np.minimum(at, self._lasts[owner]), owner, flat

    def doubts(self, at: Int64Array, ends: Int64Array, events: Int64Array) -> BoolArray:
        """Which chunks are uncertain. A kernel stamp is that of the last segment of a receive:
        exact for the event that ends with it, late by an unknown time for those before."""
        per_receive = np.bincount(events, minlength=len(self.ns))
        is_shared = (per_receive > 1) | ~self._is_kernel
        is_last = (self._offset[at] == ends) & self._is_kernel[at]
        uncertain: BoolArray = (self._is_wide & is_shared)[at] & ~is_last
        return uncertain

    def first_byte_ns(self) -> list[int | None]:
        """When the first byte of each body came; None without one."""
        num = len(self.num_body_bytes)
        at = np.searchsorted(self._key, np.arange(num) * _STRIDE + 1)
        return [
            int(self.ns[i]) if size else None
            for i, size in zip(at.tolist(), self.num_body_bytes, strict=True)
        ]

    def lag_maxima_ns(self) -> list[int | None]:
        found: list[int | None] = [None] * len(self.num_body_bytes)
        if len(self._starts):
            maxima = np.maximum.reduceat(self.lag_ns, self._starts).tolist()
            for k, value in zip(self._has_any.nonzero()[0].tolist(), maxima, strict=True):
                found[k] = value
        return found

    def lag_medians_ns(self) -> list[int | None]:
        """Of an even number the mean of both middles, rounded down."""
        ordered = np.sort(self.lag_ns + self._owner * _STRIDE)
        found: list[int | None] = []
        for k, (begin, end) in enumerate(zip(self.bounds, self.bounds[1:], strict=False)):
            if begin == end:
                found.append(None)
                continue
            middle = (begin + end) // 2
            upper = int(ordered[middle])
            lower = upper if (end - begin) % 2 else int(ordered[middle - 1])
            found.append((lower + upper) // 2 - k * _STRIDE)
        return found

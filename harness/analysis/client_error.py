"""The load generator's own error: its stamps held against those of a sender that knows the truth.

The scripted endpoint notes the time right before each send; what the client recorded for the same
chunk, less that, is the client's error (plus the few microseconds of the send itself). Kernel
stamps and the process's own are judged side by side. Pure: tables and stamps in, quantiles out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles (type 7) of n errors, seconds. No interval: every error of the check is in it.

    p99_s, p999_s: None below 100 and 1,000 errors, where they would be the largest by another name.
    """

    n: int
    p50_s: float
    p99_s: float | None
    p999_s: float | None
    max_s: float


@dataclass(frozen=True, slots=True)
class StampError:
    """Measured minus true by one kind of stamp; None where nothing was matched.

    chunk: stamp of each token chunk - its send.  ttft: of first tokens only; sent and stamped on
    one axis, so it is the error of ttft_service.  gap: |measured gap - true gap| of neighbours.
    certain: as chunk, of those the client did not mark uncertain.
    """

    chunk: Spread | None
    ttft: Spread | None
    gap: Spread | None
    certain: Spread | None = None


def spread(errors_ns: npt.NDArray[np.integer] | Sequence[int]) -> Spread | None:
    """errors_ns: [n] nanoseconds. None for n = 0."""
    values = np.asarray(errors_ns, dtype=np.float64)
    if not len(values):
        return None
    n = len(values)
    p99, p999 = (
        float(np.quantile(values, p)) / NS_PER_S if n >= least else None
        for p, least in ((0.99, 100), (0.999, 1000))
    )
    p50, most = float(np.median(values)) / NS_PER_S, float(values.max()) / NS_PER_S
    return Spread(n, p50, p99, p999, most)


def stamp_error(
    measured: Sequence[Int64Array],
    true: Sequence[Int64Array],
    is_certain: Sequence[BoolArray],
) -> StampError:
    """measured, true, is_certain: [request][chunk], ns on one axis, first token first; a request
    has at least one chunk, and as many in each."""
    errors = [m - t for m, t in zip(measured, true, strict=True)]
    return StampError(
        chunk=spread(_joined(errors)),
        ttft=spread(np.array([e[0] for e in errors], dtype=np.int64)),
        gap=spread(np.abs(_joined([np.diff(e) for e in errors]))),
        certain=spread(_joined([e[c] for e, c in zip(errors, is_certain, strict=True)])),
    )


@dataclass(frozen=True, slots=True)
class Matched:
    """Chunks of the measured window by request, beside the sender's stamps of the same chunks.

    kernel, user, true: [request][chunk] ns.  is_certain: alike; not marked by the client.
    num_unknown: requests with chunks that the sender does not know, or knows fewer chunks of; 0
    unless something is broken.
    """

    kernel: tuple[Int64Array, ...]
    user: tuple[Int64Array, ...]
    true: tuple[Int64Array, ...]
    is_certain: tuple[BoolArray, ...]
    num_unknown: int

    @property
    def num_chunks(self) -> int:
        return sum(map(len, self.true))


def match_chunks(
    requests: pa.Table,
    sent_ns: Mapping[str, Sequence[int]],
    t0_ns: int,
    t1_ns: int,
    num_before: int = 1,
) -> Matched:
    """Requests intended in [t0, t1) with every chunk they bore.

    requests: REQUEST_SCHEMA with chunk_user_ns.  sent_ns: request_id -> the sender's stamps, of
    which the first num_before belong to events without a token (the role).
    """
    rows = zip(
        *(requests[name].to_pylist() for name in ("request_id", "intended_ns")),
        _lists(requests, "chunk_ns"),
        _lists(requests, "chunk_user_ns"),
        _lists(requests, "chunk_uncertain"),
        strict=True,
    )
    kernel, user, true, certain, num_unknown = [], [], [], [], 0
    for request_id, intended_ns, stamps, user_stamps, doubts in rows:
        if not t0_ns <= intended_ns < t1_ns or not len(stamps):
            continue
        sent = np.asarray(sent_ns.get(request_id, ())[num_before:], dtype=np.int64)[: len(stamps)]
        if len(sent) < len(stamps) or len(user_stamps) != len(stamps):
            num_unknown += 1
            continue
        kernel.append(stamps)
        user.append(user_stamps)
        true.append(sent)
        certain.append(doubts == 0)
    return Matched(tuple(kernel), tuple(user), tuple(true), tuple(certain), num_unknown)


def chunk_rate_per_s(requests: pa.Table, t0_ns: int, t1_ns: int) -> float:
    """Token chunks stamped in [t0, t1) a second, whatever became of their request."""
    stamps = _joined(_lists(requests, "chunk_ns"))
    inside = np.count_nonzero((stamps >= t0_ns) & (stamps < t1_ns))
    return float(inside) / ((t1_ns - t0_ns) / NS_PER_S)


def cpu_us_per_chunk(clients: pa.Table, requests: pa.Table, t0_ns: int, t1_ns: int) -> float | None:
    """CPU of all load workers over the chunks stamped meanwhile, microseconds.

    Over the workers' one-second rows that lie wholly in [t0, t1): what each spent between two rows
    of its own, requests and parsing included. None where no row does.
    """
    owner, lists = requests["worker"].to_numpy(), _lists(requests, "chunk_ns")
    worker_of_row = clients["worker"].to_numpy()
    cpu_ns, num_chunks = 0.0, 0
    for worker in np.unique(worker_of_row):
        mine = worker_of_row == worker
        end, ratio = clients["t_ns"].to_numpy()[mine], clients["cpu_ratio"].to_numpy()[mine]
        order = np.argsort(end)
        begin, end, ratio = end[order][:-1], end[order][1:], ratio[order][1:]
        whole = (begin >= t0_ns) & (end < t1_ns)
        cpu_ns += float(((end - begin) * ratio)[whole].sum())
        stamps = np.sort(_joined([x for x, w in zip(lists, owner, strict=True) if w == worker]))
        counts = np.searchsorted(stamps, end) - np.searchsorted(stamps, begin)
        num_chunks += int(counts[whole].sum())
    return cpu_ns / 1e3 / num_chunks if num_chunks else None


def _joined(lists: Sequence[Int64Array]) -> Int64Array:
    return np.concatenate([np.zeros(0, dtype=np.int64), *lists])


def _lists(requests: pa.Table, name: str) -> list[Int64Array]:
    """A list column as arrays; empty where null."""
    column = requests[name].combine_chunks()
    empty = np.zeros(0, dtype=np.int64)
    return [
        np.asarray(cell.values.to_numpy(zero_copy_only=False), dtype=np.int64)
        if cell.is_valid
        else empty
        for cell in column
    ]

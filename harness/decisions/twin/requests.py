"""What arrives at the twin: arrival times, lengths and, where prefixes are shared, block ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Ids of the whole blocks that requests begin with: equal ids, equal text up to there.

    start: [n + 1]; request i has ids[start[i]:start[i + 1]].  ids: any integers.
    size_tok: tokens of a block (512 in Mooncake's traces).  A request's ids may go on past its
    prompt, over its answer: those are published when it ends or is preempted.
    """

    start: IntArray
    ids: IntArray
    size_tok: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], size_tok: int) -> Blocks:
        """One row of ids a request."""
        start = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        ids = np.array([block for row in rows for block in row], np.int64)
        return cls(start, ids, size_tok)


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """[n] requests in order of arrival.

    arrival_s: seconds, never falling.  n_in: prompt tokens, >= 1.  n_out: output tokens, >= 1, as
    realised (a simulator does not know when a model wishes to stop).  blocks: for the prefix cache.
    session: any integers, for the router `sticky`.
    """

    arrival_s: FloatArray
    n_in: IntArray
    n_out: IntArray
    blocks: Blocks | None = None
    session: IntArray | None = None

    def __post_init__(self) -> None:
        kinds = {"arrival_s": np.float64, "n_in": np.int64, "n_out": np.int64, "session": np.int64}
        for name, kind in kinds.items():
            if getattr(self, name) is None:
                continue
            array = np.ascontiguousarray(getattr(self, name), dtype=kind)
            object.__setattr__(self, name, array)
            if array.ndim != 1 or len(array) != len(self.arrival_s):
                raise ValueError(f"requests: {name} is not one row of {len(self.arrival_s)}")
        if not np.isfinite(self.arrival_s).all():
            raise ValueError("requests: an arrival is not a finite number of seconds")
        if (np.diff(self.arrival_s) < 0).any():
            raise ValueError("requests: arrivals are not in order of time; sort them first")
        for name in ("n_in", "n_out"):
            if len(self) and getattr(self, name).min() < 1:
                raise ValueError(f"requests: {name} has a value below 1")
        if self.blocks is not None and len(self.blocks.start) != len(self) + 1:
            raise ValueError(
                f"requests: block ids of {len(self.blocks.start) - 1}, not {len(self)}"
            )

    def __len__(self) -> int:
        return len(self.arrival_s)

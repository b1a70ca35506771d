"""A mergeable sketch of positive numbers: logarithmic buckets, every quantile within 1 %.

For the live display and the client's own health only; metrics come from the pooled rows.
(DDSketch: Masson, Rim, Lee, VLDB 2019.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_SMALLEST = 1e-12  # what is below counts as this


class Sketch:
    """Counts by bucket; bucket i holds (gamma^(i-1), gamma^i]."""

    __slots__ = ("buckets", "count", "largest")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.largest = 0.0

    def add(self, value: float, times: int = 1) -> None:
        index = math.ceil(math.log(max(value, _SMALLEST)) / _LOG_GAMMA)
        self.buckets[index] = self.buckets.get(index, 0) + times
        self.count += times
        self.largest = max(self.largest, value)

    def extend(self, values: npt.ArrayLike) -> None:
        """Many at once; an array costs little more than one value."""
        array = np.asarray(values, dtype=np.float64)
        if not array.size:
            return
        where = np.ceil(np.log(np.maximum(array, _SMALLEST)) / _LOG_GAMMA).astype(np.int64)
        low = int(where.min())
        counts = np.bincount(where - low)
        for offset in counts.nonzero()[0].tolist():
            index = low + offset
            self.buckets[index] = self.buckets.get(index, 0) + int(counts[offset])
        self.count += array.size
        self.largest = max(self.largest, float(array.max()))

    def merge(self, other: Sketch) -> None:
        for index, times in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + times
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def quantile(self, p: float) -> float | None:
        """The value below which a share p lies, within 1 %; None when empty."""
        if not self.count:
            return None
        rank, seen = p * (self.count - 1), 0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen > rank:
                return min(2 * _GAMMA**index / (_GAMMA + 1), self.largest)
        return self.largest

    def to_json(self) -> dict[str, object]:
        return {"buckets": {str(i): n for i, n in self.buckets.items()}, "largest": self.largest}

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Sketch:
        sketch = cls()
        buckets = row["buckets"]
        assert isinstance(buckets, Mapping)
        sketch.buckets = {int(i): int(n) for i, n in buckets.items()}
        sketch.count = sum(sketch.buckets.values())
        sketch.largest = float(str(row["largest"]))
        return sketch

"""What arrives at the twin: arrival times and lengths, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """[n] requests in order of arrival.

    arrival_s: seconds, never falling.  n_in: prompt tokens, >= 1.  n_out: output tokens, >= 1, as
    realised (a simulator does not know when a model wishes to stop).
    """

    arrival_s: FloatArray
    n_in: IntArray
    n_out: IntArray

    def __post_init__(self) -> None:
        for name, kind in (("arrival_s", np.float64), ("n_in", np.int64), ("n_out", np.int64)):
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

    def __len__(self) -> int:
        return len(self.arrival_s)

"""Little's law in one window: mean number in flight against arrival rate times mean residence.

The law binds any system whose backlog does not grow. Over a finite window both sides differ by
what crosses its edges, so a difference tells of a growing backlog, or of a window too short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import Frame
from harness.analysis.steady_state import in_flight_means


@dataclass(frozen=True, slots=True)
class Little:
    """mean_in_flight: requests between intended send and end, over the window.

    arrivals_req_per_s: sent in the window.  residence_s: their mean time from intended send to end.
    """

    mean_in_flight: float
    arrivals_req_per_s: float
    residence_s: float

    @property
    def difference_ratio(self) -> float:
        """lambda W / L - 1; 0 where nothing was in flight."""
        if not self.mean_in_flight:
            return 0.0
        return self.arrivals_req_per_s * self.residence_s / self.mean_in_flight - 1


def little(frame: Frame) -> Little | None:
    """None where no measured request ended."""
    ended = frame.is_measured & np.isfinite(frame.end_s)
    if not ended.any() or frame.window_s <= 0:
        return None
    residence_s = float((frame.end_s - frame.begin_s)[ended].mean())
    arrivals = float((frame.is_measured).sum()) / frame.window_s
    mean = float(in_flight_means(frame, np.array([0.0, frame.window_s]))[0])
    return Little(mean, arrivals, residence_s)

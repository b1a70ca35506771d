"""What a driver is: it decides when the requests of one stage are due, and never waits for Load.

Times are absolute; a driver never sleeps for a gap. What it releases, the Load sends at once or,
at max_in_flight, in order as soon as it may; the intended time never changes.
"""

from __future__ import annotations

from typing import Protocol

from harness.load.exchange import Arrival


class Release(Protocol):
    """Takes an arrival that is due."""

    def __call__(self, arrival: Arrival) -> None: ...


class Driver(Protocol):
    """One stage on one worker. Counters are of this worker's shard."""

    num_due: int
    num_measured: int  # measured arrivals released so far
    window_end_ns: int  # 0 while it is not known (a window that ends by count)

    def start(self, start_ns: int) -> None: ...

    def on_end(self, arrival: Arrival, *, is_broken: bool) -> None:
        """An exchange of this stage is over. is_broken: it never reached the endpoint."""
        ...

    def is_window_over(self, now_ns: int) -> bool:
        """All measured arrivals have been released."""
        ...

    def stop(self) -> None: ...

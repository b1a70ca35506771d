"""The cyclic garbage collector is held back while load runs: a full pass stops the hub for 20 ms.

Requests leave no cycles behind (a test holds that), so reference counts free nearly everything.
Faults do, through their tracebacks; where memory grows all the same, one pass is allowed, and its
pause stands in the client's rows like any other.
"""

from __future__ import annotations

import gc

ALLOWED_GROWTH_BYTES = 256 * 1024 * 1024


class Collector:
    """hold() before the first request, look() once a second, release() after the last."""

    def __init__(self, allowed_growth_bytes: int = ALLOWED_GROWTH_BYTES) -> None:
        self._allowed_bytes = allowed_growth_bytes
        self._base_bytes: int | None = None

    def hold(self) -> None:
        """What exists now is never looked at again; no pass starts by itself."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._base_bytes = None

    def look(self, rss_bytes: int) -> bool:
        """Whether a pass was due: resident memory grew by more than is allowed since the last."""
        if self._base_bytes is None:
            self._base_bytes = rss_bytes
        if rss_bytes - self._base_bytes <= self._allowed_bytes:
            return False
        gc.collect()
        self._base_bytes = rss_bytes
        return True

    def release(self) -> None:
        """Between points the collector may run again, over everything."""
        gc.enable()
        gc.unfreeze()
        gc.collect()

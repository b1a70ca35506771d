"""Whose limits have to be looked at, and when."""

from __future__ import annotations

import heapq
import weakref

from harness.load.exchange import Exchange


class Deadlines:
    """Exchanges by the next time to look at their limits; checked by a slow tick.

    Held weakly: an exchange that is over and recorded must not live on, with all its chunks, until
    a limit of minutes comes.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, weakref.ref[Exchange]]] = []
        self._count = 0

    def add(self, at_ns: int, exchange: Exchange) -> None:
        """Look at it then."""
        self._count += 1
        heapq.heappush(self._heap, (at_ns, self._count, weakref.ref(exchange)))

    def check(self, now_ns: int) -> None:
        """Ask every exchange whose time has come."""
        while self._heap and self._heap[0][0] <= now_ns:
            exchange = heapq.heappop(self._heap)[2]()
            next_ns = exchange.on_deadline(now_ns) if exchange is not None else 0
            if next_ns and exchange is not None:
                self.add(next_ns, exchange)

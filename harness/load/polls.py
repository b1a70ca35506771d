"""When the hub last looked at its sockets, and a way to wait until it has looked again."""

from __future__ import annotations

from time import monotonic_ns

import gevent
from gevent.hub import Waiter


class Polls:
    """When the hub last looked at its sockets. One a process; kept by a `check` watcher."""

    __slots__ = ("_idle", "_loop", "_resting", "_watcher", "current_ns", "previous_ns")

    def __init__(self) -> None:
        self.previous_ns = self.current_ns = monotonic_ns()
        self._resting: list[Waiter] = []
        self._loop = gevent.get_hub().loop
        self._watcher = self._loop.check()
        self._watcher.start(self._on_poll)
        self._idle = self._loop.idle()  # while it is active a poll waits for nothing

    def rest(self) -> None:
        """Block this greenlet until the hub has looked at its sockets and served them.

        `gevent.sleep(0)` does not do that: callbacks that sleep again and again run up to fifty in
        a row before the next poll, which at a millisecond each keeps every receive waiting.
        """
        waiter = Waiter()
        if not self._resting:
            self._idle.start(_nothing)
        self._resting.append(waiter)
        waiter.get()

    def _on_poll(self) -> None:
        self.previous_ns, self.current_ns = self.current_ns, monotonic_ns()
        if self._resting:
            self._idle.stop()
            resting, self._resting = self._resting, []
            for waiter in resting:  # callbacks run after what this poll reported
                self._loop.run_callback(waiter.switch, None)

    def close(self) -> None:
        self._watcher.stop()
        self._idle.stop()


def _nothing() -> None:
    """What an idle watcher calls."""

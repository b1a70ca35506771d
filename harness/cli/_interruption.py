"""Ctrl-C while a run measures: once drains, twice cuts what is in flight; SIGTERM counts as one.

Handlers only count and pass the wish on, so that nothing is torn while files are written between
two points. Outside of a measurement Ctrl-C is a plain KeyboardInterrupt.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stoppable(Protocol):
    """What a signal reaches: the load process."""

    def stop(self) -> None: ...
    def abort(self) -> None: ...


class Interruption:
    """A context manager: within it signals are counted instead of raised."""

    def __init__(self) -> None:
        self._count = 0
        self._raises = False
        self._load: Stoppable | None = None
        self._note: Callable[[str], None] = lambda text: None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def is_asked(self) -> bool:
        """Whether the user wants the run to end."""
        return self._count > 0

    @contextmanager
    def reaching(self, load: Stoppable, note: Callable[[str], None]) -> Iterator[None]:
        """Signals go to `load` and are told by `note` meanwhile."""
        self._load, self._note = load, note
        try:
            yield
        finally:
            self._load, self._note = None, lambda text: None

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Signals are KeyboardInterrupt meanwhile, as everywhere outside."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._raises:
            raise KeyboardInterrupt
        if self._load is None:
            return
        if self._count == 1:
            self._note("stopping: no new requests, waiting for those in flight (again to cut)")
            self._load.stop()
        else:
            self._note("aborting: cutting what is in flight, keeping what was measured")
            self._load.abort()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in STOPS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for number, handler in self._before.items():
            signal.signal(number, handler)

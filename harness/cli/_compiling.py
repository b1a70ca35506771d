"""The twin compiles once on a machine: seconds in which nothing seems to happen, so it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.units import format_seconds

if TYPE_CHECKING:
    from harness.cli._options import Voice

WARNING = "compiling the simulator once on this machine (about 10 s)"


@contextmanager
def telling_compilation(voice: Voice) -> Iterator[None]:
    """Says when something begins to compile in the block, and how long that took; nothing where it
    is loaded from the disk."""
    from numba.core import event  # a second to import: only where something is simulated

    class Listener(event.Listener):
        """Compiled functions compile those that they call: the outermost counts."""

        depth, begin_s, took_s = 0, 0.0, 0.0

        def on_start(self, event: Any) -> None:
            if not self.depth:
                if not self.took_s:
                    voice.say(WARNING)
                self.begin_s = time.monotonic()
            self.depth += 1

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if not self.depth:
                self.took_s += time.monotonic() - self.begin_s

    listener = Listener()
    try:
        with event.install_listener("numba:compile", listener):
            yield
    finally:
        if listener.took_s:
            voice.say(f"compiled in {format_seconds(listener.took_s)}")

"""One writer a run: a second `--resume`, or one beside the run itself, is refused.

The lock is the kernel's and ends with the process, whichever way that ends, so none is ever left
behind. Readers need none. Where the system has no such lock the run goes on without.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UsageError


class RunLock:
    """Held from construction until `release`. Raises UsageError where another process holds it."""

    def __init__(self, run_dir: Path) -> None:
        self._handle = -1
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            self._handle = os.open(run_dir, os.O_RDONLY)  # the folder: no file to leave
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise UsageError(
                "this run is being measured right now",
                where=str(run_dir),
                why="another harness process writes to it",
                do="wait for its end, or stop it with Ctrl-C; then give --resume again",
            ) from error
        except OSError:  # a file system without locks, or one that cannot be written: said later
            self.release()

    def release(self) -> None:
        """Safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

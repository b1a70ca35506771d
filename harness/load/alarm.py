"""An alarm at an absolute time on CLOCK_MONOTONIC, rung in the hub within some 100 us.

libev's own timers are rounded up to whole milliseconds, too coarse for a schedule; a Linux timerfd
is an ordinary file descriptor that the hub polls. Elsewhere libev's timer has to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent

_TFD_NONBLOCK, _TFD_CLOEXEC, _TFD_ABSTIME = 0o4000, 0o2000000, 1
_NS = 1_000_000_000


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long), ("value_ns", ctypes.c_long),
    )  # fmt: skip


_libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
if _libc is not None:
    _settime = _libc.timerfd_settime
    _settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Alarm:
    """Calls `ring` in the hub at the time last set, or a turn too early where it was set anew just
    then; `ring` must not block.

    period_ns: rings on with this period once it has rung.
    """

    def __init__(self, ring: Callable[[], None], period_ns: int = 0) -> None:
        self._ring, self._period_ns = ring, period_ns
        self._loop = gevent.get_hub().loop
        self._fd = -1
        self._is_set = False
        if _libc is not None:
            self._spec = _Itimerspec(*divmod(period_ns, _NS), 0, 0)
            self._at = ctypes.addressof(self._spec)
            self._fd = _libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd >= 0:
            # before the sockets that the same poll reports: their stamps are the kernel's, ours not
            self._watcher = self._loop.io(self._fd, 1, priority=self._loop.MAXPRI)
            self._watcher.start(self._on_ready)
        else:
            self._watcher = self._loop.timer(0.0, repeat=period_ns / _NS)

    def set(self, at_ns: int) -> None:
        """Ring once at_ns is reached: at once when it is past."""
        if self._fd < 0:
            self._watcher.stop()
            wait_s = max(0.0, (at_ns - time.monotonic_ns()) / _NS)
            self._watcher = self._loop.timer(wait_s, repeat=self._period_ns / _NS)
            self._watcher.start(self._ring)
            return
        # zero would disarm it
        self._spec.value_s, self._spec.value_ns = divmod(max(at_ns, 1), _NS)
        _settime(self._fd, _TFD_ABSTIME, self._at, None)
        self._is_set = True

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _on_ready(self) -> None:
        self._is_set = False
        self._ring()
        if not self._is_set and self._fd >= 0:  # what sets it anew also makes it unreadable
            with suppress(BlockingIOError):
                os.read(self._fd, 8)

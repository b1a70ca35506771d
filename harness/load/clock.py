"""One axis for all stamps: CLOCK_MONOTONIC, onto which the kernel's REALTIME stamps are mapped.

REALTIME - MONOTONIC is constant while NTP slews, since it slews both; only a step changes it. A
change above 50 us between two samples is a step: kernel stamps taken between the last good sample
and the next one cannot be mapped, so those receives use their user stamps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

STEP_NS = 50_000
NUM_READS = 5


def _read(clock: int) -> Callable[[], int]:
    return lambda: time.clock_gettime_ns(clock)


def time_asleep_ns(
    boottime_ns: Callable[[], int] | None = None,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> int:
    """How long this machine has been suspended since it started: BOOTTIME runs on while it
    sleeps, MONOTONIC stands still. 0 where the system has no such clock."""
    if boottime_ns is None:
        if not hasattr(time, "CLOCK_BOOTTIME"):
            return 0
        boottime_ns = _read(time.CLOCK_BOOTTIME)
    return _narrowest_ns(boottime_ns, monotonic_ns)


def _narrowest_ns(clock_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> int:
    """clock - MONOTONIC by the read with the least time around it."""
    best_gap, best = 1 << 62, 0
    for _ in range(NUM_READS):
        before = monotonic_ns()
        other = clock_ns()
        after = monotonic_ns()
        if after - before < best_gap:
            best_gap, best = after - before, other - (before + after) // 2
    return best


class Axis:
    """The mapping, kept by one sample a second. The readers are arguments so that tests can step
    a clock without privileges."""

    def __init__(
        self,
        realtime_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        raw_ns: Callable[[], int] | None = None,
    ) -> None:
        self._realtime_ns, self._monotonic_ns = realtime_ns, monotonic_ns
        self._raw_ns = raw_ns or _read(getattr(time, "CLOCK_MONOTONIC_RAW", time.CLOCK_MONOTONIC))
        self._offset_ns = self._narrowest()
        self._eras = [(0, self._offset_ns)]  # (first user stamp it holds for, offset)
        self._unsure: list[tuple[int, int]] = []  # user stamps between which a step happened
        self._last_good_ns = monotonic_ns()
        self._slew_from = (self._last_good_ns, self._raw_ns())
        self.num_steps = self._untold_ns = 0

    def _narrowest(self) -> int:
        return _narrowest_ns(self._realtime_ns, self._monotonic_ns)

    def sample(self) -> int:
        """Compare the clocks; the steps since the last sample in ns, 0 when there was none, those
        that a refresh met included."""
        self.refresh()
        untold_ns, self._untold_ns = self._untold_ns, 0
        return untold_ns

    def refresh(self) -> None:
        """Compare the clocks: what is mapped from now on knows of a step until now."""
        offset_ns, now_ns = self._narrowest(), self._monotonic_ns()
        step_ns = offset_ns - self._offset_ns
        if abs(step_ns) <= STEP_NS:
            self._last_good_ns = now_ns
            return
        self._unsure.append((self._last_good_ns, now_ns))
        self._eras.append((now_ns, offset_ns))
        self._offset_ns, self._last_good_ns = offset_ns, now_ns
        self.num_steps += 1
        self._untold_ns += step_ns

    def slew_ppm(self) -> float:
        """Rate of MONOTONIC against MONOTONIC_RAW since the last call, parts a million."""
        now_ns, raw_ns = self._monotonic_ns(), self._raw_ns()
        since_ns, since_raw_ns = self._slew_from
        self._slew_from = (now_ns, raw_ns)
        elapsed_raw_ns = raw_ns - since_raw_ns
        return 1e6 * ((now_ns - since_ns) / elapsed_raw_ns - 1.0) if elapsed_raw_ns > 0 else 0.0

    def map(self, kernel_ns: Int64Array, user_ns: Int64Array) -> tuple[Int64Array, BoolArray]:
        """Stamps on the axis, and which of them are the kernel's.

        kernel_ns: [n] REALTIME, 0 where the kernel gave none.  user_ns: [n] MONOTONIC, ascending.
        """
        is_kernel = kernel_ns > 0
        offset_ns: int | Int64Array = self._eras[-1][1]
        if len(self._eras) > 1:
            starts = np.array([start for start, _ in self._eras])
            offsets = np.array([offset for _, offset in self._eras])
            offset_ns = offsets[np.searchsorted(starts, user_ns, side="right") - 1]
            for begin, end in self._unsure:
                is_kernel &= (user_ns < begin) | (user_ns >= end)
        mapped = kernel_ns - offset_ns
        # a stamp later than the read that returned it is no stamp of that read
        is_kernel &= mapped <= user_ns + STEP_NS
        return np.where(is_kernel, np.minimum(mapped, user_ns), user_ns), is_kernel

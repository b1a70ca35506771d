"""The load process's own health, once a second: the proof that the client was not the bottleneck.

A ticker of 0.9 ms measures how late the hub runs, and makes sure that the hub polls often enough
for stamps of coalesced receives to be bounded by a millisecond when nothing else happens.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from pathlib import Path
from time import monotonic_ns
from typing import Any

from harness.load.alarm import Alarm
from harness.load.clock import time_asleep_ns
from harness.load.sketch import Sketch
from harness.load.sockets import SOCKETS

TICK_NS = 900_000


class Ticker:
    """Rings each 0.9 ms; keeps how late each ring was, seconds."""

    def __init__(self) -> None:
        self._base_ns = monotonic_ns()
        self._alarm = Alarm(self._on_tick, TICK_NS)
        self._alarm.set(self._base_ns)
        self._last_ns = self._base_ns
        self.lag_s = Sketch()

    def _on_tick(self) -> None:
        now_ns = monotonic_ns()
        # the first ring missed is the oldest since the last one seen
        missed_from_ns = self._last_ns + TICK_NS
        late_ns = (now_ns - self._base_ns) % TICK_NS
        if now_ns - missed_from_ns > TICK_NS:
            late_ns += (now_ns - missed_from_ns) // TICK_NS * TICK_NS
        self._last_ns = now_ns - (now_ns - self._base_ns) % TICK_NS
        self.lag_s.add(late_ns / 1e9)

    def take(self) -> Sketch:
        taken, self.lag_s = self.lag_s, Sketch()
        return taken

    def close(self) -> None:
        self._alarm.close()


class Health:
    """CPU, memory, garbage collection, the machine's steal, and what befell our connections, as
    differences between reads."""

    def __init__(self) -> None:
        self._cpu = (time.process_time_ns(), monotonic_ns())
        self._machine = _machine_ticks()
        self._retransmits = SOCKETS.num_retransmits() or 0
        self._dropped = SOCKETS.num_dropped
        self._asleep_ns = time_asleep_ns()
        self._gc_begin_ns = self._gc_longest_ns = 0
        gc.callbacks.append(self._on_gc)

    def close(self) -> None:
        gc.callbacks.remove(self._on_gc)

    def read(self) -> dict[str, Any]:
        """Columns of CLIENT_SCHEMA that concern the process."""
        cpu, before = (time.process_time_ns(), monotonic_ns()), self._cpu
        machine, earlier = _machine_ticks(), self._machine
        retransmits, dropped = SOCKETS.num_retransmits(), SOCKETS.num_dropped
        ticks, asleep_ns = machine[1] - earlier[1], time_asleep_ns()
        row = {
            "cpu_ratio": (cpu[0] - before[0]) / max(1, cpu[1] - before[1]),
            "steal_ratio": (machine[0] - earlier[0]) / ticks if ticks > 0 else 0.0,
            "gc_pause_max_ns": self._gc_longest_ns,
            "rss_bytes": _rss_bytes(),
            "tcp_retransmits": None if retransmits is None else retransmits - self._retransmits,
            "conn_dropped": dropped - self._dropped,
            "suspend_ns": asleep_ns - self._asleep_ns,
        }
        self._cpu, self._machine, self._gc_longest_ns = cpu, machine, 0
        self._asleep_ns = asleep_ns
        self._retransmits, self._dropped = retransmits or 0, dropped
        return row

    def _on_gc(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_begin_ns = monotonic_ns()
        else:
            self._gc_longest_ns = max(self._gc_longest_ns, monotonic_ns() - self._gc_begin_ns)


def _machine_ticks() -> tuple[int, int]:
    """Stolen and all CPU ticks since boot; zeros where the system does not tell."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            values = [int(text) for text in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return values[7], sum(values)


def _rss_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""What this machine offers a load generator: cores, limits, clocks, timers, kernel stamps.

Standard library and psutil only, so that the command line can ask without importing gevent. Nothing
is changed and nothing is judged: what a limit means for a run is told by the run's own checks.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from harness.load.clock import Axis

SO_TIMESTAMPNS = 35  # as wire.py has it; asm-generic/socket.h
SPARE_DESCRIPTORS = 256  # as setup.py keeps for other files
TIMER_S = 0.001
NUM_TIMERS = 300
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """steal_ratio, load_average, slew_ppm: while the timers were tried, a third of a second.

    num_descriptors: the hard limit, which load processes raise theirs to; None where unlimited.
    num_ports: local ports for connections to one address; None where the system does not tell.
    kernel_stamps: whether a loopback receive carries the kernel's stamp.
    timer_overshoot: how much later than asked a sleep of 1 ms ended.
    """

    num_cpus: int
    num_cpus_usable: int
    load_average: float
    steal_ratio: float
    num_descriptors: int | None
    num_ports: int | None
    clock_source: str
    slew_ppm: float
    kernel_stamps: bool
    timer_overshoot_p50_s: float
    timer_overshoot_p99_s: float

    def has_room_for(self, num_streams: int, num_workers: int) -> bool:
        """Whether so many load processes may hold so many connections."""
        if self.num_descriptors is None:
            return True
        return num_streams <= num_workers * (self.num_descriptors - SPARE_DESCRIPTORS)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_machine() -> MachineFacts:
    """Takes about half a second."""
    axis, before = Axis(), psutil.cpu_times()
    overshoot_s = _timer_overshoot_s()
    after = psutil.cpu_times()
    stolen = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
    spent = sum(after) - sum(before)
    p50, p99 = np.quantile(overshoot_s, [0.5, 0.99])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MachineFacts(
        num_cpus=os.cpu_count() or 1,
        num_cpus_usable=_usable_cpus(),
        load_average=os.getloadavg()[0],
        steal_ratio=max(0.0, stolen / spent) if spent > 0 else 0.0,
        num_descriptors=None if hard == resource.RLIM_INFINITY else hard,
        num_ports=_num_ports(),
        clock_source=_text(_CLOCK_SOURCE) or "unknown",
        slew_ppm=axis.slew_ppm(),
        kernel_stamps=has_kernel_stamps(),
        timer_overshoot_p50_s=float(p50),
        timer_overshoot_p99_s=float(p99),
    )


def has_kernel_stamps() -> bool:
    """Whether TCP receives on loopback carry a kernel stamp. The first few may not: the kernel
    begins to stamp only once somebody has asked."""
    if sys.platform != "linux":
        return False
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), 1.0) as sender,
        listener.accept()[0] as receiver,
    ):
        receiver.settimeout(1.0)
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for _ in range(10):
            sender.send(b".")
            _, ancillary, _, _ = receiver.recvmsg(16, 64)
            if ancillary:
                return True
            time.sleep(0.002)
    return False


def _timer_overshoot_s() -> list[float]:
    found = []
    for _ in range(NUM_TIMERS):
        begin = time.monotonic()
        time.sleep(TIMER_S)
        found.append(time.monotonic() - begin - TIMER_S)
    return found


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _num_ports() -> int | None:
    try:
        first, last = map(int, _text(_PORTS).split())
    except ValueError:
        return None
    return last - first + 1


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""

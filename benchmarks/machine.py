"""Where a benchmark ran: without it no figure may be quoted."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def machine(packages: Iterable[str], load_before: float) -> dict[str, Any]:
    """As a row of results. load_before: the load average when the benchmark began."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    found = [name for name in packages if importlib.util.find_spec(name)]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu, "num_cpus": os.cpu_count(), "usable_cpus": sorted(os.sched_getaffinity(0)),
        "kernel": platform.release(), "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in found},
        "load_average_before": load_before, "load_average_after": os.getloadavg()[0],
    }  # fmt: skip

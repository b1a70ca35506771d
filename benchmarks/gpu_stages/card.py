"""What the driver's own tool says of the card: its clocks, its power and its heat."""

from __future__ import annotations

import subprocess

# as nvidia-smi calls it -> as a point does
QUERIES = {
    "clocks.sm": "sm_mhz", "clocks.mem": "memory_mhz", "power.draw": "power_w",
    "power.limit": "power_limit_w", "temperature.gpu": "celsius", "driver_version": "driver",
    "clocks_event_reasons.active": "clock_limits",
}  # fmt: skip


def state() -> dict[str, str]:
    """By the names above, what is known of the first card; nothing where the tool is not there or
    does not answer. clock_limits: the driver's bit mask of what holds clocks down, 0 nothing."""
    every = tuple(QUERIES)
    return _asked(every) or _asked(every[:-1])  # an older driver knows the last by another name


def _asked(queries: tuple[str, ...]) -> dict[str, str]:
    try:
        done = subprocess.run(
            ["nvidia-smi", "-i", "0", "--format=csv,noheader,nounits",
             "--query-gpu=" + ",".join(queries)],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    return told(done.stdout, queries)


def told(line: str, queries: tuple[str, ...] = tuple(QUERIES)) -> dict[str, str]:
    """Its answer by our names, without what this card does not know."""
    values = [value.strip() for value in line.strip().split(",")]
    if len(values) != len(queries):
        return {}
    return {QUERIES[q]: v for q, v in zip(queries, values, strict=True) if v and v[0] != "["}

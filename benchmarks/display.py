"""python -m benchmarks.display [--rounds 3] [--rate 100] [--seconds 20]

What the live display costs: the command's CPU share and the client's send lag with the display on
and off, in turns, on a terminal. Each round runs both, the order changing; ratios are on over off,
the median of the rounds. Near 1 is what to expect: the display reads one snapshot a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks._watched import watch_run


def main() -> int:
    """Run the rounds, print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=100.0, help="requests/s")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"bar": [], "none": []}
    for number in range(given.rounds):
        for progress in ("bar", "none") if number % 2 == 0 else ("none", "bar"):
            found[progress].append(measure(progress, given.rate, given.seconds))
    ratios = {
        name: statistics.median(
            on[name] / max(off[name], 1e-9)
            for on, off in zip(found["bar"], found["none"], strict=True)
        )
        for name in ("command_cpu_s", "send_lag_p99_s")
    }
    print(json.dumps({"rounds": found, "on_over_off": ratios}, indent=1))
    return 0


def measure(progress: str, rate: float, seconds: float) -> dict[str, float]:
    """One run: CPU seconds of the command itself, and the worker's send lag."""
    load = {
        "kind": "open", "arrival": {"kind": "poisson"}, "rate": f"{rate:g}/s",
        "duration": f"{seconds:g}s", "warmup": "2s", "cooldown": "5s", "drain": "5s",
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="display-") as name:
        watched = watch_run(Path(name), load, progress)
        (path,) = watched.folder.glob("points/*/summary.json")
        checks = {c["code"]: c["value"] for c in json.loads(path.read_text("utf-8"))["checks"]}
    cpu_s = sum(one.cpu_s for one in watched.seen.values() if one.kind == "command")
    return {
        "command_cpu_s": cpu_s,
        "command_cpu_share": cpu_s / watched.wall_s,
        "send_lag_p99_s": checks["send_lag"] or 0.0,
    }


if __name__ == "__main__":
    sys.exit(main())

"""python -m benchmarks.soak [--requests 1000000] [--rate 300]

Peak memory of command, master and worker over a long constant load, and whether the worker's stays
flat: the median of the last quarter of the window over that of the second. The scripted endpoint
keeps no log. Analysis at the end reads every row, so the command's peak grows with the requests:
about what one row of the spool takes, times a few; see bytes_a_request.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks._watched import Watched, watch_run

MARGIN_S = 10  # of looks at either end: start-up, analysis


def main() -> int:
    """Run it, print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=300.0, help="requests/s")
    given = parser.parse_args()
    load = {
        "kind": "open", "arrival": {"kind": "constant"}, "rate": f"{given.rate:g}/s",
        "requests": given.requests, "warmup": "5s", "cooldown": "10s", "drain": "10s",
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        watched = watch_run(Path(name), load, "none")
        size = sum(f.stat().st_size for f in watched.folder.glob("points/*/requests.parquet"))
        print(json.dumps(report(watched, given.requests, size), indent=1))
    return 0 if watched.code in (0, 3, 4) else 1


def report(watched: Watched, num_requests: int, parquet_bytes: int) -> dict[str, object]:
    """Peaks by process, and the growth of each through its life."""
    return {
        "requests": num_requests,
        "wall_s": round(watched.wall_s, 1),
        "exit_code": watched.code,
        "parquet_bytes_a_request": round(parquet_bytes / max(1, num_requests), 1),
        "processes": [
            {
                "kind": one.kind,
                "peak_rss_mib": round(max(one.rss_mib), 1),
                "last_over_second_quarter": growth(one.rss_mib),
                "peak_without_files_mib": round(max(one.anon_mib), 1),
                "last_over_second_quarter_without_files": growth(one.anon_mib),
                "cpu_s": round(one.cpu_s, 1),
            }
            for one in watched.seen.values()
        ],
    }


def growth(mib: list[float]) -> float | None:
    """Median of the last quarter over that of the second; None for a life too short to say."""
    quarter = len(mib) // 4
    if quarter < MARGIN_S or not sum(mib):
        return None
    second, last = mib[quarter : 2 * quarter], mib[-quarter:]
    return round(statistics.median(last) / statistics.median(second), 3)


if __name__ == "__main__":
    sys.exit(main())

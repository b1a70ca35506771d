"""What really happened, from the endpoint's log alone, and how far a report is from it.

Truth of a time to first token: the first token's send minus the request's arrival, both read by
the endpoint right at the socket. What a client adds on top - connecting, its way through the
kernel, its own delays - is its error. Quantiles interpolate linearly (type 7), as the tools' do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peer_tools.base import Reported, Stats

QUANTITIES = ("ttft_s", "gap_s", "chunk_gap_s")


@dataclass(frozen=True, slots=True)
class Truth:
    """num_served: answers the endpoint finished, warm-up and probes included.

    num_requests: those of them that the tool's figures are about.
    """

    num_served: int
    num_requests: int
    ttft_s: Stats
    gap_s: Stats
    chunk_gap_s: Stats


def truth_of(log: Sequence[dict[str, Any]], reported: Reported, num_tok: int) -> Truth:
    """log: /script/log, of one tool's run. The first stamped event is the role, then num_tok."""
    done = [row for row in log if row["outcome"] == "done" and row["status"] == 200]
    mine = [row for row in done if _is_meant(row, reported, num_tok)]
    stamps = np.array([row["send_ns"][1 : 1 + num_tok] for row in mine], dtype=np.int64)
    stamps = stamps.reshape(len(mine), num_tok)
    arrivals = np.array([row["recv_ns"] for row in mine], dtype=np.int64)
    return Truth(
        num_served=len(done),
        num_requests=len(mine),
        ttft_s=_stats(stamps[:, 0] - arrivals),
        gap_s=_stats((stamps[:, -1] - stamps[:, 0]) / (num_tok - 1)),
        chunk_gap_s=_stats(np.diff(stamps, axis=1).ravel()),
    )


def _is_meant(row: dict[str, Any], reported: Reported, num_tok: int) -> bool:
    if row["output_tok"] != num_tok or len(row["send_ns"]) <= num_tok:
        return False
    known = reported.requests
    return known is None or row["request_id"] in known or row["ordinal"] in known


def _stats(values_ns: Any) -> Stats:
    if not len(values_ns):
        return {}
    p50, p99 = np.quantile(values_ns, [0.5, 0.99]) / 1e9
    return {"mean": float(np.mean(values_ns)) / 1e9, "p50": float(p50), "p99": float(p99)}


def errors_ms(reported: Reported, truth: Truth) -> dict[str, Stats]:
    """Reported minus true, by quantity and statistic; only where both exist."""
    found: dict[str, Stats] = {}
    for name in QUANTITIES:
        said, true = getattr(reported, name), getattr(truth, name)
        found[name] = {stat: 1e3 * (said[stat] - true[stat]) for stat in said if stat in true}
    return found

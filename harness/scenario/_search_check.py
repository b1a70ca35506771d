"""Rules between a search and the blocks it needs: an open load, and what a good request is.

On plain values, since any block may be broken; what a block says of itself is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.scenario._faults import Wrong

_LIMITED = (
    "ttft", "ttfv", "tpot", "e2e_latency", "max_stall", "time_to_first_argument",
    "time_to_tool_call",
)  # fmt: skip


def search_faults(data: dict[str, Any]) -> Iterator[Wrong]:
    """A closed loop proves no rate; without limits every answered request would be good."""
    load, slo = data.get("load"), data.get("slo")
    if isinstance(load, dict):
        kind, arrival = load.get("kind"), load.get("arrival")
        if kind in ("closed", "stages", "probe", "idle_burst"):
            message = f"a search needs an open load, not {kind}: a closed loop proves no rate"
            yield Wrong(
                ("load", "kind"), message if kind == "closed" else message.partition(":")[0]
            )
        elif isinstance(arrival, dict) and arrival.get("kind") == "trace":
            yield Wrong(
                ("load", "arrival", "kind"),
                "a trace brings its own times; search with poisson or gamma{cv}",
            )
    if slo is not None and not isinstance(slo, dict):
        return
    limits = slo or {}
    if limits.get("attainment") is None:
        yield Wrong(("slo", "attainment"), "missing; a search holds rates against it, such as 99%")
    elif str(limits["attainment"]).strip() in ("0%", "100%"):
        yield Wrong(("slo", "attainment"), "must lie between 0% and 100%; no sample shows either")
    if limits.get("good_request") is None and not any(limits.get(m) for m in _LIMITED):
        yield Wrong(("slo", "good_request"), "missing; say what a good request is: {ttft: 1s}")

"""What a check of the client came to: a row for each load it was put under, and a ceiling.

A load is clean when every check that concerns the client keeps its verdict and its metrics. Checks
on the target are left out: the scripted endpoint is no target. JSON round trips are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

from harness.analysis._evidence import Evidence
from harness.analysis.client_error import (
    Spread,
    StampError,
    chunk_rate_per_s,
    cpu_us_per_chunk,
    match_chunks,
    stamp_error,
)
from harness.analysis.client_health import read_health
from harness.analysis.frame import read_frame
from harness.analysis.point_meta import PointMeta
from harness.analysis.steady_state import steady_state
from harness.analysis.summary import Check
from harness.analysis.validity import run_checks
from harness.notices import Notice

CLIENT_CHECK = "client_check.json"  # in a run directory
CHECK_SCHEMA = "harness/client-check/v1"
NEAR_CEILING = 0.6  # above this share of the ceiling a run gets a notice
NEARLY_ALL = 0.9  # delivered share above which a load counts as offered in full
CLIENT_CHECKS = (
    "partial", "send_lag", "sent", "blocked", "client_cpu", "receive_lag", "hub_lag",
    "uncertain_chunks", "uncertain_first", "client_fault",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckedLoad:
    """One load and how the client bore it. Shares 0-1; None where nothing was recorded.

    req_per_s: offered, None for a closed loop of `streams` users.  chunks_per_s: offered; achieved:
    what arrived, less where the endpoint itself was too slow.  kernel, user: error by either kind
    of stamp.  uncertain_ratio: chunks whose stamp is marked uncertain.  failed: code -> sentence of
    every check of the client that would void a run or withhold a metric.
    """

    streams: int
    tok_per_s: float
    req_per_s: float | None
    chunks_per_s: float
    achieved_chunks_per_s: float
    num_requests: int
    num_unknown: int
    stamp_source: str
    kernel: StampError
    user: StampError
    cpu_us_per_chunk: float | None = None
    cpu_ratio: float | None = None
    send_lag_p99_s: float | None = None
    receive_lag_p99_s: float | None = None
    hub_lag_p99_s: float | None = None
    uncertain_ratio: float | None = None
    failed: Mapping[str, str] | None = None

    @property
    def is_clean(self) -> bool:
        return not self.failed and self.num_requests > 0 and self.num_unknown == 0

    @property
    def reason(self) -> str:
        """Why the load is not clean; empty where it is."""
        if self.failed:
            return "; ".join(self.failed.values())
        if self.num_unknown:
            return f"{self.num_unknown} answers were unknown to the endpoint"
        return "" if self.num_requests else "no request was measured"

    @property
    def proven_chunks_per_s(self) -> float:
        """The load that a clean check proves: what was offered, where it came."""
        is_whole = self.achieved_chunks_per_s >= NEARLY_ALL * self.chunks_per_s
        return self.chunks_per_s if is_whole else self.achieved_chunks_per_s


@dataclass(frozen=True, slots=True)
class ClientCheck:
    """loads: rising.  intended: position of the load a run will put on the client, None without."""

    loads: tuple[CheckedLoad, ...]
    workers: int = 1
    intended: int | None = None

    @property
    def ceiling_chunks_per_s(self) -> float | None:
        """The highest load below the first one that was not clean; None where not even the
        smallest was."""
        ceiling = None
        for load in self.loads:
            if not load.is_clean:
                break
            ceiling = max(ceiling or 0.0, load.proven_chunks_per_s)
        return ceiling

    @property
    def is_ceiling_open(self) -> bool:
        """Whether every load was clean and came in full: the true ceiling lies higher."""
        return all(
            load.is_clean and load.proven_chunks_per_s == load.chunks_per_s for load in self.loads
        )

    @property
    def own(self) -> CheckedLoad | None:
        """The load of the run."""
        return None if self.intended is None else self.loads[self.intended]

    @property
    def share_of_ceiling(self) -> float | None:
        """Intended load over the ceiling, an upper bound where the ceiling is open."""
        ceiling, own = self.ceiling_chunks_per_s, self.own
        return own.chunks_per_s / ceiling if own is not None and ceiling else None

    @property
    def is_near_ceiling(self) -> bool:
        """Above 60 % of the ceiling, or with none to speak of."""
        share = self.share_of_ceiling
        # a hair of slack: 60 % is checked by a load 1/0.6 as high
        return self.intended is not None and (share is None or share > NEAR_CEILING + 1e-6)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a run at the intended load has to be told: nothing where there is room."""
        own = self.own
        if own is None or not self.is_near_ceiling:
            return ()
        if self.ceiling_chunks_per_s is None or not own.is_clean:
            return (Notice("client_not_clean", "warning", {"why": own.reason}),)
        args = {
            "own": f"{own.chunks_per_s:,.0f}", "ceiling": f"{self.ceiling_chunks_per_s:,.0f}"
        }  # fmt: skip
        return (Notice("client_near_ceiling", "warning", args),)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": CHECK_SCHEMA,
            "workers": self.workers,
            "intended": self.intended,
            "ceiling_chunks_per_s": self.ceiling_chunks_per_s,
            "is_ceiling_open": self.is_ceiling_open,
            "loads": [asdict(load) | {"is_clean": load.is_clean} for load in self.loads],
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> ClientCheck:
        """Keys this version does not know are ignored."""
        loads = tuple(_load(load) for load in row["loads"])
        return cls(loads, row["workers"], row["intended"])


def check_load(
    requests: pa.Table,
    clients: pa.Table,
    meta: PointMeta,
    load_end_ns: int,
    sent_ns: Mapping[str, tuple[int, ...]],
    asked: tuple[int, float, float | None, float],
) -> CheckedLoad:
    """One stage of a check, judged. asked: streams, tok/s a stream, requests/s, chunks/s."""
    matched = match_chunks(requests, sent_ns, meta.t0_ns, meta.t1_ns)
    checks = {check.code: check for check in client_checks(requests, clients, meta)}
    health = read_health(clients, meta.t0_ns, meta.t1_ns)
    uncertain = checks.get("uncertain_chunks")
    streams, tok_per_s, req_per_s, chunks_per_s = asked
    return CheckedLoad(
        streams=streams,
        tok_per_s=tok_per_s,
        req_per_s=req_per_s,
        chunks_per_s=chunks_per_s,
        achieved_chunks_per_s=chunk_rate_per_s(requests, meta.t0_ns, meta.t1_ns),
        num_requests=len(matched.true),
        num_unknown=matched.num_unknown,
        stamp_source=meta.stamp_source,
        kernel=stamp_error(matched.kernel, matched.true, matched.is_certain),
        user=stamp_error(matched.user, matched.true, matched.is_certain),
        cpu_us_per_chunk=cpu_us_per_chunk(clients, requests, meta.t0_ns, load_end_ns),
        cpu_ratio=health.cpu_ratio,
        send_lag_p99_s=checks["send_lag"].value,
        receive_lag_p99_s=health.receive_lag_p99_s,
        hub_lag_p99_s=health.hub_lag_p99_s,
        uncertain_ratio=uncertain.value if uncertain else None,
        failed={c.code: c.sentence for c in checks.values() if c.status in ("invalid", "absent")},
    )


def client_checks(requests: pa.Table, clients: pa.Table, meta: PointMeta) -> tuple[Check, ...]:
    """The validity checks that concern the client alone."""
    frame = read_frame(requests, meta.t0_ns, meta.t1_ns)
    health = read_health(clients, meta.t0_ns, meta.t1_ns)
    evidence = Evidence(frame, health, meta, steady_state(frame, meta.kind, None))
    return tuple(check for check in run_checks(evidence) if check.code in CLIENT_CHECKS)


def _load(row: dict[str, Any]) -> CheckedLoad:
    known = {field.name for field in fields(CheckedLoad)}
    values = {key: value for key, value in row.items() if key in known}
    for kind in ("kernel", "user"):
        parts = {k: Spread(**v) if v else None for k, v in row[kind].items()}
        values[kind] = StampError(**parts)
    return CheckedLoad(**values)

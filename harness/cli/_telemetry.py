"""Which pages and devices are read beside a point, and what is told of them afterwards.

Nothing here can end a run: a target without metrics is one notice in the report.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from harness.cli._endpoints import Endpoint, headers_of, key_of
from harness.errors import HarnessError
from harness.notices import Notice
from harness.records import (
    EventLog,
    MetricsPage,
    PointDirectory,
    Readings,
    ServerSpool,
    Telemetry,
    is_same_origin,
    metrics_url,
    open_gpus,
)
from harness.records.telemetry import Source
from harness.scenario import Point
from harness.scenario.document import Prometheus, Target


@contextmanager
def watching(
    folder: PointDirectory, point: Point, endpoint: Endpoint, log: EventLog
) -> Iterator[None]:
    """The target is read meanwhile; point.json then says how that went, with its notices."""
    settings = point.document.telemetry
    sources: list[Source] = []
    if settings.prometheus is not None:
        sources.append(page_of(settings.prometheus, endpoint, point.target))
    gpus = open_gpus() if settings.gpu and is_local(endpoint) else None
    sources += [gpus] if gpus else []
    telemetry = _start(folder, sources, settings.prometheus.interval if settings.prometheus else 1)
    try:
        yield
    finally:
        readings = telemetry.stop() if telemetry else ()
        notices = [n for r in readings if (n := notice_of(r, endpoint.name))]
        for notice in notices:
            log.append("notice", point=point.index, code=notice.code, text=notice.sentence)
        told = [
            {"url": r.url, "num_read": r.num_read, "num_failed": r.num_failed, "why": r.why}
            for r in readings
        ]
        with suppress(HarnessError):  # a full disk: whoever writes next says so
            folder.update_meta(telemetry=told, notices=[n.to_json() for n in notices])


def is_local(endpoint: Endpoint) -> bool:
    """Whether the target runs on this machine, as far as its addresses tell."""
    if endpoint.child is not None:
        return True
    own = _own_addresses()
    return bool(endpoint.facts.addresses) and all(
        address in own or ipaddress.ip_address(address.partition("%")[0]).is_loopback
        for address in endpoint.facts.addresses
    )


def _start(
    folder: PointDirectory, sources: Sequence[Source], interval_s: float
) -> Telemetry | None:
    if not sources:
        return None
    try:
        spool = ServerSpool(folder.path)
    except HarnessError:
        return None  # a full disk: the load will say so
    telemetry = Telemetry(spool, sources, interval_s)
    telemetry.start()
    return telemetry


def page_of(settings: Prometheus, endpoint: Endpoint, target: Target) -> MetricsPage:
    """The page to read; the target's key and headers go along only to the target itself."""
    url = metrics_url(endpoint.base_url) if settings.url == "auto" else settings.url
    headers: dict[str, str] = {}
    if is_same_origin(url, endpoint.base_url):
        headers = headers_of(endpoint.name, target)
        key = key_of(endpoint.api_key_env, f"targets.{endpoint.name}.api_key_env")
        if key is not None:
            headers = {"Authorization": f"Bearer {key}"} | headers
    return MetricsPage(url, headers)


def notice_of(readings: Readings, target: str) -> Notice | None:
    """What is told of a source that failed; None where it never did."""
    if not readings.num_failed:
        return None
    if not readings.num_read:
        return Notice(
            "no_metrics", "info", {"target": target, "url": readings.url, "why": readings.why}
        )
    told = {"url": readings.url, "failed": readings.num_failed, "why": readings.why}
    return Notice("metrics_gaps", "info", told | {"read": readings.num_read})


def _own_addresses() -> frozenset[str]:
    import psutil

    cards = psutil.net_if_addrs().values()
    return frozenset(a.address.partition("%")[0] for addresses in cards for a in addresses)

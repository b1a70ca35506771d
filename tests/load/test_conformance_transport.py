"""Pitfalls below HTTP: connections that are slow to open, closed under us, far away, or of IPv6."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.load import LoadProcess, TargetFacts, probe_target
from harness.load.sockets import Sockets, retransmits_of
from harness.testing import ScriptedServer

from .cases import MS, run_cases, statuses
from .conftest import Point, drive, make_plan, open_load, scenario_of, undisturbed

pytestmark = pytest.mark.e2e
OUT = 4
SPARSE: dict[str, Any] = {
    "timing": {"ttft": "5ms", "gap": "1ms"},
    "transport": {"idle_close": "20ms"},
}


def test_10_a_slow_tls_handshake_has_its_own_column_and_is_no_part_of_reuse(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    pair = (authority / "server.pem", authority / "server.key")
    # answers of 2 s, eight a second: the first eight find a connection opened beforehand, those of
    # the next second open one, and later ones find it kept
    script = {"timing": {"ttft": "50ms", "gap": "650ms"}, "transport": {"tls_delay": "250ms"}}

    def act(folder: Path) -> tuple[Point, None]:
        with ScriptedServer(script, tls=pair) as server:
            scenario = scenario_of(server.base_url, open_load(8, 24), out=OUT)
            return drive(process, make_plan(folder, scenario)), None

    with LoadProcess() as process:
        point, _ = undisturbed(tmp_path, act)
    rows = [row for row in point.rows if row["phase"] == "measured"]
    assert {row["error_class"] for row in rows} == {""}
    reused = [row for row in rows if row["conn_reused"]]
    assert reused
    assert all(row["tcp_ns"] == row["tls_ns"] == 0 for row in reused)
    opened = [row for row in rows if row["tls_ns"]]
    assert opened
    for row in opened:
        own_ns = row["tcp_ns"] + row["tls_ns"]
        assert own_ns >= 250 * MS  # a client that noticed the connection late waits less for TLS
        assert row["sent_ns"] - row["intended_ns"] >= own_ns  # inside ttft ...
        assert row["sent_ns"] - row["released_ns"] - own_ns < 250 * MS  # ... no client's lateness
    # a connection opened before its request was due is no part of it
    assert len(reused) + len(opened) < len(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog drops SYNs on Linux")
def test_10_a_slow_tcp_connection_shows_its_wait_and_its_retransmits(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """A full backlog drops the first SYN; the kernel sends it again after a second.

    The first second's connections are open before; of the next two seconds at least 0.6 s fall
    into the outage, whose period is such that the second SYN does not.
    """
    outage = {"kind": "no_accept", "start": "0s", "duration": "600ms", "every": "1700ms"}
    script = SPARSE | {"outages": [outage]}
    run = run_cases(load_process, tmp_path, {"plain": (60, {})}, rate=20, script=script, out=OUT)
    waited = [row for row in run.rows() if row["tcp_ns"] > 900 * MS]
    assert waited
    for row in waited:
        assert not row["conn_reused"]
        assert row["error_class"] == ""
        assert row["sent_ns"] - row["intended_ns"] >= row["tcp_ns"]  # inside ttft
    assert sum(row["tcp_retransmits"] for row in run.point.clients) >= len(waited)
    # the client was not late: what it waited for is the connection
    frame = run.frame()
    own_s = frame.sent_s - frame.intended_s - frame.connect_s
    assert own_s[frame.connect_s > 0.9].max() < 0.5


def test_a_server_that_drops_kept_connections_is_told(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    run = run_cases(load_process, tmp_path, {"plain": (20, {})}, rate=10, script=SPARSE, out=OUT)
    assert {row["error_class"] for row in run.rows()} == {""}
    assert not any(row["conn_reused"] for row in run.rows())
    check = next(c for c in run.analyse().checks if c.code == "keep_alive")
    assert check.status == "notice"
    assert "keep-alive timeout" in check.sentence


def test_kept_connections_raise_nothing(load_process: LoadProcess, tmp_path: Path) -> None:
    run = run_cases(load_process, tmp_path, {"plain": (40, {})}, rate=40, out=OUT)
    assert any(row["conn_reused"] for row in run.rows())
    found = statuses(run.analyse())
    assert (found["keep_alive"], found["retransmits"]) == ("ok", "ok")


def test_36_a_far_target_shows_its_round_trip_beside_ttft_never_subtracted(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    facts = TargetFacts("x", "scripted", takes_continuous_usage=True, rtt_ns=50 * MS)
    far = {"plain": (20, {"timing": {"ttft": "150ms", "gap": "1ms"}})}
    run = run_cases(load_process, tmp_path, far, facts=facts, out=OUT)
    frame = run.frame()
    ttft_s = frame.first_token_s - frame.intended_s
    assert ttft_s.min() >= 0.149
    found = run.analyse(rtt_s=0.05)
    check = next(c for c in found.checks if c.code == "rtt")
    assert check.value == pytest.approx(0.05 / np.median(ttft_s))
    assert check.status == ("notice" if np.median(ttft_s) < 0.5 else "ok")
    assert "never subtracted" in check.sentence or check.status == "ok"
    near = run.analyse(rtt_s=0.0001)
    assert near.estimates == found.estimates


def test_ipv6(load_process: LoadProcess, tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with ScriptedServer(host="::1") as server:
        facts = probe_target(server.base_url)
        assert facts.base_url == f"http://[::1]:{server.port}/v1"
        scenario = scenario_of(server.base_url, open_load(40, 8), out=OUT)
        point = drive(load_process, make_plan(tmp_path, scenario, facts))
        assert len(server.requests) >= 8
    assert {row["error_class"] for row in point.rows} == {""}


# -- whose retransmits -------------------------------------------------------------------------


class _Raw:
    """Tells a tcp_info in which so many segments were sent again."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.is_open = True

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        if not self.is_open:
            raise OSError("closed")
        return (b"\0" * 100 + self.count.to_bytes(4, "little"))[:size]


def test_retransmits_are_summed_over_open_and_closed_connections() -> None:
    sockets, first, second = Sockets(), _Raw(0), _Raw(2)
    sockets.opened(first)
    sockets.opened(second)
    assert sockets.num_retransmits() == 2
    first.count = 5
    sockets.closing(first)
    first.is_open = False
    assert sockets.num_retransmits() == 7
    assert sockets.num_retransmits() == 7
    second.count = 3
    assert sockets.num_retransmits() == 8


def test_of_very_many_connections_each_is_asked_in_turn() -> None:
    sockets, raws = Sockets(), [_Raw(0) for _ in range(600)]
    for raw in raws:
        sockets.opened(raw)
    for raw in raws:
        raw.count = 1
    assert [sockets.num_retransmits() for _ in range(4)] == [256, 512, 600, 600]


def test_closed_connections_are_forgotten_however_many() -> None:
    sockets = Sockets()
    for _ in range(1000):
        raw = _Raw(1)
        sockets.opened(raw)
        sockets.closing(raw)
    assert sockets.num_retransmits() == 1000
    assert not sockets._turn
    assert not sockets._seen


def test_where_nobody_tells_nothing_is_told() -> None:
    class Mute:
        def getsockopt(self, *_: int) -> bytes:
            raise OSError("not here")

    sockets = Sockets()
    sockets.opened(Mute())
    assert sockets.num_retransmits() is None


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="TCP_INFO is Linux's")
def test_a_real_connection_tells_its_own_count() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        assert retransmits_of(client) in (0, None)
        client.close()
        assert retransmits_of(client) is None

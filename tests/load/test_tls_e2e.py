"""TLS: verified against our own authority, handshake timed, refused without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import TargetError
from harness.load import LoadProcess, probe_target
from harness.testing import ScriptedServer

from .conftest import FAST, drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e


@pytest.fixture
def server(authority: Path) -> Iterator[ScriptedServer]:
    pair = (authority / "server.pem", authority / "server.key")
    with ScriptedServer({"timing": FAST}, tls=pair) as running:
        yield running


def test_verified_and_timed(
    server: ScriptedServer, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    assert probe_target(server.base_url).model == "scripted"
    # slow enough to keep connections idle: session tickets must not end them
    scenario = scenario_of(server.base_url, open_load(10, 20))
    with LoadProcess() as process:
        point = drive(process, make_plan(tmp_path, scenario))
    rows = [row for row in point.rows if row["phase"] == "measured"]
    assert {row["error_class"] for row in rows} == {""}
    assert {row["stamp_source"] for row in rows} == {"kernel"}
    assert all(len(row["chunk_ns"]) == 8 for row in rows)
    assert sum(row["conn_reused"] for row in rows) >= 15
    assert all(row["tls_ns"] == 0 for row in rows if row["conn_reused"])


def test_an_unknown_authority_is_refused(
    server: ScriptedServer, load_process: LoadProcess, tmp_path: Path
) -> None:
    with pytest.raises(TargetError) as caught:
        probe_target(server.base_url)
    assert caught.value.what == "no secure connection"
    scenario = scenario_of(server.base_url, open_load(50, 5))
    point = drive(load_process, make_plan(tmp_path, scenario))
    assert {row["error_class"] for row in point.rows} == {"tls"}
    assert "certificate" in point.rows[0]["error_detail"]

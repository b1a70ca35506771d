"""TLS: verified against our own authority, handshake timed, refused without it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import TargetError
from harness.load import LoadProcess, probe_target
from harness.testing import ScriptedServer

from .conftest import FAST, drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server.pem / server.key for 127.0.0.1 signed by it."""
    folder = tmp_path_factory.mktemp("ca")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=test authority",
    )  # fmt: skip
    openssl(
        folder, "req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=it",
    )  # fmt: skip
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "ext",
    )  # fmt: skip
    return folder


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

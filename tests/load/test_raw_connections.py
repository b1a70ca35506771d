"""Connections that a hand-written server closes, resets or answers early: each has its class.

As in test_raw_server.py nothing of the scripted endpoint takes part.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from harness.load import LoadProcess

from .conftest import Point, drive, make_plan, open_load, scenario_of
from .raw_server import (
    CHUNKED,
    CLOSE,
    CLOSE_NOTIFY,
    GOOD,
    HEAD,
    RESET,
    TOKENS,
    UNTIL_CLOSE,
    Answer,
    RawServer,
    chunk,
    delta,
    event,
)
from .test_raw_server import END, Case, run_raw

pytestmark = pytest.mark.e2e
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"


def measured(point: Point) -> list[dict[str, Any]]:
    return [row for row in point.rows if row["phase"] == "measured"]


def of_use(first: Answer, later: Answer) -> Any:
    """By how often the connection was used before."""
    return lambda _, num_before: later if num_before else first


def test_a_kept_connection_that_ends_when_used_at_once_is_the_servers_failure(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    with RawServer(of_use(GOOD, [CLOSE])) as server:
        load = open_load(10, 6)
        point = drive(load_process, make_plan(tmp_path, scenario_of(server.base_url, load)))
    assert [row["error_class"] for row in measured(point)] == ["", "truncated"] * 3
    assert set(server.asked.values()) == {1}  # nothing is asked again


def test_an_answer_before_the_request_is_read_stands(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """The server refuses a body of megabytes unread and closes, so that our send breaks."""
    with RawServer(lambda *_: [REFUSED, 0.05, CLOSE], most_body=1_000) as server:
        scenario = scenario_of(server.base_url, open_load(4, 4))
        scenario["traffic"][0]["workload"]["input_tokens"]["value"] = 600_000
        point = drive(load_process, make_plan(tmp_path, scenario))
    rows = measured(point)
    assert [(r["status"], r["error_class"]) for r in rows] == [(413, "http_4xx")] * 4


def test_a_whole_answer_before_the_request_is_read_stands(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """It is kept, and its connection is not: half a request still lies on it."""
    with RawServer(lambda *_: [*GOOD, 0.5], most_body=1_000) as server:
        scenario = scenario_of(server.base_url, open_load(4, 3))
        scenario["traffic"][0]["workload"]["input_tokens"]["value"] = 600_000
        point = drive(load_process, make_plan(tmp_path, scenario))
    rows = measured(point)
    assert [(r["error_class"], len(r["chunk_ns"])) for r in rows] == [("", 4)] * 3
    assert not any(row["conn_reused"] for row in rows)


def test_ipv6(load_process: LoadProcess, tmp_path: Path) -> None:
    told = run_raw(load_process, tmp_path, {"good": Case(GOOD)}, host="::1")
    assert told.rows["good"]["error_class"] == ""


TLS_CASES: dict[str, Case] = {
    "good": Case(GOOD),
    "close_notify after the end": Case([*GOOD, CLOSE_NOTIFY]),
    "after it": Case(GOOD),
    "until close_notify": Case([UNTIL_CLOSE, *TOKENS, *END, CLOSE_NOTIFY, 0.05, CLOSE]),
    "until the end of the connection": Case([UNTIL_CLOSE, *TOKENS, *END, CLOSE]),
    "close_notify mid-answer": Case([CHUNKED, *map(chunk, TOKENS[:2]), CLOSE_NOTIFY], "truncated",
                                    chunks=2),
    "closed mid-answer": Case([CHUNKED, *map(chunk, TOKENS[:2]), CLOSE], "truncated", chunks=2),
    "reset mid-answer": Case([CHUNKED, *map(chunk, TOKENS[:2]), 0.02, RESET], "truncated",
                             chunks=2),
    "a record of megabytes": Case([HEAD + b"Content-Length: %d\r\n\r\n" % (
        len(TOKENS[0]) + 3_000_000 + len(b"".join(END))), TOKENS[0],
        b":" + b"x" * 2_999_998 + b"\n", *END], chunks=1),
}  # fmt: skip


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_closes_are_told_from_ends(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    if version == ssl.TLSVersion.TLSv1_3:
        context.num_tickets = 4
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    with LoadProcess() as process:
        told = run_raw(process, tmp_path, TLS_CASES, rate=5, context=context)
    found = {n: (r["error_class"], len(r["chunk_ns"])) for n, r in told.rows.items()}
    assert found == {n: (case.error, case.chunks) for n, case in TLS_CASES.items()}, {
        n: r["error_detail"] for n, r in told.rows.items()
    }


def test_a_user_leaves_after_tokens_however_often_a_chunk_names_its_text(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    """OpenRouter tells reasoning twice: as a text and as details."""
    details = [{"type": "reasoning.text", "text": "hm"}]
    twice = event(delta(content="", reasoning="hm", reasoning_details=details))
    with RawServer(lambda *_: [CHUNKED, *[0.03, chunk(twice)] * 60]) as server:
        scenario = scenario_of(server.base_url, open_load(5, 3), out=60)
        leaves = {"share": "100%", "after_tokens": {"kind": "fixed", "value": 6}}
        scenario["traffic"][0]["cancel"] = leaves
        point = drive(load_process, make_plan(tmp_path, scenario))
    for row in measured(point):
        assert row["error_class"] == "cancelled"
        assert 6 <= len(row["chunk_ns"]) < 60

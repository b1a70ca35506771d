"""Each way a request can end, over real sockets, a row each in one point."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.load import LoadProcess

from .conftest import drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e

# (name, what the endpoint does to that arrival, expected class)
WAYS: list[tuple[str, dict[str, Any], str]] = [
    ("good", {}, ""),
    ("reset before headers", {"transport": {"fail": "reset"}}, "truncated"),
    ("closed mid-event", {"transport": {"fail": "close", "at": 3}}, "truncated"),
    ("reset mid-chunk", {"transport": {"fail": "reset", "at": 3, "inside": "chunk"}}, "truncated"),
    ("401", {"http": {"status": 401}}, "http_4xx"),
    ("429 in seconds", {"http": {"status": 429, "retry_after": "7s"}}, "throttled"),
    ("429 by date",
     {"http": {"status": 429, "retry_after": "60s", "retry_after_form": "date"}}, "throttled"),
    ("500", {"http": {"status": 500}}, "http_5xx"),
    ("error in a 200", {"http": {"body": "error"}}, "stream_error"),
    ("error mid-stream", {"http": {"error_at": 3}}, "stream_error"),
    ("plain JSON", {"http": {"body": "json"}}, "malformed"),
    ("plain text", {"http": {"body": "text"}}, "malformed"),
    ("gzip", {"http": {"gzip": True}}, "malformed"),
    ("stall", {"timing": {"ttft": "5ms", "stall": {"at": 3, "duration": "5s"}}}, "stalled"),
    ("stall with comments",
     {"timing": {"ttft": "5ms", "stall": {"at": 3, "duration": "5s"}},
      "sse": {"comment_every": "50ms"}}, "stalled"),
    ("slow headers", {"timing": {"headers": "5s", "ttft": "5s"}}, "timeout_first_byte"),
    ("silence", {"transport": {"fail": "hang"}}, "timeout_first_byte"),
    ("slow tokens", {"timing": {"ttft": "5ms", "gap": "300ms"}}, "timeout_total"),
    ("no finish_reason", {"chunks": {"finish": "none"}}, "truncated"),
    ("no token", {"tokens": {"output": 0}}, "empty"),
    ("until close", {"http": {"framing": "close"}}, ""),
    ("content-length", {"http": {"framing": "content_length"}}, ""),
    ("interim", {"http": {"interim": [100, 103], "chunk_extensions": True, "trailers": True}}, ""),
    ("odd SSE",
     {"sse": {"line_end": "crlf", "bom": True, "comments": True, "multi_line": True,
              "other_fields": True, "done": False, "last_blank_line": False}}, ""),
    ("bare CR, no space", {"sse": {"line_end": "cr", "space": False}}, ""),
]  # fmt: skip


def test_every_class(measure: Callable[..., Any]) -> None:
    faults = [{"first": k, "last": k, "then": then} for k, (_, then, _) in enumerate(WAYS) if then]
    limits = {"first_byte": "700ms", "token_idle": "700ms", "total": "1500ms"}
    load = {"kind": "open", "arrival": {"kind": "constant"}, "rate": "20/s", "requests": len(WAYS)}
    point = measure({"faults": faults}, load, target={"timeout": limits})
    measured = point.rows[: len(WAYS)]
    found = {way[0]: row["error_class"] for way, row in zip(WAYS, measured, strict=True)}
    assert found == {name: expected for name, _, expected in WAYS}
    by_name = {way[0]: row for way, row in zip(WAYS, measured, strict=True)}
    assert by_name["429 in seconds"]["retry_after_s"] == 7.0
    assert 50 <= by_name["429 by date"]["retry_after_s"] <= 60
    assert by_name["401"]["status"] == 401
    for name in ("good", "until close", "content-length", "interim", "odd SSE"):
        assert by_name[name]["n_out"] == 8, name
        assert len(by_name[name]["chunk_ns"]) == 8, name
    # a failure keeps the tokens it gave
    assert len(by_name["stall"]["chunk_ns"]) == 3
    assert len(by_name["closed mid-event"]["chunk_ns"]) == 3
    assert point.done.status == "complete"
    assert point.done.rows == len(point.rows)


def test_refused_and_unknown_names(load_process: LoadProcess, tmp_path: Path) -> None:
    limits = {"timeout": {"connect": "500ms"}}
    with socket.socket() as taken:  # nobody listens there, and nobody else can
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for where, expected in ((f"127.0.0.1:{port}", "connect"), ("name.invalid:1", "dns")):
            scenario = scenario_of(f"http://{where}/v1", open_load(50, 10), target=limits)
            point = drive(load_process, make_plan(tmp_path / expected, scenario))
            rows = [row for row in point.rows if row["phase"] == "measured"]
            assert len(rows) == 10
            assert {row["error_class"] for row in rows} == {expected}
            assert all(row["sent_ns"] is None for row in rows)


def test_a_kept_connection_that_the_server_closed_is_opened_anew(
    measure: Callable[..., Any],
) -> None:
    load = {"kind": "open", "arrival": {"kind": "constant"}, "rate": "2/s", "requests": 4}
    point = measure({"transport": {"idle_close": "100ms"}}, load)
    assert {row["error_class"] for row in point.rows} == {""}
    assert not any(row["conn_reused"] for row in point.rows[1:4])


def test_connections_are_reused(measure: Callable[..., Any]) -> None:
    load = {"kind": "closed", "concurrency": 2, "requests": 20}
    point = measure({}, load)
    rows = point.rows
    assert sum(not row["conn_reused"] for row in rows) <= 2
    assert all(row["tcp_ns"] == 0 for row in rows if row["conn_reused"])

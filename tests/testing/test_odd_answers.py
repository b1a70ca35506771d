"""Behaviours for the harness's own pitfalls: late tails, ballast, redirects, IPv6, models."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from raw import ask, read_reply, request_bytes

from harness.errors import UsageError
from harness.testing import ScriptedServer

MS = 1_000_000
WANTS = {"include_usage": True}


def test_the_tail_is_due_later_than_the_last_token(server: ScriptedServer) -> None:
    script = {"timing": {"ttft": "1ms", "gap": "1ms", "tail": "20ms"}}
    reply = ask(server.port, max_tokens=3, stream_options=WANTS, script=script)
    due = [e["x_script"]["due_ns"] - e["x_script"]["recv_ns"] for e in reply.events]
    assert [d // MS for d in due] == [0, 1, 2, 3, 23, 23]
    assert reply.events[4]["x_script"]["send_ns"] >= reply.events[4]["x_script"]["due_ns"]


def test_ballast_makes_token_chunks_huge_and_nothing_else(server: ScriptedServer) -> None:
    reply = ask(server.port, max_tokens=2, script={"chunks": {"pad_bytes": 300_000}})
    sizes = [len(event["choices"][0]["delta"].get("ballast", "")) for event in reply.events]
    assert sizes == [0, 300_000, 300_000, 0]
    assert [e["choices"][0]["delta"].get("content") for e in reply.events[1:3]] == ["the", " river"]


@pytest.mark.parametrize(
    ("how", "completion"), [("inside", 6), ("outside", 4), ("untold", 6)]
)  # fmt: skip
def test_reasoning_is_counted_as_the_script_says(
    server: ScriptedServer, how: str, completion: int
) -> None:
    script = {"chunks": {"reasoning_tok": 2}, "usage": {"reasoning": how}}
    usage = ask(server.port, max_tokens=6, stream_options=WANTS, script=script).events[-1]["usage"]
    assert usage["completion_tokens"] == completion
    assert usage["total_tokens"] == usage["prompt_tokens"] + 6
    details = usage.get("completion_tokens_details")
    assert details == (None if how == "untold" else {"reasoning_tokens": 2})


def test_a_redirect_and_the_mark_of_a_fault(server: ScriptedServer) -> None:
    moved = ask(server.port, script={"http": {"status": 307, "location": "/elsewhere"}})
    assert (moved.status, moved.headers["location"]) == (307, "/elsewhere")
    marked = ask(server.port, max_tokens=1, script={"http": {"fault": "slow"}})
    assert (marked.status, marked.headers["x-harness-fault"]) == (200, "slow")


def test_a_fault_may_hold_for_one_model_only() -> None:
    fault = {"model": "b", "then": {"http": {"status": 503}}}
    with ScriptedServer({"timing": {"ttft": "0ms"}, "faults": [fault]}) as server:
        assert ask(server.port, max_tokens=1, model="a").status == 200
        assert ask(server.port, max_tokens=1, model="b").status == 503
        assert [log.fault for log in server.requests] == [None, 0]


def test_the_log_has_the_opening_of_each_prompt(server: ScriptedServer) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "be brief"}]
    messages.append({"role": "user", "content": "word " * 40})
    ask(server.port, max_tokens=1, messages=messages)
    assert server.requests[-1].opening == ("word " * 40)[:80]


def test_ipv6_is_served_and_other_hosts_are_not() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with ScriptedServer({"timing": {"ttft": "0ms"}}, host="::1") as server:
        assert server.base_url == f"http://[::1]:{server.port}/v1"
        with socket.create_connection(("::1", server.port), timeout=60) as sock:
            sock.sendall(request_bytes(max_tokens=1))
            assert read_reply(sock).status == 200
    with pytest.raises(UsageError, match="no loopback address"):
        ScriptedServer(host="0.0.0.0")

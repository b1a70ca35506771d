"""A doctored server hits the victims its seed names, and never passes for a healthy one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CHAT = {"messages": [{"role": "user", "content": "Tell me a tale"}], "max_tokens": 12, "seed": 1}


@pytest.fixture
def doctored(start: Any, tmp_path: Path) -> Any:
    """doctored(plan) starts a server under that plan."""

    def begin(**plan: Any) -> Any:
        file = tmp_path / f"plan-{len(list(tmp_path.iterdir()))}.json"
        file.write_text(json.dumps(plan))
        return start(fault_plan=file)

    return begin


def _post(server: Any, is_streaming: bool = False, **headers: str) -> Any:
    body = {**CHAT, "stream": is_streaming}
    return server.request("POST", "/v1/chat/completions", body, **headers)


def test_errors_at_admission_hit_the_same_requests_again(doctored: Any) -> None:
    plan = {"seed": 3, "error": {"rate": 0.4, "status": 503}}
    servers = [doctored(**plan), doctored(**plan)]
    ids = [f"r{n}" for n in range(20)]
    by_id = [[_post(s, x_request_id=i).status for i in ids] for s in servers]
    assert by_id[0] == by_id[1]
    assert set(by_id[0]) == {200, 503}
    # Order of arrival does not matter where requests are named ...
    assert [_post(servers[0], x_request_id=i).status for i in reversed(ids)] == by_id[0][::-1]
    # ... and stands in for the name where they are not.
    unnamed = [[_post(s).status for _ in range(10)] for s in (doctored(**plan), doctored(**plan))]
    assert unnamed[0] == unnamed[1]
    hits = sum(status == 503 for status in by_id[0])
    assert servers[1].metric("engine:faults_injected_total") == hits


def test_every_reply_and_page_says_that_a_plan_is_on(doctored: Any) -> None:
    server = doctored(seed=3, error={"rate": 1.0, "status": 418})
    reply = _post(server)
    assert reply.status == 418
    assert reply.json["error"]["code"] == "injected_fault"
    assert reply.headers["x-harness-fault"].endswith("faults=error")
    assert reply.headers["x-harness-fault-hit"] == "error"
    assert "x-harness-fault" in server.request("GET", "/health").headers
    models = server.request("GET", "/v1/models").json
    assert models["data"][0]["engine"]["faults"] == reply.headers["x-harness-fault"]
    assert server.metric("engine:fault_plan_active") == 1


def test_an_error_mid_stream_is_an_event(doctored: Any) -> None:
    server = doctored(error={"rate": 1.0, "at": "mid-stream"})
    reply = _post(server, is_streaming=True)
    assert reply.status == 200
    assert reply.events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert reply.events[-2]["error"]["code"] == "injected_fault"
    assert _post(server).status == 500
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 0)


def test_a_missing_done_is_all_that_is_missing(doctored: Any, server: Any) -> None:
    healthy = _post(server, is_streaming=True)
    cut = _post(doctored(truncate={"rate": 1, "kind": "no_done"}), is_streaming=True)
    assert healthy.events[-1] == "[DONE]"
    assert [e["choices"] for e in cut.events] == [e["choices"] for e in healthy.events[:-1]]
    assert cut.is_whole


@pytest.mark.parametrize("is_streaming", [True, False])
def test_cut_bytes_break_the_framing(doctored: Any, is_streaming: bool) -> None:
    server = doctored(truncate={"rate": 1, "kind": "cut_bytes"})
    reply = _post(server, is_streaming)
    assert reply.status == 200
    assert not reply.is_whole
    assert b"[DONE]" not in reply.body
    with pytest.raises(json.JSONDecodeError):
        _ = reply.events if is_streaming else reply.json
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 0)


def test_short_output_stops_early_and_counts_honestly(doctored: Any) -> None:
    server = doctored(truncate={"rate": 1, "kind": "short_output"})
    whole = _post(server).json
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] < 12
    streamed = _post(server, is_streaming=True)
    assert streamed.events[-1] == "[DONE]"
    assert streamed.events[-2]["choices"][0]["finish_reason"] == "stop"


def test_windows_count_the_steps_of_requests_only(doctored: Any) -> None:
    server = doctored(step_time_add_ms={"value": 30, "steps": [0, 1]})
    slow, fast = (_post(server, x_harness_timings="1").json["timings"] for _ in range(2))
    assert slow["prefill_ms"] >= 30  # the warm-up did not use the window up
    assert server.state.engine.stats.num_steps > 1
    assert fast["prefill_steps"] == slow["prefill_steps"] == 1


def test_slow_steps_are_measured_as_slow(doctored: Any) -> None:
    # Every step ends 20 ms late, so twelve tokens cannot take less than eleven such steps.
    reply = _post(doctored(step_time_add_ms=20), x_harness_timings="1")
    assert reply.json["timings"]["decode_ms"] >= 11 * 20
    assert "x-harness-fault-hit" not in reply.headers

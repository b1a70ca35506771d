"""Disconnects, timings, metrics, health: what happens around the tokens."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

CHAT = {"messages": [{"role": "user", "content": "Tell me a tale"}], "max_tokens": 12}
VLLM_NAMES = [
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "num_preemptions_total",
    "prompt_tokens_total",
    "generation_tokens_total",
    "request_success_total",
    "time_to_first_token_seconds_count",
    "inter_token_latency_seconds_count",
    "request_time_per_output_token_seconds_count",
    "e2e_request_latency_seconds_count",
    "request_queue_time_seconds_count",
]


@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_client_that_leaves_frees_its_blocks(start: Any, slow: Path, is_streaming: bool) -> None:
    server = start(fault_plan=slow)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    body = {**CHAT, "max_tokens": 1900, "n": 2, "stream": is_streaming}
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    if is_streaming:
        connection.getresponse().read(100)
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 2)
    assert server.metric("vllm:kv_cache_usage_perc") > 0
    connection.close()
    server.wait_until(lambda: server.metric("vllm:num_requests_running") == 0)
    assert server.metric("vllm:kv_cache_usage_perc") == 0
    assert server.metric("vllm:generation_tokens_total") < 2 * 1900
    assert server.state.engine.num_live == 0
    reply = server.request("POST", "/v1/chat/completions", CHAT)
    assert reply.json["usage"]["completion_tokens"] == 12


def test_timings_reconcile_with_each_other_and_with_the_client(server: Any) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.connect()
    sent_ns = time.monotonic_ns()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"x-harness-timings": "1"})
    response = connection.getresponse()
    first_ns, last = 0, {}
    for line in response:
        if line.startswith(b"data: {"):
            chunk = json.loads(line[6:])
            has_text = chunk["choices"] and chunk["choices"][0]["delta"].get("content")
            first_ns = first_ns or (time.monotonic_ns() if has_text else 0)
            last = chunk
    end_ns = time.monotonic_ns()
    connection.close()
    t, usage = last["timings"], last["usage"]
    assert sent_ns < t["received_ns"] <= t["admitted_ns"] <= t["scheduled_ns"]
    assert t["scheduled_ns"] < t["first_ns"] < t["last_ns"] < end_ns
    engine_ms = t["queue_ms"] + t["prefill_ms"] + t["decode_ms"]
    assert engine_ms == pytest.approx((t["last_ns"] - t["admitted_ns"]) / 1e6, abs=1e-6)
    ttft_ms = (first_ns - sent_ns) / 1e6
    assert ttft_ms >= t["frontend_ms"] + t["queue_ms"] + t["prefill_ms"]
    assert t["output_tokens"] == usage["completion_tokens"] == 12
    assert t["prompt_tokens"] == usage["prompt_tokens"]
    assert (t["prefill_steps"], t["decode_steps"], t["preemptions"]) == (1, 11, 0)


def test_timings_come_only_when_asked(server: Any) -> None:
    assert "timings" not in server.request("POST", "/v1/chat/completions", CHAT).json
    reply = server.request("POST", "/v1/chat/completions", {**CHAT, "n": 2}, x_harness_timings="1")
    assert len(reply.json["timings"]["choices"]) == 2
    streamed = server.request(
        "POST", "/v1/chat/completions", {**CHAT, "stream": True}, x_harness_timings="1"
    )
    assert streamed.events[-1] == "[DONE]"
    assert streamed.events[-2]["choices"] == []
    assert "usage" not in streamed.events[-2]
    assert streamed.events[-2]["timings"]["output_tokens"] == 12


def test_the_warm_up_is_in_no_counter(start: Any) -> None:
    server = start()
    for name in ("prompt_tokens_total", "generation_tokens_total", "prefix_cache_queries_total"):
        assert server.metric(f"vllm:{name}") == 0
    assert server.state.engine.stats.num_steps == 0


def test_metrics_carry_vllm_names_and_count_what_was_served(start: Any) -> None:
    server = start()
    before = {n: server.metric(f"vllm:{n}") for n in VLLM_NAMES}
    for _ in range(3):
        server.chat()
    usage = server.chat(n=2, stop=["\x00never"]).usage
    after = {n: server.metric(f"vllm:{n}") for n in VLLM_NAMES}
    delta = {n: after[n] - before[n] for n in VLLM_NAMES}
    assert delta["request_success_total"] == 5
    assert delta["generation_tokens_total"] == 5 * 12
    assert delta["prompt_tokens_total"] == 5 * usage.prompt_tokens
    assert delta["prefix_cache_queries_total"] == 5 * usage.prompt_tokens
    assert delta["prefix_cache_hits_total"] > 0
    assert delta["time_to_first_token_seconds_count"] == 5
    assert delta["inter_token_latency_seconds_count"] == 5 * 11
    assert after["num_requests_running"] == after["kv_cache_usage_perc"] == 0
    assert server.metric("engine:step_seconds_count") >= 36
    assert server.metric("engine:step_gap_seconds_count") >= 30
    assert server.metric("engine:batch_tokens_count") == server.metric("engine:step_seconds_count")
    assert server.metric("engine:fault_plan_active") == 0
    assert 'model_name="debug"' in server.request("GET", "/metrics").body.decode()


def test_models_say_what_a_report_must_know(server: Any) -> None:
    (listed,) = server.client.models.list().data
    engine = listed.engine
    assert listed.id == server.client.models.retrieve("debug").id == "debug"
    assert listed.max_model_len == 2048
    assert engine["weights"] == "random"
    assert len(engine["weights_digest"]) == 64
    assert engine["dtype"] == "float64"
    assert engine["costs"]["kv_bytes_per_token"] == 2 * 2 * 2 * 16 * 8  # k+v, layers, heads, dim
    assert engine["limits"]["block_size"] == 16
    assert engine["faults"] is None


def test_a_shape_cut_short_is_labelled(start: Any) -> None:
    (listed,) = start(num_layers=1).client.models.list().data
    assert "the shape debug, 1 of its 2 layers" in listed.engine["label"]
    assert listed.engine["shape"]["num_layers"] == 1


def test_request_ids_come_back(server: Any) -> None:
    reply = server.request("POST", "/v1/chat/completions", CHAT, x_request_id="abc-1")
    assert reply.headers["x-request-id"] == "abc-1"
    assert "x-harness-fault" not in reply.headers


def test_an_engine_that_cannot_go_on_says_so(start: Any) -> None:
    # Two sequences that together outgrow the cache: one is preempted and resumes, none is lost.
    server = start(num_blocks=20, max_model_len=256)
    answer = server.chat(n=3, max_tokens=150, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 450
    assert server.metric("vllm:num_preemptions_total") > 0
    # A lone one that outgrows it ends in an error, streamed or whole.
    small = start(num_blocks=8, max_model_len=256)
    reply = small.request("POST", "/v1/chat/completions", {**CHAT, "max_tokens": 200})
    assert (reply.status, reply.json["error"]["code"]) == (500, "engine_error")
    streamed = small.request(
        "POST", "/v1/chat/completions", {**CHAT, "max_tokens": 200, "stream": True}
    )
    assert streamed.status == 200
    assert streamed.events[-2]["error"]["code"] == "engine_error"
    assert streamed.events[-1] == "[DONE]"

"""A doctored server hits the victims its seed names, and never passes for a healthy one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine_under_test.async_engine import Arrival, Stream
from engine_under_test.faults import RequestFault
from engine_under_test.request import FinishReason, Request, RequestOutput, SamplingParams
from engine_under_test.server.answer import Answer, Wishes
from engine_under_test.server.completions import CompletionDialect
from engine_under_test.server.exchange import Exchange
from engine_under_test.server.sequence import Sequence
from engine_under_test.server.sse import Envelope

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


class AtOnce:
    """An engine that hands over six steps in one read, as it does on a busy machine."""

    def submit(self, requests: Any) -> Stream:
        self.stream = Stream()
        self.name = requests[0].request_id
        for n in range(1, 7):
            reason = FinishReason.LENGTH if n == 6 else None
            output = RequestOutput(self.name, [96 + n], finish_reason=reason)
            self.stream.put(Arrival(output, end_ns=n))
        return self.stream

    def finish(self, request_id: str) -> None: ...

    def release(self, requests: Any) -> None: ...


def _answer_at_once(server: Any, fault: RequestFault) -> list[Any]:
    """The messages an answer sends."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        tokenizer = server.state.tokenizer
        exchange = Exchange({"method": "POST", "path": "/", "headers": []}, receive, send)
        sequence = Sequence(Request("r", [1], SamplingParams()), 0, tokenizer, [])
        dialect = CompletionDialect(Envelope("cmpl", "debug"), tokenizer)
        wishes = Wishes(is_streaming=True)
        engine: Any = AtOnce()
        await Answer(exchange, engine, [sequence], dialect, wishes, fault).serve()

    asyncio.run(main())
    return sent


@pytest.mark.parametrize("after_steps", [1, 2, 4])
@pytest.mark.parametrize("name", ["error", "short_output"])
def test_a_fault_keeps_its_step_where_steps_arrive_together(
    server: Any, after_steps: int, name: str
) -> None:
    is_error = name == "error"
    fault = RequestFault(
        name,
        after_steps,
        error_status=500 if is_error else 0,
        truncation=None if is_error else "short_output",
    )
    start, *bodies = _answer_at_once(server, fault)
    assert start["status"] == 200  # mid-stream: never an error in place of a stream
    *texts, done = b"".join(m["body"] for m in bodies).decode().split("\n\n")[:-1]
    events = [json.loads(text.removeprefix("data: ")) for text in texts]
    assert done == "data: [DONE]"
    choices = [e["choices"][0] for e in events if "choices" in e]
    assert "".join(c["text"] for c in choices) == "abcdef"[:after_steps]
    if is_error:
        assert events[-1]["error"]["code"] == "injected_fault"
    else:
        assert choices[-1]["finish_reason"] == "stop"


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

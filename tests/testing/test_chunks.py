"""What chunks hold, and where usage stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from raw import Reply, ask, http_chunks

from harness.testing import ScriptedServer


def deltas(reply: Reply) -> list[dict[str, Any]]:
    return [e["choices"][0]["delta"] for e in reply.events if e["choices"]]


def text(reply: Reply, field: str = "content") -> str:
    return "".join(d.get(field) or "" for d in deltas(reply))


def chunks(server: ScriptedServer, max_tokens: int = 6, **options: Any) -> Reply:
    return ask(server.port, max_tokens=max_tokens, script={"chunks": options})


def test_role_first_or_not(server: ScriptedServer) -> None:
    assert deltas(chunks(server))[0] == {"role": "assistant", "content": ""}
    assert deltas(chunks(server, role_first=False))[0] == {"content": "the"}


def test_empty_deltas_come_before_the_first_token(server: ScriptedServer) -> None:
    reply = chunks(server, empty_deltas=2)
    assert [d.get("content") for d in deltas(reply)[:4]] == ["", "", "", "the"]
    stamps = [e["x_script"] for e in reply.events[:4]]
    due = [s["due_ns"] - s["recv_ns"] for s in stamps]
    assert due == [0, 666_667, 1_333_333, 2_000_000]


def test_reasoning_then_text(server: ScriptedServer) -> None:
    reply = chunks(server, reasoning_tok=2, tok_per_chunk=3, reasoning_field="reasoning")
    assert text(reply, "reasoning") == "the river"
    assert text(reply) == " runs past old mill"


def test_tools_only_deltas_join_to_json(server: ScriptedServer) -> None:
    reply = chunks(server, kind="tools")
    calls = [d["tool_calls"][0]["function"] for d in deltas(reply) if "tool_calls" in d]
    assert len(calls) == 6
    assert calls[0]["name"] == "look_up"
    arguments = "".join(call["arguments"] for call in calls)
    assert json.loads(arguments) == {"q": " river runs past old mill"}
    assert text(reply) == ""
    assert reply.events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_refusal(server: ScriptedServer) -> None:
    assert text(chunks(server, kind="refusal"), "refusal").startswith("the river")


def test_tokens_a_chunk(server: ScriptedServer) -> None:
    reply = chunks(server, max_tokens=8, tok_per_chunk=3, first_chunk_tok=4)
    sizes = [len(d["content"].split()) for d in deltas(reply) if d.get("content")]
    assert sizes == [4, 3, 1]


def test_events_a_segment_leave_with_the_last(server: ScriptedServer) -> None:
    reply = chunks(server, max_tokens=6, events_per_segment=3)
    sends = [e["x_script"]["send_ns"] for e in reply.events[1:7]]
    assert len(set(sends[:3])) == len(set(sends[3:])) == 1
    assert sends[0] >= reply.events[3]["x_script"]["due_ns"]


@pytest.mark.parametrize("at", [1, 5, 60, -1, -2, -3])
def test_an_event_is_cut_at_any_byte(server: ScriptedServer, at: int) -> None:
    reply = chunks(server, max_tokens=3, split_at=at)
    assert text(reply) == "the river runs"
    whole = chunks(server, max_tokens=3)
    assert len(http_chunks(reply.raw)) > len(http_chunks(whole.raw))


def test_a_character_is_cut_in_two(server: ScriptedServer) -> None:
    reply = chunks(server, max_tokens=2, split_utf8=True, text="🙂")
    assert text(reply) == "🙂🙂"
    with pytest.raises(UnicodeDecodeError):
        [piece.decode() for piece in http_chunks(reply.raw)]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [({"output": 1}, 1), ({"output": 0}, 0), ({"output_delta": -4}, 2), ({"output_delta": 3}, 9)],
)
def test_length(server: ScriptedServer, tokens: dict[str, Any], expected: int) -> None:
    reply = ask(server.port, max_tokens=6, script={"tokens": tokens},
                stream_options={"include_usage": True})  # fmt: skip
    assert len(text(reply).split()) == expected
    assert reply.events[-1]["usage"]["completion_tokens"] == expected
    assert reply.events[-2]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("finish", ["own", "last_token", "none"])
def test_finish_reason(server: ScriptedServer, finish: str) -> None:
    choices = [e["choices"][0] for e in chunks(server, 3, finish=finish).events]
    reasons = [choice["finish_reason"] for choice in choices]
    assert reasons == {
        "own": [None] * 4 + ["length"], "last_token": [None] * 3 + ["length"], "none": [None] * 4
    }[finish]  # fmt: skip
    assert bool(choices[-1]["delta"]) == (finish != "own")


def usages(server: ScriptedServer, asked: bool = True, **options: Any) -> list[Any]:
    extra = {"stream_options": {"include_usage": True}} if asked else {}
    reply = ask(server.port, max_tokens=3, script={"usage": options}, **extra)
    return [event.get("usage", "none") for event in reply.events]


TRUE = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def counted(*output_tok: int) -> list[dict[str, int]]:
    return [{"prompt_tokens": 3, "completion_tokens": n, "total_tokens": 3 + n} for n in output_tok]


def test_usage_stands_where_the_script_says(server: ScriptedServer) -> None:
    none = ["none"] * 5  # role, three tokens, finish
    assert usages(server) == [*none, TRUE]
    assert usages(server, asked=False) == none
    assert usages(server, asked=False, always=True) == [*none, TRUE]
    assert usages(server, where="finish") == [*none[:4], TRUE]
    assert usages(server, where="every") == counted(0, 1, 2, 3, 3)
    assert usages(server, where="absent") == none
    assert usages(server, null_before=True) == [None] * 5 + [TRUE]


def test_usage_after_done(server: ScriptedServer) -> None:
    script = {"usage": {"where": "after_done", "always": True}}
    reply = ask(server.port, max_tokens=3, script=script)
    before, after = reply.body.split(b"data: [DONE]\n\n")
    assert b"completion_tokens" not in before
    assert b'"completion_tokens":3' in after


def test_usage_says_other_numbers(server: ScriptedServer) -> None:
    assert usages(server, values="null")[-1] is None
    assert usages(server, values="zero")[-1]["total_tokens"] == 0
    assert usages(server, values="wrong")[-1]["completion_tokens"] == 10
    assert usages(server, cached_tok=2)[-1]["prompt_tokens_details"] == {"cached_tokens": 2}
    flat = usages(server, cached_tok=2, cached_field="prompt_cache_hit_tokens")[-1]
    assert flat["prompt_cache_hit_tokens"] == 2


def test_usage_echoes_the_limit(server: ScriptedServer) -> None:
    script = {"usage": {"values": "echo_max", "always": True}, "tokens": {"output": 2}}
    assert ask(server.port, max_tokens=9, script=script).events[-1]["usage"] == {
        "prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12
    }  # fmt: skip


def test_usage_in_every_chunk_when_asked(server: ScriptedServer) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    reply = ask(server.port, max_tokens=3, stream_options=options)
    assert [event["usage"] for event in reply.events] == counted(0, 1, 2, 3, 3, 3)


def test_counts_in_every_chunk_are_those_of_their_own_request(server: ScriptedServer) -> None:
    """Chunks are templates shared by all requests; what differs between two is put in."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    for words in (1, 2000, 3):
        reply = ask(
            server.port, max_tokens=2, stream_options=options,
            messages=[{"role": "user", "content": "word " * words}],
        )  # fmt: skip
        told = [event["usage"] for event in reply.events]
        assert {usage["prompt_tokens"] for usage in told} == {words}
        assert [usage["total_tokens"] - words for usage in told] == [0, 1, 2, 2, 2]
    plain = ask(server.port, max_tokens=2, stream_options={"include_usage": True})
    assert [event.get("usage") is None for event in plain.events] == [True] * 4 + [False]


def test_completions_dialect(server: ScriptedServer) -> None:
    reply = ask(server.port, path="/v1/completions", max_tokens=3)
    assert "".join(e["choices"][0]["text"] for e in reply.events) == "the river runs"
    assert {e["object"] for e in reply.events} == {"text_completion"}

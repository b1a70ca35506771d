"""What a hand-written server said is what the records tell: each case is bytes and their meaning.

Nothing here goes through the scripted endpoint, so what it and the wire reader have in common
cannot hide. Texts are compared whole, chunks one by one with the server's own stamps of them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from harness.load import LoadProcess

from .cases import launched
from .conftest import MS, Point, drive, make_plan, open_load, scenario_of, undisturbed
from .raw_server import (
    CHUNKED,
    CLOSE,
    DONE,
    FINISH,
    GOOD,
    HALF_CLOSE,
    HEAD,
    RESET,
    TOKENS,
    UNTIL_CLOSE,
    WORDS,
    Answer,
    RawServer,
    Tok,
    chunk,
    chunked,
    counted,
    delta,
    event,
    token,
    usage,
)  # fmt: skip

pytestmark = pytest.mark.e2e
ASKED = 8
ALL = "".join(WORDS)
CLOSING = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = event(usage(4))
END = (FINISH, USAGE, DONE)
SAID = b'{"error": {"type": "overloaded", "message": "no room"}}'


@dataclass
class Case:
    """What the server says, and what the row must hold: `row` by column, the text of the answer,
    how many chunks bear tokens. is_stamped: whether each of them is a piece of its own."""

    answer: Answer
    error: str = ""
    chunks: int = 4
    text: str | None = ALL
    is_stamped: bool = True
    row: dict[str, Any] = field(default_factory=dict)


def failed(answer: Answer, error: str, chunks: int = 0, **row: Any) -> Case:
    return Case(answer, error, chunks, None, row=row)


def spelled(data: bytes, **more: Any) -> Case:
    """A whole body, sent as one chunk."""
    return Case(chunked(data), is_stamped=False, **more)


def respelled(old: bytes, new: bytes) -> bytes:
    return b"".join((*TOKENS, *END)).replace(old, new)


def cut(data: bytes, size: int) -> Answer:
    return counted(*(data[k : k + size] for k in range(0, len(data), size)))


def http(status: str, body: bytes = SAID, *, more: str = "") -> Answer:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}"
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body]


BODY = b"".join((*TOKENS, *END))
HUGE = "x" * 3_000_000
EMOJI = "né€🙂"

CASES: dict[str, Case] = {
    "good": Case(GOOD, row={"n_out": 4, "n_in": 30, "tok_source": "usage_final",
                            "finish_reason": "stop", "num_events": 7}),
    # -- tokens ---------------------------------------------------------------------------------
    "role first": Case(chunked(event(delta(role="assistant", content="")), 0.02, *TOKENS, *END)),
    "role with null": Case(chunked(event(delta(role="assistant", content=None)), *TOKENS, *END)),
    "role each time": Case(chunked(
        *(Tok(event(delta(role="assistant", content=w))) for w in WORDS), *END)),
    "no finish field": Case(chunked(
        *(Tok(event({"choices": [{"delta": {"content": w}}]})) for w in WORDS), *END)),
    "finish with last token": Case(chunked(
        *TOKENS[:3], Tok(event(delta("length", content=WORDS[3]))), USAGE, DONE),
        row={"finish_reason": "length"}),
    "reasoning_content": Case(chunked(
        Tok(event(delta(reasoning_content="hm "))), *TOKENS[:3], *END),
        text="".join(WORDS[:3]), row={"n_out": 4}),
    "reasoning": Case(chunked(
        Tok(event(delta(reasoning="hm "))), *TOKENS[:3], *END), text="".join(WORDS[:3])),
    "both spellings": Case(chunked(
        Tok(event(delta(reasoning="hm ", reasoning_content="hm "))), *TOKENS[:3], *END),
        text="".join(WORDS[:3])),
    "reasoning only": Case(chunked(
        *(Tok(event(delta(reasoning_content=w))) for w in WORDS), *END), text="",
        row={"first_visible_ns": None}),
    "tool deltas": Case(chunked(
        Tok(event(delta(tool_calls=[{"index": 0, "id": "c", "type": "function",
                                     "function": {"name": "look", "arguments": ""}}]))),
        *(Tok(event(delta(tool_calls=[{"index": 0, "function": {"arguments": a}}])))
          for a in ('{"a"', ":", "1}")), event(delta("tool_calls")), USAGE, DONE),
        text="", row={"finish_reason": "tool_calls", "first_visible_ns": None}),
    "legacy function_call": Case(chunked(
        Tok(event(delta(function_call={"name": "look", "arguments": ""}))),
        *(Tok(event(delta(function_call={"arguments": a}))) for a in ('{"a"', ":", "1}")),
        event(delta("function_call")), USAGE, DONE),
        text="", row={"finish_reason": "function_call"}),
    "three choices": Case(chunked(*(
        Tok(event({"choices": [{"index": k, "delta": {"content": w}} for k in range(3)]}))
        for w in WORDS), *END), text="".join(w * 3 for w in WORDS)),
    "many tokens a chunk": Case(
        chunked(token("one two three "), token("four "), FINISH, event(usage(5)), DONE),
        chunks=2, row={"n_out": 5}),
    "empty deltas between": Case(chunked(
        TOKENS[0], event(delta()), event(delta(content="")), *TOKENS[1:], *END)),
    "empty choices first": Case(chunked(event({"choices": [], "prompt_filter_results": []}),
                                        *TOKENS, *END)),
    # -- usage ----------------------------------------------------------------------------------
    "no usage": Case(chunked(*TOKENS, FINISH, DONE), row={"n_out": None, "tok_source": "absent"}),
    "usage null throughout": Case(chunked(
        *(Tok(event(delta(content=w) | {"usage": None})) for w in WORDS), *END), row={"n_out": 4}),
    "usage zero": Case(chunked(*TOKENS, FINISH, event(usage(0)), DONE), row={"n_out": None}),
    "usage on every chunk": Case(chunked(
        *(Tok(event(delta(content=w) | {"usage": usage(k + 1)["usage"]}))
          for k, w in enumerate(WORDS)), *END),
        row={"n_out": 4, "tok_source": "usage_continuous", "chunk_tok": [1.0] * 4}),
    "total on every chunk": Case(chunked(
        *(Tok(event(delta(content=w) | {"usage": usage(4)["usage"]})) for w in WORDS), *END),
        row={"n_out": 4, "tok_source": "usage_final"}),
    "usage by other names": Case(chunked(
        *TOKENS, FINISH, event({"choices": [], "usage": {"input_tokens": 30, "output_tokens": 4}}),
        DONE), row={"n_out": 4, "n_in": 30}),
    "usage after done": Case(chunked(*TOKENS, FINISH, DONE, USAGE), row={"n_out": None}),
    "usage in the finish": Case(chunked(
        *TOKENS, event(delta("stop") | {"usage": usage(4)["usage"]}), DONE), row={"n_out": 4}),
    "usage of x_groq": Case(chunked(
        *TOKENS, event(delta("stop") | {"x_groq": {"usage": usage(4)["usage"]}}), DONE),
        row={"n_out": 4, "n_in": 30}),
    "echo of the limit": Case(chunked(token("a"), FINISH, event(usage(ASKED)), DONE),
                              chunks=1, text="a", row={"n_out": None}),
    "cached in details": Case(chunked(*TOKENS, FINISH, event(usage(
        4, prompt_tokens_details={"cached_tokens": 20})), DONE), row={"cached_tok": 20}),
    "cached of deepseek": Case(chunked(*TOKENS, FINISH, event(usage(
        4, prompt_cache_hit_tokens=20, prompt_cache_miss_tokens=10)), DONE),
        row={"cached_tok": 20, "n_in": 30}),
    "cached of moonshot": Case(chunked(*TOKENS, FINISH, event(usage(4, cached_tokens=20)), DONE),
                               row={"cached_tok": 20}),
    "cached of anthropic": Case(chunked(*TOKENS, FINISH, event({"choices": [], "usage": {
        "input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 20}}), DONE),
        row={"cached_tok": 20, "n_in": 30}),
    "cached null": Case(chunked(*TOKENS, FINISH, event(usage(
        4, prompt_tokens_details=None)), DONE), row={"cached_tok": None}),
    # -- numbers and texts that no column holds ------------------------------------------------
    "count beyond 32 bits": Case(chunked(*TOKENS, FINISH, event(usage(10**12)), DONE),
                                 row={"n_out": None, "tok_source": "absent"}),
    "count beyond 64 bits": Case(chunked(*TOKENS, FINISH, event(usage(4, n_in=10**30)), DONE),
                                 row={"n_out": 4, "n_in": None}),
    "infinite count": Case(chunked(*TOKENS, FINISH, event(
        '{"choices": [], "usage": {"completion_tokens": 1e999, "prompt_tokens": Infinity}}'),
        DONE), row={"n_out": None, "n_in": None}),
    "counts that jump": Case(chunked(
        Tok(event(delta(content=WORDS[0]) | {"usage": usage(10**25)["usage"]})), *TOKENS[1:], *END),
        row={"n_out": 4}),
    "negative counts": Case(chunked(*TOKENS, FINISH, event(usage(-4, n_in=-1)), DONE),
                            row={"n_out": None, "n_in": None}),
    "half a surrogate pair": Case(chunked(Tok(event(delta(content="\ud800"))), *TOKENS[1:], *END),
                                  text=None, row={"n_out": 4}),
    "nul in the text": Case(chunked(token("a\0b"), *TOKENS[1:], *END),
                            text="a\0b" + "".join(WORDS[1:])),
    "odd finish reason": Case(chunked(*TOKENS, event(delta("\ud800" * 3)), USAGE, DONE)),
    "finish reason of 100 kB": Case(chunked(*TOKENS, event(delta("s" * 100_000)), USAGE, DONE)),
    "odd timings": Case(chunked(*TOKENS, event(delta("stop") | {"timings": {
        "queue_ms": 10**400, "\ud800": 1.0, "prefill_ms": 1e308}}), USAGE, DONE)),
    "odd error": failed(chunked(TOKENS[0], event({"error": {"message": "\ud800 no"}})),
                        "stream_error", 1),
    "odd header": Case(chunked(*TOKENS, *END, head=CHUNKED.replace(
        b"\r\n\r\n", b"\r\nX-Harness-Fault: \xff\x00\r\nRetry-After: 1e400\r\n\r\n"))),
    "nested beyond reason": failed(chunked(
        TOKENS[0], event("[" * 100_000), event('{"a":' * 100_000)), "malformed", 1),
    "an error nested beyond reason": failed(http("200 OK", b'{"error":' * 100_000), "malformed"),
    "a length of 5,000 digits": failed([HEAD + b"Content-Length: %s\r\n\r\n" % (b"9" * 5_000)],
                                       "malformed"),
    "a count of 5,000 digits": failed(chunked(*(
        Tok(event(json.dumps(delta(content="a") | {"usage": {"completion_tokens": 1}}).replace(
            ": 1}", f": {digits}}}"))) for digits in ("1", "2", "3" * 5_000)), *END),
        "malformed", 2),
    "odd retry date": failed(http("429 No", more="Retry-After: 31 Dec 9999 23:59:59 -2300\r\n"),
                             "throttled"),
    # -- event streams --------------------------------------------------------------------------
    "crlf": spelled(respelled(b"\n", b"\r\n")),
    "cr": spelled(respelled(b"\n", b"\r")),
    "no space": spelled(respelled(b"data: ", b"data:")),
    "two spaces": spelled(respelled(b"data: {", b"data:  {")),
    "bom": spelled(b"\xef\xbb\xbf" + BODY),
    "comments": spelled(respelled(b"data: ", b": keep-alive\n\n:\ndata: ")),
    "line breaks in the json": spelled(respelled(b'{"choices"', b'{\ndata: "choices"')),
    "multi-line crlf": spelled(
        respelled(b'{"choices"', b'{\ndata: "choices"').replace(b"\n", b"\r\n")),
    "mixed line ends": spelled(BODY.replace(b"\n\n", b"\r\n\n", 2).replace(b"\n\n", b"\r\r", 1)),
    "three line feeds": spelled(respelled(b"\n\n", b"\n\n\n\n")),
    "all fields": spelled(respelled(b"data: ", b"id: 7\nretry: 10\nevent: message\nfoo\ndata: ")),
    "no last blank line": spelled(BODY.rstrip(b"\n")),
    "no done": spelled(b"".join((*TOKENS, FINISH, USAGE))),
    "no done, no last blank line": spelled(b"".join((*TOKENS, USAGE, FINISH)).rstrip(b"\n")),
    "done without space": spelled(respelled(b"data: [DONE]", b"data:[DONE]")),
    "seven bytes a segment": Case(cut(BODY, 7), is_stamped=False),
    "one byte a segment": Case(cut(b"".join((token(EMOJI), FINISH, event(usage(1)))), 1),
                               chunks=1, text=EMOJI, is_stamped=False, row={"n_out": 1}),
    "utf-8 unescaped, cut": Case(
        cut(event(json.dumps(delta(content=EMOJI * 4), ensure_ascii=False)) + FINISH, 3),
        chunks=1, text=EMOJI * 4, is_stamped=False),
    "all in one segment": Case(counted(BODY), is_stamped=False,
                               row={"num_receives": 2, "num_coalesced": 3}),
    "head with the body": Case([CHUNKED + b"".join(map(chunk, (*TOKENS, *END))) + b"0\r\n\r\n"],
                               is_stamped=False, row={"num_receives": 1}),
    "events of megabytes": Case(chunked(token(HUGE), token("end"), *END), chunks=2,
                                text=HUGE + "end", row={"n_out": 4}),
    "charset": Case(chunked(*TOKENS, *END, head=CHUNKED.replace(
        b"event-stream", b'Event-Stream; charset="utf-8"'))),
    "no content type": Case(chunked(
        *TOKENS, *END, head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")),
    # -- framing --------------------------------------------------------------------------------
    "extensions and trailers": Case([
        CHUNKED, *(Tok(chunk(t, b';a=b;c="d;e"')) for t in TOKENS), *map(chunk, END),
        b"0;last\r\nX-Sum: 1\r\nServer-Timing: total;dur=5\r\n\r\n"]),
    "leading zeros, upper case": Case([
        CHUNKED.replace(b"chunked", b"Chunked"),
        *(Tok(b"00%X\r\n%s\r\n" % (len(t), t)) for t in TOKENS), *map(chunk, END), b"000\r\n\r\n"]),
    "chunks across events": Case([CHUNKED, *(chunk(BODY[k : k + 50]) for k in range(
        0, len(BODY), 50)), b"0\r\n\r\n"], is_stamped=False),
    "the end looks like data": Case(chunked(
        *TOKENS[:3], token("0\r\n\r\n"), *END), text="".join(WORDS[:3]) + "0\r\n\r\n"),
    "counted": Case(counted(*TOKENS, *END)),
    "same length twice": Case(counted(*TOKENS, *END, head=HEAD + b"Content-Length: %d\r\n"
                                      % len(BODY))),
    "two lengths": failed(counted(*TOKENS, *END, head=HEAD + b"Content-Length: 3\r\n"),
                          "malformed"),
    "length and chunked": Case(chunked(*TOKENS, *END, head=HEAD + b"Content-Length: 3\r\n"
                                       b"Transfer-Encoding: chunked\r\n\r\n")),
    "until close": Case([UNTIL_CLOSE, *TOKENS, *END, CLOSE]),
    "until half close": Case([UNTIL_CLOSE, *TOKENS, *END, HALF_CLOSE, 0.1, CLOSE]),
    "http/1.0": Case([UNTIL_CLOSE.replace(b"1.1", b"1.0"), *TOKENS, *END, CLOSE]),
    "connection close": Case([*chunked(*TOKENS, *END, head=CLOSING), CLOSE]),
    "half close after the end": Case([*GOOD, HALF_CLOSE, 0.1, CLOSE]),
    "interim answers": Case([b"HTTP/1.1 100 Continue\r\n\r\n",
                             b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", *GOOD]),
    "reason missing": Case(chunked(*TOKENS, *END, head=CHUNKED.replace(b"200 OK", b"200 "))),
    "no reason, no blank": Case(chunked(*TOKENS, *END, head=CHUNKED.replace(b"200 OK", b"200"))),
    "folded header": Case(chunked(*TOKENS, *END, head=CHUNKED.replace(
        b"\r\n\r\n", b"\r\nX-Long: a\r\n b\r\n\r\n"))),
    "more after the end": Case([*GOOD[:-1], GOOD[-1] + b"HTTP/1.1 400 Bad\r\n\r\n"]),
    # -- errors ---------------------------------------------------------------------------------
    "error object mid-stream": failed(
        chunked(*TOKENS[:2], event({"error": {"message": "no room"}}), DONE), "stream_error", 2,
        status=200),
    "event: error": failed(chunked(*TOKENS[:2], b"event: error\n" + event({"message": "no room"})),
                           "stream_error", 2),
    "error beside choices": failed(chunked(
        *TOKENS[:2], event(delta("error", content="") | {"error": {"code": 502}})),
        "stream_error", 2),
    "200 with a json error": failed(http("200 OK"), "stream_error"),
    "200 with an error, as a stream": failed(
        [HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(SAID), SAID)], "stream_error"),
    "200 with an error, as text": failed(
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
         % (len(SAID), SAID)], "stream_error"),
    "plain json": failed(http("200 OK", json.dumps({"choices": [{"message": {
        "content": "all at once"}, "finish_reason": "stop"}], "usage": {}}).encode()), "malformed"),
    "html": failed(counted(b"<html></html>", head=b"HTTP/1.1 200 OK\r\nContent-Type: text/html"
                           b"\r\n"), "malformed"),
    "gzip": failed(counted(gzip.compress(BODY), head=HEAD + b"Content-Encoding: gzip\r\n"),
                   "malformed"),
    "not json": failed(chunked(*TOKENS[:2], event("{oops"), *TOKENS[2:], *END), "malformed", 4),
    "not http": failed([b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE], "malformed"),
    "bad chunk size": failed([CHUNKED, chunk(TOKENS[0]), b"xyz\r\n"], "malformed", 1),
    "chunk too long": failed([CHUNKED, chunk(TOKENS[0]), b"3\r\nabcdef\r\n"], "malformed", 1),
    "no finish": failed(chunked(*TOKENS, USAGE, DONE), "truncated", 4),
    "no last chunk": failed([*GOOD[:-1], CLOSE], "truncated", 4),
    "too short": failed([HEAD + b"Content-Length: 9999\r\n\r\n", *TOKENS, CLOSE], "truncated", 4),
    "until close, no finish": failed([UNTIL_CLOSE, *TOKENS, CLOSE], "truncated", 4),
    "empty": failed(chunked(FINISH, event(usage(0)), DONE), "empty"),
    "empty with role": failed(chunked(event(delta(role="assistant")), FINISH, DONE), "empty"),
    "no body": failed([HEAD + b"Content-Length: 0\r\n\r\n"], "truncated"),
    "204": failed([b"HTTP/1.1 204 No Content\r\n\r\n"], "truncated", status=204),
    "closed before the head": failed([CLOSE], "truncated", status=0),
    "reset before the head": failed([RESET], "truncated", status=0),
    "closed in the head": failed([HEAD[:30], CLOSE], "truncated", status=0),
    "reset in the head": failed([HEAD[:30], RESET], "truncated", status=0),
    "reset after the head": failed([CHUNKED, 0.01, RESET], "truncated", status=200),
    "reset mid-event": failed([CHUNKED, chunk(TOKENS[0]), chunk(TOKENS[1])[:20], 0.01, RESET],
                              "truncated", 1),
    "closed mid-event": failed([CHUNKED, chunk(TOKENS[0]), chunk(TOKENS[1][:20]), CLOSE],
                               "truncated", 1),
    "half close mid-event": failed([CHUNKED, chunk(TOKENS[0]), HALF_CLOSE, 0.1, CLOSE],
                                   "truncated", 1),
    "stall": failed([CHUNKED, *map(chunk, TOKENS[:2]), 2.0, CLOSE], "stalled", 2),
    "stall of comments": failed([CHUNKED, *map(chunk, TOKENS[:2]), *([0.1, chunk(b": ping\n\n")]
                                 * 20), CLOSE], "stalled", 2),
    "stall of roles": failed([CHUNKED, *map(chunk, TOKENS[:2]), *(
        [0.1, chunk(event(delta(content="")))] * 20), CLOSE], "stalled", 2),
    "slow head": failed([2.0, CLOSE], "timeout_first_byte"),
    "head, then silence": failed([CHUNKED, 2.0, CLOSE], "timeout_first_byte", status=200),
    "400": failed(http("400 Bad Request"), "http_4xx", status=400),
    "401 until close": failed([b"HTTP/1.1 401 Unauthorized\r\n\r\nno", CLOSE], "http_4xx"),
    "429": failed(http("429 Too Many Requests"), "throttled", retry_after_s=None),
    "429, seconds": failed(http("429 Too Many Requests", more="Retry-After: 7\r\n"), "throttled",
                           retry_after_s=7.0),
    "429, a past date": failed(http("429 Too Many Requests", more="Retry-After: Wed, 21 Oct 2015 "
                                    "07:28:00 GMT\r\n"), "throttled", retry_after_s=0.0),
    "500": failed(http("500 Oh"), "http_5xx", status=500),
    "503, cut": failed([b"HTTP/1.1 503 Busy\r\nContent-Length: 900\r\n\r\nabc", CLOSE],
                       "http_5xx", status=503),
    "301": failed(http("301 Moved", more="Location: /v2\r\n"), "http_4xx", status=301),
    "307": failed(http("307 Temporary", more="Location: http://127.0.0.1:1/\r\n"), "http_4xx"),
    "308": failed(http("308 Permanent", more="Location: /v1/chat/completions\r\n"), "http_4xx"),
    "304": failed([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"], "http_4xx"),
}  # fmt: skip


@dataclass
class Told:
    """texts: of the answers, None where they were not kept."""

    server: RawServer
    rows: dict[str, dict[str, Any]]
    texts: dict[str, str] | None


@pytest.fixture(scope="module", params=["read", "kept"])
def told(
    request: pytest.FixtureRequest, load_process: LoadProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Told:  # fmt: skip
    """Answers whose text is kept are read by other code than those whose is not."""
    samples = 1000 if request.param == "kept" else 0
    return run_raw(load_process, tmp_path_factory.mktemp("raw"), CASES, samples=samples)


def run_raw(
    process: LoadProcess, folder: Path, cases: Mapping[str, Case], rate: int = 20,
    samples: int = 0, **server: Any,
) -> Told:  # fmt: skip
    names = list(cases)

    def answer_of(ordinal: int, _: int) -> Answer:
        return cases[names[ordinal]].answer if ordinal < len(names) else GOOD

    limits = {"first_byte": "700ms", "token_idle": "700ms", "total": "20s"}
    load = open_load(rate, len(cases), cooldown="10s", drain="5s")

    def act(folder: Path) -> tuple[Point, RawServer]:
        with RawServer(answer_of, **server) as raw:
            scenario = scenario_of(raw.base_url, load, target={"timeout": limits}, out=ASKED)
            return drive(process, make_plan(folder, scenario, samples=samples)), raw

    point, raw = undisturbed(folder, act)
    rows = {row["ordinal"]: row for row in point.rows}
    assert len(rows) == len(point.rows)
    by_name = {name: rows[k] for k, name in enumerate(names)}
    if not samples:
        return Told(raw, by_name, None)
    lines = (folder / "samples.jsonl").read_text("utf-8").splitlines()
    texts = {row["request_id"]: row["visible"] for row in map(json.loads, lines)}
    return Told(raw, by_name, {n: texts.get(r["request_id"], "") for n, r in by_name.items()})


@pytest.mark.parametrize("name", CASES)
def test_the_record_tells_what_the_server_said(told: Told, name: str) -> None:
    case, row = CASES[name], told.rows[name]
    found = (row["error_class"], len(row["chunk_ns"]))
    assert found == (case.error, case.chunks), row["error_detail"]
    assert {key: row[key] for key in case.row} == case.row
    if case.text is not None and told.texts is not None:
        assert told.texts[name] == case.text
    assert told.server.asked[row["request_id"]] == 1


def test_stamps_are_those_of_the_bytes(told: Told) -> None:
    """Never before they were sent; and, a piece every 2 ms, the medians are not a later piece's."""
    lates, ends = [], []
    for name, case in CASES.items():
        row = told.rows[name]
        if case.error:
            continue
        ends.append(row["end_ns"] - told.server.last_sent[row["request_id"]])
        assert ends[-1] > -0.05 * MS, name
        if case.is_stamped:
            sent = told.server.sent[row["request_id"]]
            late = [stamp - at for stamp, at in zip(row["chunk_ns"], sent, strict=True)]
            assert min(late) > -0.05 * MS, name
            lates += late
    assert median(lates) < 2 * MS
    assert median(ends) < 2 * MS


UNREADABLE = """
import harness.load.recorder as recorder
%s = recorder.%s
def fails(exchanges, *given, **more):
    for exchange in exchanges if isinstance(exchanges, list) else [exchanges]:
        if exchange.arrival.ordinal == 1 and exchange.fault is None:
            raise ValueError("an answer nobody thought of")
    return %s(exchanges, *given, **more)
recorder.%s = fails
"""


@pytest.mark.parametrize("step", ["absorb", "make_records"])
def test_an_answer_that_we_cannot_read_is_our_fault_and_ends_no_load(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = dict.fromkeys(("first", "second", "third"), Case(GOOD))
    with launched(tmp_path, UNREADABLE % ((step,) * 4), monkeypatch) as process:
        told = run_raw(process, tmp_path / "point", cases)
    assert [row["error_class"] for row in told.rows.values()] == ["", "client_fault", ""]
    assert "ValueError: an answer nobody thought of" in told.rows["second"]["error_detail"]

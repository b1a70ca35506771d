"""Ask an endpoint, before any load, whether it answers and which optional fields it takes.

Uses the standard library only, so the command line stays free of locust. Every way to fail becomes
a TargetError that names the cause and the next step. A field that is answered with 400 is dropped
and recorded; nothing here is a measurement but the round-trip time of the TCP handshake.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from typing import Any, Literal

from harness.errors import TargetError
from harness.load._probe_http import Reply, Target, refuse
from harness.load._probe_whole import answers_whole
from harness.load.facts import TargetFacts
from harness.load.sse import read_events
from harness.scenario.document import Timeouts

HANG_S = 10.0  # longest wait for a connection or the model list
FIRST_ANSWER_S = 60.0  # a cold model may compile before its first token
NUM_RTT = 5
MOST_LIMITS = 32
_HIDDEN = ("cookie", "auth", "key", "token", "secret", "organization", "project", "request-id")
Api = Literal["chat", "completions", "embeddings", "transcriptions"]


def probe_target(
    base_url: str,
    model: str = "auto",
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeouts: Timeouts | None = None,
    api: Api = "chat",
) -> TargetFacts:
    """What the endpoint at base_url (up to and including /v1) is and takes.

    model `auto` is the first of its list. Raises TargetError: dns, refused, tls, timeout, 401 or
    403, unknown model, 5xx, or an answer that is not the protocol.
    """
    limits = timeouts or Timeouts()
    target = Target(base_url, api_key, dict(headers or {}), min(limits.connect, HANG_S))
    addresses = target.resolve()
    rtt_ns = _round_trip_ns(target)
    listed = target.get("/models", HANG_S)
    models = _model_ids(target, listed)
    chosen = _choose(target, model, models, listed)
    if api in ("embeddings", "transcriptions"):  # no stream, and none of the fields of one
        has_usage = answers_whole(target, chosen, api, min(limits.first_byte, FIRST_ANSWER_S))
        return TargetFacts(
            base_url=base_url.rstrip("/"), model=chosen, api=api, models=models,
            addresses=addresses, rtt_ns=rtt_ns, server=listed.headers.get("server", ""),
            headers=_safe(target, listed.headers), takes_stream_options=False, has_usage=has_usage,
            keeps_connections=target.keeps_connections, limits=_served_limits(listed, chosen),
        )  # fmt: skip
    fields, answer = _negotiate(target, chosen, api, min(limits.first_byte, FIRST_ANSWER_S), models)
    usage = [isinstance(event.get("usage"), dict) for event in answer]
    spoken = [e for e in answer if any(_has_text(c) for c in _choices(e))]
    asked_options = fields.get("stream_options", {})
    dropped = tuple(name for name in _optional(api) if not _is_in(name, fields))
    return TargetFacts(
        base_url=base_url.rstrip("/"),
        model=chosen,
        api=api,
        models=models,
        addresses=addresses,
        rtt_ns=rtt_ns,
        server=listed.headers.get("server", ""),
        headers=_safe(target, listed.headers),
        takes_stream_options="stream_options" in fields,
        takes_continuous_usage="continuous_usage_stats" in asked_options,
        has_usage=any(usage),
        has_continuous_usage=bool(spoken) and all(e.get("usage") for e in spoken),
        takes_ignore_eos="ignore_eos" in fields,
        takes_min_tokens="min_tokens" in fields,
        uses_max_completion_tokens="max_completion_tokens" in fields,
        keeps_connections=target.keeps_connections,
        dropped=dropped,
        limits=_served_limits(listed, chosen),
    )


def _round_trip_ns(target: Target) -> int:
    """Median time of a TCP handshake, ns."""
    times = []
    for _ in range(NUM_RTT):
        begin = time.monotonic_ns()
        target.connect().close()
        times.append(time.monotonic_ns() - begin)
    return int(statistics.median(times))


def _model_ids(target: Target, reply: Reply) -> tuple[str, ...]:
    """Ids of /models; empty where the endpoint has no such list."""
    if reply.status in (404, 405, 501):
        return ()
    if reply.status != 200:
        refuse(target, reply, "the list of models")
    try:
        return tuple(str(row["id"]) for row in json.loads(reply.body)["data"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TargetError(
            "the endpoint does not speak the OpenAI protocol",
            where=f"{target.shown}/models",
            why="its answer is not a list of models",
            do="give the base URL up to and including /v1",
        ) from None


def _served_limits(reply: Reply, model: str) -> dict[str, int]:
    """Whole numbers that the list gives for the model: `max_model_len` (ours, vLLM's), and the
    reference engine's `engine.limits`; empty where it gives none."""
    try:
        rows = json.loads(reply.body)["data"]
        row = next(row for row in rows if row["id"] == model)
        told = {"max_model_len": row.get("max_model_len")}
        told |= row.get("engine", {}).get("limits", {})
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
        return {}
    return {
        str(name)[:60]: value
        for name, value in list(told.items())[:MOST_LIMITS]
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
    }


def _choose(target: Target, model: str, models: tuple[str, ...], reply: Reply) -> str:
    if model != "auto":
        return model
    if models:
        return models[0]
    raise TargetError(
        "no model to ask",
        where=f"{target.shown}/models",
        why=f"the endpoint lists none (status {reply.status})",
        do="name one with --model",
    )


def _optional(api: Api) -> tuple[str, ...]:
    return ("stream_options", "continuous_usage_stats", "ignore_eos", "min_tokens")


def _body(model: str, api: Api, wanted: tuple[str, ...], limit_name: str) -> dict[str, Any]:
    """A request of a few tokens with these optional fields."""
    text = "Say hello."
    body: dict[str, Any] = {"model": model, "stream": True, limit_name: 4}
    if api == "chat":
        body["messages"] = [{"role": "user", "content": text}]
    else:
        body["prompt"] = text
    if "stream_options" in wanted:
        body["stream_options"] = {"include_usage": True}
        if "continuous_usage_stats" in wanted:
            body["stream_options"]["continuous_usage_stats"] = True
    for name, value in (("ignore_eos", True), ("min_tokens", 4)):
        if name in wanted:
            body[name] = value
    return body


def _negotiate(
    target: Target, model: str, api: Api, wait_s: float, models: tuple[str, ...]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The largest request the endpoint takes and the events of its answer.

    A refusal that names a field drops it. One that names none starts again from the bare request
    and adds the fields one by one.
    """
    path = "/chat/completions" if api == "chat" else "/completions"
    wanted, limit_name = _optional(api), "max_tokens"
    while True:
        body = _body(model, api, wanted, limit_name)
        reply = target.post(path, body, wait_s)
        if reply.status == 200:
            return body, _events(target, path, reply)
        if reply.status not in (400, 422):
            refuse(target, reply, f"model '{model}'", models)
        named = _blamed(reply.text, wanted, limit_name)
        if named == "max_tokens":
            limit_name = "max_completion_tokens"
        elif named:
            wanted = tuple(n for n in wanted if n != named)
        else:
            break
    kept: tuple[str, ...] = ()
    reply = target.post(path, _body(model, api, kept, limit_name), wait_s)
    if reply.status in (400, 422) and limit_name == "max_tokens":
        limit_name = "max_completion_tokens"
        reply = target.post(path, _body(model, api, kept, limit_name), wait_s)
    if reply.status != 200:
        refuse(target, reply, f"model '{model}'", models)
    for name in _optional(api):
        asked = _body(model, api, (*kept, name), limit_name)
        if name == "continuous_usage_stats" and "stream_options" not in kept:
            continue
        tried = target.post(path, asked, wait_s)
        if tried.status == 200:
            kept, reply = (*kept, name), tried
    return _body(model, api, kept, limit_name), _events(target, path, reply)


def _blamed(text: str, wanted: tuple[str, ...], limit_name: str) -> str:
    """The field a refusal names, or nothing; the innermost field first."""
    if limit_name == "max_tokens" and "max_completion_tokens" in text:
        return "max_tokens"
    for name in ("continuous_usage_stats", "ignore_eos", "min_tokens", "stream_options"):
        if name in wanted and name in text:
            return name
    return ""


def _events(target: Target, path: str, reply: Reply) -> list[dict[str, Any]]:
    """The JSON objects of a small event stream, read as those of the load are."""
    where = f"{target.shown}{path}"
    coding = reply.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise TargetError(
            "the endpoint compresses its stream", where=where,
            why=f"content-encoding {coding} though identity was asked for",
            do="switch compression off for this path",
        )  # fmt: skip
    found, error = _read_stream(reply.body)
    whole = _json_of(reply.body)
    if error is None and isinstance(whole, dict):
        error = whole.get("error")
    if error is None and "event-stream" not in reply.headers.get("content-type", "event-stream"):
        raise TargetError(
            "the endpoint does not stream",
            where=where,
            why=f"asked for an event stream, it sent {reply.headers['content-type']}",
            do="aim at an endpoint that supports stream: true",
        )
    if error is not None or not found:
        raise TargetError(
            "the endpoint refused a tiny request",
            where=where,
            why=target.redact(json.dumps(error)[:300]) if error else "its stream held no event",
            do="send the same request with curl and see the endpoint's log",
        )
    return found


def _read_stream(body: bytes) -> tuple[list[dict[str, Any]], Any]:
    """Objects up to the end mark, and the error that one of them is, None for none."""
    events, found, error = read_events(body), [], None
    for index, data in enumerate(events.data):
        if data.startswith(b"[DONE]"):
            break
        value = _json_of(data)
        if events.names.get(index) == "error":
            error = error or value or data.decode("utf-8", "replace") or "an error event"
        if isinstance(value, dict):
            found.append(value)
            error = error or value.get("error") or None
    return found, error


def _json_of(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _choices(event: dict[str, Any]) -> list[Any]:
    choices = event.get("choices")
    return choices if isinstance(choices, list) else []


def _has_text(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta") or choice
    names = ("content", "text", "reasoning_content", "reasoning", "refusal")
    return isinstance(delta, dict) and any(delta.get(name) for name in names)


def _is_in(name: str, fields: dict[str, Any]) -> bool:
    return name in fields or name in fields.get("stream_options", {})


def _safe(target: Target, headers: Mapping[str, str]) -> dict[str, str]:
    """Reply headers without anything that names an account or opens a door."""
    return {
        name: target.redact(value)[:200]
        for name, value in sorted(headers.items())
        if not any(part in name for part in _HIDDEN)
    }

"""Ask an endpoint that answers without a stream whether it is there, with one small request."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from harness.errors import TargetError
from harness.load._probe_http import Reply, Target, refuse
from harness.load.dialects import DIALECTS
from harness.load.dialects.transcriptions import form_of
from harness.traffic import short_clip

_NOT_THERE = (404, 405, 501)
_WHAT = {"embeddings": "embeddings", "transcriptions": "transcriptions of audio"}


def small_body(api: str, model: str, text: str) -> dict[str, Any]:
    """A request about one text."""
    return {"model": model, "input": [text]}


def answers_whole(target: Target, model: str, api: str, wait_s: float) -> bool:
    """Whether its answer tells a usage. Raises TargetError where it has none to give."""
    path = DIALECTS[api].path
    if api == "transcriptions":
        form = form_of({"model": model, "response_format": "json"}, short_clip())
        reply = target.post_form(path, form, DIALECTS[api].content_type, wait_s)
    else:
        reply = target.post(path, small_body(api, model, "Say hello."), wait_s)
    if reply.status in _NOT_THERE:
        _refuse_all(target, reply, api, model)
    if reply.status != 200:
        refuse(target, reply, f"model '{model}' for {_WHAT[api]}")
    found = DIALECTS[api].read_whole(reply.body)
    if found.error or found.problem or (api == "embeddings" and not found.num_vectors):
        why = json.dumps(found.error)[:300] if found.error else found.problem
        raise TargetError(
            f"the endpoint's answer holds no {_WHAT[api]}",
            where=f"{target.shown}{path}",
            why=target.redact(why) if why else "its list of vectors is empty",
            do="send the same request with curl and see the endpoint's log",
        )
    return isinstance(found.usage, dict)


def _refuse_all(target: Target, reply: Reply, api: str, model: str) -> NoReturn:
    said = target.redact(" ".join(reply.text.split()))[:200]
    raise TargetError(
        f"the endpoint has no {_WHAT[api]}, at least not of model '{model}'",
        where=f"{target.shown}{DIALECTS[api].path}",
        why=f"status {reply.status}: {said}" if said else f"status {reply.status}",
        do=f"aim at an endpoint that serves {_WHAT[api]}, or name its model with --model",
    )

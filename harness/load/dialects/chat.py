"""/chat/completions: messages in, deltas of content, reasoning, refusal and tool calls out."""

from __future__ import annotations

from typing import Any

from harness.load.dialects.base import (
    BESIDE,
    NOTHING,
    Body,
    Delta,
    Streamed,
    common_fields,
    split_at_salt,
)
from harness.load.facts import TargetFacts
from harness.load.shapes import Shapes
from harness.traffic import Content


class Chat(Streamed):
    shapes = Shapes(("choices", 0, "delta", "content"))
    path = "/chat/completions"

    def encode(self, content: Content, facts: TargetFacts, model: str) -> Body:
        messages = [{"role": role, "content": text} for role, text in content.messages]
        if content.system is not None:
            messages.insert(0, {"role": "system", "content": content.system})
        body = common_fields(content, facts, model) | {"messages": messages}
        return split_at_salt(body, content.salted)

    def plain_text(self, event: dict[str, Any]) -> str | None:
        try:
            (choice,) = event["choices"]
            delta = choice["delta"]
            text = delta["content"]
            if choice["finish_reason"] or len(delta) > 1 or "error" in event:
                return None
        except (KeyError, TypeError, ValueError):
            return None
        return text if type(text) is str and text and BESIDE.isdisjoint(event) else None

    def read(self, event: dict[str, Any]) -> Delta:
        choices = event.get("choices")
        if not choices:
            return NOTHING
        if len(choices) == 1:
            return _read_choice(choices[0])
        # n > 1 is never asked for; should it come, all text counts
        parts = [_read_choice(choice) for choice in choices]
        visible, hidden, call = ("".join(p[k] for p in parts) for k in range(3))
        return Delta(visible, hidden, call, next((p.finish for p in parts if p.finish), ""))


def _read_choice(choice: dict[str, Any]) -> Delta:
    finish = choice.get("finish_reason") or ""
    # some servers put a whole message where a delta belongs
    delta = choice.get("delta") or choice.get("message")
    if not delta:
        return Delta("", "", "", finish) if finish else NOTHING
    visible = delta.get("content") or ""
    if not isinstance(visible, str):
        visible = "".join(part.get("text", "") for part in visible)
    if delta.get("refusal"):
        visible += delta["refusal"]
    hidden = delta.get("reasoning_content") or delta.get("reasoning") or ""
    call = "".join(map(_call_text, delta["tool_calls"])) if delta.get("tool_calls") else ""
    if delta.get("function_call"):  # what came before tool_calls
        call += _call_text({"function": delta["function_call"]})
    return Delta(visible, hidden, call, finish)


def _call_text(call: dict[str, Any]) -> str:
    function = call.get("function") or {}
    return (function.get("name") or "") + (function.get("arguments") or "")

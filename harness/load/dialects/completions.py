"""/completions: one prompt in, text out."""

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


class Completions(Streamed):
    shapes = Shapes(("choices", 0, "text"))
    path = "/completions"

    def encode(self, content: Content, facts: TargetFacts, model: str) -> Body:
        body = common_fields(content, facts, model) | {"prompt": content.prompt or ""}
        return split_at_salt(body, content.salted)

    def plain_text(self, event: dict[str, Any]) -> str | None:
        try:
            (choice,) = event["choices"]
            text = choice["text"]
            if choice["finish_reason"] or "error" in event:
                return None
        except (KeyError, TypeError, ValueError):
            return None
        return text if type(text) is str and text and BESIDE.isdisjoint(event) else None

    def read(self, event: dict[str, Any]) -> Delta:
        choices = event.get("choices")
        if not choices:
            return NOTHING
        text = "".join(choice.get("text") or "" for choice in choices)
        finish = next((c["finish_reason"] for c in choices if c.get("finish_reason")), "")
        return Delta(text, "", "", finish)

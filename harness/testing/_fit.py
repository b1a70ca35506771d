"""Answers that fit what a request asks for: a call of an offered tool, or a document of a schema.

Instances are the smallest that the common keywords allow; the endpoint only has to look like a
model that keeps to its schema, or, where a script says so, like one that does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

PIECE_CHARS = 4  # of one token


@dataclass(frozen=True, slots=True)
class Fitting:
    """The tokens of a fitting answer. name: of the function called, None for a document."""

    name: str | None
    pieces: tuple[str, ...]


def fitting(body: dict[str, Any], *, is_wrong: bool) -> Fitting | None:
    """What a chat request asks for; None where any text will do. is_wrong: miss the schema."""
    tools, choice = body.get("tools"), body.get("tool_choice", "auto")
    if isinstance(tools, list) and tools and choice != "none":
        named = choice["function"]["name"] if isinstance(choice, dict) else None
        functions = [tool["function"] for tool in tools]
        function = next((f for f in functions if f["name"] == named), functions[0])
        arguments = _instance(function.get("parameters", {"type": "object"}))
        # the first token is the name
        pieces = _pieces({"wrong": None} if is_wrong else arguments)
        return Fitting("no_such_function" if is_wrong else function["name"], ("", *pieces))
    wanted = body.get("response_format") or {}
    schema = wanted.get("json_schema", {}).get("schema") or wanted.get("schema")
    if isinstance(schema, dict):
        return Fitting(None, _pieces([["wrong"]] if is_wrong else _instance(schema)))
    return None


def _pieces(value: Any) -> tuple[str, ...]:
    text = json.dumps(value)
    return tuple(text[i : i + PIECE_CHARS] for i in range(0, len(text), PIECE_CHARS))


def _instance(schema: dict[str, Any]) -> Any:
    """A small value of the schema."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return _instance(schema[name][0])
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            known = schema.get("properties", {})
            return {name: _instance(known.get(name, {})) for name in schema.get("required", ())}
        case "array":
            return [_instance(schema.get("items", {}))] * max(1, schema.get("minItems", 0))
        case "string":
            return "x" * max(5, schema.get("minLength", 0))
        case "integer" | "number":
            return schema.get("minimum", 7)
        case "boolean":
            return True
    return None

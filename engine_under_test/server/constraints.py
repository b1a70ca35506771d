"""What a request demands of its answer's form: response_format and tool_choice to a Constraint.

`required` and named choices make the whole answer calls. With `auto` text stays free, and the
grammar sets in once the model opens a call: it names an offered function, with arguments of that
function's schema. So whatever the parser of tools.py takes for a call is one.
"""

from __future__ import annotations

import json
from typing import Any

from .call_grammar import ANY_OBJECT, MAX_CALLS, Callable, Constraint, Marks
from .errors import bad_request
from .protocol import ChatBody, GenerationBody

MAX_SCHEMA_CHARS = 512 * 1024
_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def constraint(body: GenerationBody, marks: Marks) -> Constraint | None:
    """What the body demands; None where the model may write anything. Raises ApiError."""
    answer = _answer_schema(body.response_format)
    if not isinstance(body, ChatBody) or not (body.callable_tools or body.must_call):
        return None if answer is None else Constraint(answer, marks=marks)
    is_single = body.named_function is not None or not body.parallel_tool_calls
    functions = tuple(_function(n, tool, body.must_call) for n, tool in _allowed(body))
    if body.must_call:
        return Constraint(None, functions, 1 if is_single else MAX_CALLS, marks=marks)
    if answer is not None:
        return Constraint(answer, functions, 1 if is_single else MAX_CALLS, marks=marks)
    stops = tuple(i for i in body.stop_token_ids if i in marks.special_ids)
    return Constraint(None, functions, 1 if is_single else None, True, stops, marks)


def _answer_schema(wanted: dict[str, Any]) -> str | None:
    """The schema that response_format gives in any of its forms, as text."""
    field, kind = "response_format", wanted.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return _text(wanted.get("schema") or ANY_OBJECT, field)
    if kind != "json_schema":
        raise bad_request(
            f"'{field}.type' {str(kind)[:40]!r} is not supported: use text, json_object or "
            "json_schema",
            field,
            "unsupported_parameter",
        )
    described = wanted.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict | bool):
        raise bad_request(f"'{field}.json_schema.schema' must be a JSON schema", field)
    return _text(described["schema"], field)


def _allowed(body: ChatBody) -> list[tuple[int, dict[str, Any]]]:
    """The tools that may be called, with their places in the request."""
    found, missing = list(enumerate(body.tools)), "there are none"
    if (names := body.allowed_names) is not None:
        found = [(n, tool) for n, tool in found if tool["function"]["name"] in names]
        unknown = names - {tool["function"]["name"] for _, tool in found}
        if unknown and body.tools:
            missing, found = f"there is no '{min(unknown)[:80]}'", []
    if not found:
        raise bad_request(f"'tool_choice' needs 'tools' to choose from: {missing}", "tool_choice")
    return found


def _function(n: int, tool: dict[str, Any], must_call: bool) -> Callable:
    """Raises ApiError where its arguments are demanded and have no schema of an object."""
    function, field = tool["function"], f"tools.{n}.function.parameters"
    is_demanded = must_call or function.get("strict") is True
    schema = function.get("parameters")
    if schema is None:
        schema = _NO_ARGUMENTS
    if not isinstance(schema, dict) or "object" not in _types(schema):
        if is_demanded:
            raise bad_request(f"'{field}' must be the schema of an object", "tools")
        schema = ANY_OBJECT
    text = _text({**schema, "type": "object"}, "tools")
    return Callable(function["name"], text, field, is_demanded)


def _types(schema: dict[str, Any]) -> list[Any]:
    types = schema.get("type", "object")
    return types if isinstance(types, list) else [types]


def _text(schema: object, field: str) -> str:
    try:
        text = json.dumps(schema, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"a schema in '{field}' is no JSON: {error}", field) from error
    if len(text) > MAX_SCHEMA_CHARS:
        raise bad_request(f"a schema in '{field}' exceeds {MAX_SCHEMA_CHARS} characters", field)
    return text

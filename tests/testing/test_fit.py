"""The scripted endpoint answers offers of tools and schemas as it is asked to, or as scripted."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from harness.testing._fit import fitting

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 12}}, "required": ["a"]},
    {"type": "array", "items": {"type": "string", "minLength": 9}, "minItems": 3},
    {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    {"type": ["string", "null"]},
    {"const": {"b": [1]}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_documents_keep_their_schema_or_break_it(schema: dict[str, Any]) -> None:
    body = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    fit, wrong = fitting(body, is_wrong=False), fitting(body, is_wrong=True)
    assert fit is not None
    assert wrong is not None
    jsonschema.validate(json.loads("".join(fit.pieces)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads("".join(wrong.pieces)), schema)
    plain = fitting({"response_format": {"type": "json_object", "schema": schema}}, is_wrong=False)
    assert plain == fit


def test_calls_are_of_the_function_that_is_named_or_of_the_first() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    named = {"type": "function", "function": {"name": "g"}}
    for choice, name in ((named, "g"), ("required", "f"), ("auto", "f")):
        found = fitting({"tools": tools, "tool_choice": choice}, is_wrong=False)
        assert found is not None
        assert (found.name, "".join(found.pieces)) == (name, "{}")
    assert fitting({"tools": tools, "tool_choice": "none"}, is_wrong=False) is None
    assert fitting({"messages": []}, is_wrong=False) is None
    assert fitting({"response_format": {"type": "text"}}, is_wrong=False) is None

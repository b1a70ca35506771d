"""Reads what structured answers are held to: a list of tools, or a JSON schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.scenario._files import FileFault, open_text


def read_tools(path: Path) -> tuple[dict[str, Any], ...]:
    """Tools as the API takes them: functions with a name and a valid schema. Raises FileFault."""
    tools = _json(path)
    if not isinstance(tools, list) or not tools:
        raise FileFault(f"{path.name} is no list of tools")
    for n, tool in enumerate(tools):
        function: Any = tool.get("function") if isinstance(tool, dict) else None
        is_function = isinstance(function, dict) and isinstance(function.get("name"), str)
        if not is_function or tool.get("type") != "function":
            raise FileFault(
                f"tool {n} of {path.name} is not {{type: function, function: {{name: ...}}}}"
            )
        where = f"the parameters of {function['name']} in {path.name}"
        _check(function.get("parameters", {}), where)
    return tuple(tools)


def read_schema(path: Path) -> dict[str, Any]:
    """A JSON schema. Raises FileFault."""
    schema = _json(path)
    if not isinstance(schema, dict):
        raise FileFault(f"{path.name} is no JSON schema: expected an object")
    _check(schema, path.name)
    return schema


def _json(path: Path) -> Any:
    try:
        with open_text(path) as text:
            return json.load(text)
    except (ValueError, RecursionError) as error:
        raise FileFault(f"{path.name} is not JSON: {error}") from error


def _check(schema: Any, what: str) -> None:
    # here, so that scenarios without one load at once
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, dict):
        raise FileFault(f"{what}: expected a JSON schema")
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        raise FileFault(f"{what}: no valid JSON schema: {error.message[:200]}") from error

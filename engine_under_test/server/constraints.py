"""What a request demands of its answer's form, as a grammar: response_format and tool_choice.

`auto` is free text, read by the parser of tools.py; it needs a grammar only where a function is
`strict` or only one call is allowed. Everything else here makes the model write what that parser
reads, so that arguments always parse and validate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import RequestRefused
from ..schemas import check_schema
from .errors import bad_request
from .protocol import ChatBody, GenerationBody
from .tools import CLOSE, OPEN

MAX_CALLS = 16  # of one answer under a grammar
MAX_SCHEMA_CHARS = 512 * 1024
# The model keeps its own style of JSON, but cannot write white space for ever.
_OPTIONS = {"x-guidance": {"whitespace_pattern": r"\n?[ \t]{0,32}"}}
_ANY_OBJECT: dict[str, Any] = {"type": "object"}
_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class Callable(NamedTuple):
    """A function that may be called: its name and the schema of its arguments, as JSON text."""

    name: str
    parameters: str
    field: str


@dataclass(frozen=True, slots=True)
class Constraint:
    """One request's grammar before it is one. Equal constraints compile once.

    answer: the schema of a JSON answer, as text; None: no such answer is allowed.
    functions: those that may be called, 1 to max_calls times.
    has_text: text may stand around the calls, and instead of them.
    has_marker: the tokenizer has the call's brackets as tokens of their own.
    """

    answer: str | None = None
    functions: tuple[Callable, ...] = ()
    max_calls: int = MAX_CALLS
    has_text: bool = False
    has_marker: bool = False

    @property
    def field(self) -> str:
        """The request's field that asked for it."""
        return "response_format" if self.answer is not None else "tools"

    def lark(self) -> str:
        """The grammar. Raises RequestRefused that names the keyword it cannot keep."""
        rules, starts = [], []
        if self.answer is not None:
            starts.append("answer")
            rules.append(f"answer: {_json_rule(self.answer, 'response_format')}")
        if self.functions:
            starts.append("spoken" if self.has_text else "calls")
            rules += self._calls()
        return "\n".join([f"start: {' | '.join(starts)}", *rules, ""])

    def _calls(self) -> list[str]:
        names = [f"f{n}" for n in range(len(self.functions))]
        rules = [f"function: {' | '.join(names)}"]
        for name, function in zip(names, self.functions, strict=True):
            head = f'{{"name": {json.dumps(function.name)}, "arguments": '
            schema = _json_rule(function.parameters, function.field)
            rules.append(f'{name}: {_literal(head)} a_{name} "}}"\na_{name}: {schema}')
        opened, closed = (OPEN, CLOSE) if self.has_marker else map(_literal, (OPEN, CLOSE))
        rules.append(f'body: "\\n"? function "\\n"? {closed}')
        most = self.max_calls
        if not self.has_text:
            rules.append(
                f'calls: call ("\\n"? call){{0,{most - 1}}}' if most > 1 else "calls: call"
            )
            rules.append(f"call: {opened} body")
        elif self.has_marker:
            rules.append(
                f"spoken: TEXT? (call TEXT?){{0,{most}}}" if most > 1 else "spoken: TEXT? call?"
            )
            rules += [f"call: {opened} body", r"TEXT: /(.|\n)+/"]
        else:
            # A lazy rule ends where its last characters first appear, so no text holds a bracket.
            few = f"call{{0,{most - 1}}} TEXT" if most > 1 else "TEXT"
            rules.append(f"spoken: {few} | call{{{most}}}")
            rules += [f"call: opening body\nopening[lazy]: TEXT {opened}", r"TEXT: /(.|\n)*/"]
        return rules


def constraint(body: GenerationBody, has_marker: bool) -> Constraint | None:
    """What the body demands; None where the model may write anything. Raises ApiError."""
    answer = _answer_schema(body.response_format)
    functions: tuple[Callable, ...] = ()
    has_text, max_calls = False, MAX_CALLS
    if isinstance(body, ChatBody):
        max_calls = MAX_CALLS if body.parallel_tool_calls else 1
        if body.must_call:
            answer = None
            if body.called_name is not None:
                max_calls = 1
            functions = tuple(_function(n, t, True) for n, t in _named(body))
        elif body.callable_tools and (
            answer is not None or max_calls == 1 or any(map(_is_strict, body.callable_tools))
        ):
            has_text = answer is None
            functions = tuple(
                _function(n, tool, answer is not None or _is_strict(tool))
                for n, tool in enumerate(body.tools)
            )
    if answer is None and not functions:
        return None
    for name in ("ignore_eos", "min_tokens"):
        if getattr(body, name):
            raise bad_request(f"'{name}' contradicts a grammar, which says where to end", name)
    return Constraint(answer, functions, max_calls, has_text, has_marker)


def _answer_schema(wanted: dict[str, Any]) -> str | None:
    """The schema that response_format gives in any of its forms, as text."""
    field, kind = "response_format", wanted.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return _text(wanted.get("schema") or _ANY_OBJECT, field)
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


def _named(body: ChatBody) -> list[tuple[int, dict[str, Any]]]:
    """The tools that may be called, with their places in the request."""
    name = body.called_name
    found = [
        (n, tool)
        for n, tool in enumerate(body.tools)
        if name is None or tool["function"]["name"] == name
    ]
    if not found:
        what = f"there is no '{name[:80]}'" if name is not None and body.tools else "there are none"
        raise bad_request(f"'tool_choice' needs 'tools' to choose from: {what}", "tool_choice")
    return found


def _function(n: int, tool: dict[str, Any], is_bound: bool) -> Callable:
    """is_bound: its arguments must validate; else any JSON object will do."""
    function, field = tool["function"], f"tools.{n}.function.parameters"
    schema = function.get("parameters")
    if schema is None:
        schema = _NO_ARGUMENTS
    if not isinstance(schema, dict) or "object" not in _types(schema):
        raise bad_request(f"'{field}' must be the schema of an object", "tools")
    wanted = {**schema, "type": "object"} if is_bound else _ANY_OBJECT
    return Callable(function["name"], _text(wanted, "tools"), field)


def _types(schema: dict[str, Any]) -> list[Any]:
    types = schema.get("type", "object")
    return types if isinstance(types, list) else [types]


def _is_strict(tool: dict[str, Any]) -> bool:
    return tool["function"].get("strict") is True


def _text(schema: object, field: str) -> str:
    try:
        text = json.dumps(schema, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"a schema in '{field}' is no JSON: {error}", field) from error
    if len(text) > MAX_SCHEMA_CHARS:
        raise bad_request(f"a schema in '{field}' exceeds {MAX_SCHEMA_CHARS} characters", field)
    return text


def _json_rule(text: str, field: str) -> str:
    """The right side of a rule that is a JSON value of this schema. Raises RequestRefused."""
    schema = json.loads(text)
    check_schema(schema, field)
    if schema is False:
        raise RequestRefused("the schema allows nothing", where=field)
    return f"%json {json.dumps({**(schema if isinstance(schema, dict) else {}), **_OPTIONS})}"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

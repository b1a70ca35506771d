"""Which JSON schemas can be kept to the letter; every other is refused by the keyword's name.

llguidance turns a schema into a grammar. It refuses what it does not know, but a few keywords it
takes and then keeps only nearly (found by validating random answers with jsonschema): those are
refused here, where they could let an invalid answer through. Rather a 400 than a wrong answer.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from .errors import RequestRefused

MAX_DEPTH = 64
MAX_EXACT = 2**53  # a larger number may be written as an integer that equals no float
UNSUPPORTED = frozenset(
    {
        "uniqueItems",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "minContains",
        "maxContains",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedItems",
        "unevaluatedProperties",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "$recursiveAnchor",
        "x-guidance",  # would switch llguidance's own options
    }
)
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LITERALS = frozenset({"const", "enum"})
_NOT_SCHEMAS = frozenset({"default", "examples", "example", "required"})
_ANYTHING = re.compile(r"\[\\s\\S\]|\[\\S\\s\]|\[\\d\\D\]|\[\\D\\d\]|\[\\w\\W\]|\[\\W\\w\]")
# Where the grammar's regular expressions and Python's part: complements of Unicode classes, classes
# of classes, properties, anchors, and groups with flags or names.
_DIALECT = re.compile(
    r"\\[WDSpPzZABbhRXKG]|\(\?(?!:)|\[\^?\]?[^\]]*(?:\[|&&|--|~~|\|\|)|\[\^[^\]]*\\[wds]"
)


def check_schema(schema: object, field: str) -> None:
    """Raises RequestRefused, its `where` being field and a JSON pointer, for what is not kept."""
    nodes = [(f"{field}#{pointer}", node) for pointer, node in _nodes(schema, field)]
    for where, node in nodes:
        for keyword in sorted(UNSUPPORTED & node.keys()):
            raise _refused(keyword, where, "answers could not be held to it")
    _check_form(schema, field)
    for where, node in nodes:
        _check_values(node, where)
    _check_bounds(nodes)


def _check_form(schema: object, field: str) -> None:
    """The schema against the meta-schema of its draft."""
    if not isinstance(schema, dict | bool):
        raise RequestRefused("the schema is no valid JSON schema", where=field, why="no object")
    if isinstance(schema, dict) and not isinstance(schema.get("$schema", ""), str):
        why = "it names a draft, as text"
        raise RequestRefused(
            "the schema is no valid JSON schema", where=f"{field}#/$schema", why=why
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        raise RequestRefused(
            "the schema is no valid JSON schema",
            where=f"{field}#/{'/'.join(map(str, error.absolute_path))}",
            why=error.message[:200],
        ) from None
    except RecursionError:
        raise _too_deep(field) from None


def _check_values(node: dict[str, Any], where: str) -> None:
    """Keywords that are kept at some values only."""
    step, required, least = (node.get(k) for k in ("multipleOf", "required", "minProperties"))
    if isinstance(step, int | float) and (abs(step) >= MAX_EXACT or step != int(step)):
        raise _refused("multipleOf", where, "only whole numbers are kept exactly")
    # The grammar counts a key that comes twice as two.
    num_required = len(required) if isinstance(required, list) else 0
    if isinstance(least, int | float) and least > num_required:
        raise _refused("minProperties", where, "it may not exceed the number of 'required' names")
    patterns = [node.get("pattern"), *node.get("patternProperties", ())]
    for pattern in patterns:
        if isinstance(pattern, str) and _DIALECT.search(_plain(pattern)):
            raise _refused(
                "pattern" if pattern is patterns[0] else "patternProperties",
                where,
                f"{pattern[:80]!r} means different things to different engines",
            )
    for keyword in _LITERALS & node.keys():
        if any(abs(number) >= MAX_EXACT for number in _numbers(node[keyword])):
            raise _refused(keyword, where, "numbers beyond 2^53 are not exact")


def _check_bounds(nodes: list[tuple[str, dict[str, Any]]]) -> None:
    """llguidance lets an excluded whole number through where the other bound of a `number` lies
    within 1 of it: 0 for {"exclusiveMinimum": 0, "maximum": 0.5}. Bounds of several nodes may meet
    in one value (allOf, $ref), so all of the schema are held against each other."""
    highest = [v for _, n in nodes for k in ("maximum", "exclusiveMaximum") for v in _bound(n, k)]
    lowest = [v for _, n in nodes for k in ("minimum", "exclusiveMinimum") for v in _bound(n, k)]
    for where, node in nodes:
        if node.get("type") == "integer":
            continue
        for keyword, side, ends in (
            ("exclusiveMinimum", 1, highest), ("exclusiveMaximum", -1, lowest)
        ):  # fmt: skip
            for bound in _bound(node, keyword):
                if bound == int(bound) and any(0 < side * (end - bound) < 1 for end in ends):
                    raise _refused(
                        keyword, where, f"{bound:g} and a limit less than 1 beyond it are not kept"
                    )


def _bound(node: dict[str, Any], keyword: str) -> list[float]:
    """The keyword's number; none where it has another type, as in draft 4, or is a property."""
    value = node.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    return [value] if abs(value) < MAX_EXACT else []


def _plain(pattern: str) -> str:
    """The pattern without what looks like a construct but is not: \\\\, and classes of anything."""
    return _ANYTHING.sub(".", pattern.replace(r"\\", "@"))


def _nodes(schema: object, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that is a schema, or that a reference could take for one, and its pointer."""
    pending: list[tuple[str, object, int]] = [("", schema, 0)]
    while pending:
        pointer, value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(field)
        if isinstance(value, list):
            pending += [(f"{pointer}/{n}", item, depth + 1) for n, item in enumerate(value)]
        elif isinstance(value, dict):
            yield pointer, value
            for keyword, inner in value.items():
                below = f"{pointer}/{keyword}"
                if keyword in _MAPS and isinstance(inner, dict):
                    pending += [(f"{below}/{k}", v, depth + 2) for k, v in inner.items()]
                elif keyword not in _NOT_SCHEMAS | _LITERALS:
                    pending.append((below, inner, depth + 1))


def _numbers(literal: object) -> Iterator[int | float]:
    pending = [literal]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, int | float):
            yield value


def _refused(keyword: str, where: str, why: str) -> RequestRefused:
    return RequestRefused(f"the schema keyword '{keyword}' is not supported", where=where, why=why)


def _too_deep(field: str) -> RequestRefused:
    return RequestRefused(f"the schema is nested deeper than {MAX_DEPTH} levels", where=field)

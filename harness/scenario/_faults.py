"""Turns pydantic's errors into faults a person can act on.

pydantic locates an error by model and union tags; here it is located in the document, gets the
nearest legal key or value, and is said in the words of the language. No input is ever echoed that
could be a secret: only keys, kinds, numbers and quantities are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from harness.scenario._later import NOT_SERVED, is_later_key, is_later_kind
from harness.scenario._paths import get
from harness.scenario._shape import Shape, description_of, fields_of
from harness.scenario._tree import Where


@dataclass(frozen=True, slots=True)
class Wrong:
    """A fault before it has a position. at_key: the key is wrong, not its value."""

    where: Where
    message: str
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class _Spot:
    where: Where
    shape: Shape | None
    value: Any
    parent: type[BaseModel] | None
    is_off_branch: bool = False


def explain(model: type[BaseModel], data: Any, errors: Iterable[ErrorDetails]) -> list[Wrong]:
    """One Wrong a place; branches of a union that the value was never meant for are left out."""
    found: dict[Where, Wrong] = {}
    for error in errors:
        spot = _locate(model, data, error["loc"])
        if error["type"] == "too_short" and spot.value:  # its items are wrong, not their number
            continue
        if not spot.is_off_branch:
            found.setdefault(spot.where, _say(error, spot, model, data))
    return list(found.values())


def _locate(model: type[BaseModel], data: Any, loc: Sequence[str | int]) -> _Spot:
    """Walks pydantic's location through shapes and values; tags of unions are no part of a path."""
    shape: Shape | None = Shape("block", model=model)
    spot = _Spot((), shape, data, None)
    steps = list(loc)
    while steps:
        step, shape, value = steps.pop(0), spot.shape, spot.value
        if shape is not None and shape.kind == "choice":
            if step in shape.members:  # the tag; the block itself stays where it is
                inner = Shape("block", model=shape.members[str(step)])
                spot = _Spot(spot.where, inner, value, spot.parent)
                continue
        elif shape is not None and shape.kind == "leaf":  # a branch of a plain union
            is_block_branch = shape.model is not None and step == shape.model.__name__
            if shape.model is not None and is_block_branch != isinstance(value, dict):
                return _Spot(spot.where, shape, value, spot.parent, is_off_branch=True)
            if is_block_branch:
                spot = _Spot(spot.where, Shape("block", model=shape.model), value, spot.parent)
                continue
            return spot
        if step == "[key]" and not steps:
            return spot
        parent = shape.block(value) if shape is not None else None
        below = shape.child(value, step) if shape is not None else None
        spot = _Spot((*spot.where, step), below, get(value, (step,)), parent or spot.parent)
    return spot


def _say(error: ErrorDetails, spot: _Spot, model: type[BaseModel], data: Any) -> Wrong:
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return Wrong(spot.where, _unknown_key(spot, model, data), at_key=True)
        case "missing":
            return Wrong(spot.where, _missing(spot))
        case "union_tag_not_found":
            legal = ", ".join(spot.shape.members) if spot.shape else ""
            if isinstance(spot.value, dict):
                return Wrong((*spot.where, "kind"), f"missing; one of {legal}")
            return Wrong(spot.where, f"expected keys below it, with kind one of {legal}")
        case "union_tag_invalid":
            legal_kinds = list(spot.shape.members) if spot.shape else []
            given = spot.value.get("kind") if isinstance(spot.value, dict) else None
            return Wrong((*spot.where, "kind"), _no_choice(given, legal_kinds))
        case "literal_error" if spot.where == ("schema",):
            return Wrong(spot.where, "this version reads harness/v1")
        case "value_error":
            return Wrong(spot.where, str(context.get("error", error["msg"])))
    return Wrong(spot.where, _plain(kind, context, spot, error["msg"]))


def _unknown_key(spot: _Spot, model: type[BaseModel], data: Any) -> str:
    key, block = str(spot.where[-1]), spot.parent
    if block is None:
        return "unknown key"
    if is_later_key(block, key):
        return NOT_SERVED
    if kinds := _other_kinds(key, block, _shape_at(model, data, spot.where[:-1])):
        own = get(data, (*spot.where[:-1], "kind"))
        return f"unknown key for kind {own}; kind {_either(kinds)} has it"
    legal = list(fields_of(block))
    near = difflib.get_close_matches(key, legal, n=1)
    if near:
        return f"unknown key; did you mean '{near[0]}'?"
    above = spot.where[:-2]
    shape = _shape_at(model, data, above)
    owner = shape.block(get(data, above)) if shape else None
    names = list(fields_of(owner)) if owner else []
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.8)
    if near:  # right key, one level too deep
        return f"unknown key; did you mean '{'.'.join(map(str, (*above, near[0])))}'?"
    return f"unknown key; legal here: {', '.join(legal)}"


def _other_kinds(key: str, block: type[BaseModel], shape: Shape | None) -> list[str]:
    """Kinds that might have stood there instead and have this very key, such as `rate`."""
    if shape is None or shape.kind != "choice" or block not in shape.members.values():
        return []
    return [kind for kind, member in shape.members.items() if key in fields_of(member)]


def _shape_at(model: type[BaseModel], data: Any, where: Where) -> Shape | None:
    shape: Shape | None = Shape("block", model=model)
    for step in where:
        shape, data = (shape.child(data, step) if shape else None), get(data, (step,))
    return shape


def _missing(spot: _Spot) -> str:
    key = str(spot.where[-1])
    about = description_of(spot.parent, key) if spot.parent else ""
    return f"missing; {about[:1].lower()}{about[1:].rstrip('.')}" if about else "missing"


def _no_choice(given: object, legal: Sequence[str]) -> str:
    if is_later_kind(given):
        return f"'{given}' is {NOT_SERVED}; use {_either(legal)}"
    near = difflib.get_close_matches(str(given), legal, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; use {_either(legal)}"
    return f"'{str(given)[:40]}' is not a choice{hint}"


def _plain(kind: str, context: dict[str, Any], spot: _Spot, message: str) -> str:
    """The sentence for an error of a single value."""
    sentences = {
        "greater_than": f"must be above {context.get('gt', 0):g}",
        "greater_than_equal": f"must be {_number(context.get('ge', 0))} or more",
        "less_than": f"must be below {context.get('lt', 0):g}",
        "less_than_equal": f"must be {_number(context.get('le', 0))} or less",
        "finite_number": "must be finite",
        "int_from_float": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_parsing_size": "is too large",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "string_type": "must be text; put it in quotes",
        "string_pattern_mismatch": "may hold letters, digits, '_', '.' and '-' only",
        "tuple_type": "expected a list, each item on its own line after '- '",
        "dict_type": "expected keys below it",
        "model_type": "expected keys below it",
        "model_attributes_type": "expected keys below it",
    }
    if kind == "literal_error":
        return _no_choice(spot.value, _literals(spot))
    if kind in ("bool_parsing", "bool_type") and _literals(spot):
        return f"must be true, false or {_either(_literals(spot))}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    return sentences.get(kind, message[:1].lower() + message[1:])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10_000 else f"{value:g}"


def _literals(spot: _Spot) -> list[str]:
    """The legal words of the field at the spot, or of the items of the list it lies in."""
    block, where = spot.parent, spot.where
    for key in reversed(where):
        if block is not None and isinstance(key, str):
            for name, info in block.model_fields.items():
                if (info.alias or name) == key:
                    return [str(word) for word in _words(info.annotation)]
    return []


def _words(annotation: Any) -> list[Any]:
    arguments = get_args(annotation)
    if str(get_origin(annotation)) == "typing.Literal":
        return list(arguments)
    return [word for part in arguments for word in _words(part)]


def _either(legal: Sequence[str]) -> str:
    return " or ".join([", ".join(legal[:-1]), legal[-1]] if len(legal) > 1 else list(legal))

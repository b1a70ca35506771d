"""Schemas: what is taken is kept to the letter, what would not be is refused by name.

The oracle is jsonschema, the answers are random walks through the grammar's own masks.
"""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from engine_under_test.errors import RequestRefused
from engine_under_test.request import Request, SamplingParams
from engine_under_test.schemas import MAX_DEPTH, UNSUPPORTED, check_schema
from engine_under_test.server.constraints import Constraint
from engine_under_test.structured import GrammarCompiler, MaskFiller
from engine_under_test.tokenizer import Tokenizer

TOKENIZER = Tokenizer.of_bytes()
(END,) = TOKENIZER.eos_ids
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "v": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["v", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
KEPT: list[Any] = [
    True,
    {},
    {"type": "object"},
    {"type": "object", "maxProperties": 2},
    {"type": "object", "minProperties": 1, "required": ["a"]},
    {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
    {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": False},
    {"type": "object", "required": ["z", "y"], "additionalProperties": {"type": "integer"}},
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"minimum": 3}}}]},
    {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$", "maxLength": 3}]},
    {"allOf": [{"multipleOf": 4, "type": "integer"}, {"multipleOf": 6}], "minimum": 1},
    {
        "anyOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 10}],
        "minimum": 2,
    },
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"enum": ["abc", "d", 5, 5.5, None, [1], {"a": 1}, 'ü"\n\u2028']},
    {"enum": ["abc", "d"], "pattern": "^a"},
    {"const": {"a": [1, {"b": None}]}},
    {"type": ["string", "null"], "maxLength": 2},
    {"type": "string", "minLength": 3, "maxLength": 5},
    {"type": "string", "pattern": r"^\w{2,3}\d$"},
    {"type": "string", "pattern": r"^[^a-z]{1,4}$"},
    {"type": "string", "pattern": r"^[\s\S]{2}$"},
    {"type": "string", "pattern": r"^\s.$"},
    {"type": "string", "pattern": r"^\/x\-y\\d$"},
    {"type": "string", "pattern": "ab", "maxLength": 4},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "ipv6"},
    {"type": "integer", "multipleOf": 7, "minimum": -20},
    {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
    {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2.25},
    {"type": "number", "minimum": 0.001, "maximum": 0.002},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": 0.25, "exclusiveMaximum": 0.5},
    {"type": "number", "minimum": -1, "exclusiveMaximum": 0},
    {"type": "integer", "exclusiveMinimum": 0, "maximum": 1.5},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    {"$schema": DRAFT_7, "items": [{"type": "integer"}], "additionalItems": False, "type": "array"},
    {"$schema": DRAFT_7, "definitions": {"n": {"type": "integer"}}, "$ref": "#/definitions/n"},
    {"properties": {"not": {"type": "integer"}}, "required": ["not"]},  # a name, no keyword
    TREE,
]
REFUSED: list[tuple[Any, str, str]] = [
    *(({keyword: {}}, keyword, "#") for keyword in sorted(UNSUPPORTED)),
    ({"properties": {"a": {"items": {"not": {}}}}}, "not", "#/properties/a/items"),
    ({"anyOf": [{}, {"uniqueItems": True}]}, "uniqueItems", "#/anyOf/1"),
    ({"$defs": {"x": {"if": {}}}}, "if", "#/$defs/x"),
    ({"components": {"x": {"if": {}}}, "$ref": "#/components/x"}, "if", "#/components/x"),
    ({"type": "number", "multipleOf": 0.3}, "multipleOf", "#"),
    ({"type": "number", "multipleOf": 1e300}, "multipleOf", "#"),
    ({"type": "object", "minProperties": 2, "required": ["a"]}, "minProperties", "#"),
    ({"enum": [[{"a": 1e100}]]}, "enum", "#"),
    ({"const": -(2**60)}, "const", "#"),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "exclusiveMinimum", "#"),
    ({"exclusiveMinimum": 10, "exclusiveMaximum": 10.5}, "exclusiveMinimum", "#"),
    ({"type": "number", "minimum": -2.5, "exclusiveMaximum": -2}, "exclusiveMaximum", "#"),
    ({"allOf": [{"maximum": 0.5}, {"exclusiveMinimum": 0.0}]}, "exclusiveMinimum", "#/allOf/1"),
    *(
        ({"type": "string", "pattern": pattern}, "pattern", "#")
        for pattern in (
            r"^\W$",
            r"\Sx",
            r"^[^\s]+$",
            r"(?i)a",
            r"(?=a)",
            r"(?P<x>a)",
            "^[[:alpha:]]$",
            "^[a&&b]$",
            "^[[ab]]$",
            r"\bab\b",
        )
    ),
    ({"patternProperties": {r"^\D": {}}}, "patternProperties", "#"),
]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(TOKENIZER.to_json(), TOKENIZER.vocab_size, [END])


def walk(compiler: GrammarCompiler, schema: object, rng: random.Random) -> str | None:
    """A random answer that the grammar allows, leaning to its end; None: 150 tokens did not do."""
    grammar = compiler.submit(Constraint(answer=json.dumps(schema)))
    while not grammar.is_ready:
        pass
    if grammar.refusal is not None:
        raise grammar.refusal
    r, masks = Request("r", [1], SamplingParams(), grammar=grammar), MaskFiller(259)
    for _ in range(150):
        bits = masks.fill([r])
        assert bits is not None
        flags = np.unpackbits(bits.numpy().view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(flags).tolist()
        closing = [i for i in allowed if i in (END, ord('"'), ord("]"), ord("}"))]
        token = rng.choice(closing if closing and rng.random() < 0.25 else allowed)
        if token == END:
            return TOKENIZER.decode(r.token_ids[1:])
        r.token_ids.append(token)
    return None


@pytest.mark.parametrize("schema", KEPT, ids=lambda s: json.dumps(s)[:60])
def test_whatever_the_grammar_lets_through_validates(
    compiler: GrammarCompiler, schema: Any
) -> None:
    rng = random.Random(json.dumps(schema))
    check = validator_for(schema, default=Draft202012Validator)(schema)
    answers = [walk(compiler, schema, rng) for _ in range(12)]
    complete = [a for a in answers if a is not None]
    assert complete, "no answer ended: the test would show nothing"
    for answer in complete:
        check.validate(json.loads(answer))


@pytest.mark.parametrize(("schema", "keyword", "pointer"), REFUSED)
def test_what_could_not_be_kept_is_refused_by_name(schema: Any, keyword: str, pointer: str) -> None:
    with pytest.raises(RequestRefused, match=f"'{re_escape(keyword)}'") as raised:
        check_schema(schema, "response_format")
    assert raised.value.where == f"response_format{pointer}"
    assert raised.value.why


def re_escape(keyword: str) -> str:
    return keyword.replace("$", r"\$")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "frob"}, "no valid JSON schema"),
        ({"properties": {"a": {"minLength": -1}}}, "no valid JSON schema"),
        ({"items": [{}]}, "no valid JSON schema"),  # a list since 2020-12 only in prefixItems
        ({"pattern": "("}, "no valid JSON schema"),
        ({"pattern": r"^\p{L}$"}, "no valid JSON schema"),
        (7, "no valid JSON schema"),
        ({"multipleOf": "x"}, "no valid JSON schema"),
        ({"$schema": 5, "type": "null"}, "no valid JSON schema"),
    ],
)
def test_what_is_no_schema_is_refused_where_it_is_none(schema: Any, message: str) -> None:
    with pytest.raises(RequestRefused, match=message):
        check_schema(schema, "response_format")


def test_nesting_has_a_limit_that_no_stack_sees() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 1):
        deep = {"items": deep}
    with pytest.raises(RequestRefused, match=f"deeper than {MAX_DEPTH}"):
        check_schema(deep, "response_format")
    check_schema(deep["items"], "response_format")

"""Schemas made up at random: whatever is taken, no answer may break it. jsonschema is the oracle.

Fixed seed. 5,600 such schemas gave 33,700 valid answers and no other (2026-11-27); 90 run here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from jsonschema import Draft202012Validator

from engine_under_test.errors import RequestRefused
from engine_under_test.schemas import check_schema
from engine_under_test.structured import GrammarCompiler

from .test_schemas import END, TOKENIZER, walk

VALUES = [1, 2.5, "a", "bc", None, True, [1], {"x": 1}, -0.0, "é"]
Schema = dict[str, Any]


def some(rng: random.Random, **keywords: Any) -> Schema:
    """Each keyword with even odds."""
    return {name: value for name, value in keywords.items() if rng.random() < 0.5}


def leaf(rng: random.Random) -> Schema:
    match rng.randrange(5):
        case 0:
            bounds = some(rng, minimum=rng.randint(-9, 9), maximum=rng.randint(10, 99))
            return {"type": "integer", **bounds, **some(rng, multipleOf=rng.randint(1, 7))}
        case 1:
            bounds = some(rng, exclusiveMinimum=rng.random(), maximum=1 + 50 * rng.random())
            return {"type": "number", **bounds}
        case 2:
            pattern = rng.choice(["^a", "b", "[0-9]+$", "^[a-c]*$", r"^\w+$"])
            few = some(rng, minLength=rng.randint(0, 3), pattern=pattern)
            return {"type": "string", "maxLength": rng.randint(3, 6), **few}
        case 3:
            return {"type": rng.choice(["boolean", "null"])}
    return {"enum": rng.sample(VALUES, rng.randint(1, 4))}


def whole(rng: random.Random, depth: int) -> Schema:
    if not depth:
        return leaf(rng)
    inner: Callable[[], Schema] = lambda: whole(rng, depth - 1)  # noqa: E731
    match rng.randrange(8):
        case 0 | 1:
            known = {name: inner() for name in rng.sample("abcd", rng.randint(0, 3))}
            more = some(
                rng, additionalProperties=rng.choice([False, leaf(rng)]),
                patternProperties={"^x": leaf(rng)}, maxProperties=rng.randint(1, 3),
            )  # fmt: skip
            required = [name for name in known if rng.random() < 0.6]
            return {"type": "object", "properties": known, "required": required, **more}
        case 2 | 3:
            more = some(rng, prefixItems=[leaf(rng)], minItems=1)
            return {"type": "array", "items": inner(), "maxItems": rng.randint(1, 3), **more}
        case 4 | 5:
            return {rng.choice(["anyOf", "oneOf", "allOf"]): [inner(), inner()]}
        case 6:
            return {**inner(), **leaf(rng)}
    return leaf(rng)


def test_no_answer_breaks_a_schema_that_was_taken() -> None:
    compiler = GrammarCompiler(TOKENIZER.to_json(), TOKENIZER.vocab_size, [END])
    rng = random.Random(11)
    num_taken = num_answers = 0
    for _ in range(90):
        schema = whole(rng, 3)
        try:
            check_schema(schema, "test")
            answers = [walk(compiler, schema, rng) for _ in range(3)]
        except RequestRefused:
            continue  # by us, or by llguidance
        num_taken += 1
        for answer in filter(None, answers):
            num_answers += 1
            Draft202012Validator(schema).validate(json.loads(answer))
    assert num_taken > 45
    assert num_answers > 120

"""/embeddings: texts in, vectors out, in one JSON answer.

A vector is read only to see that it is one: as many finite numbers as its neighbours. None is kept.
"""

from __future__ import annotations

import math
from typing import Any

from harness.load.dialects.base import Body, Unstreamed, Whole, marked
from harness.load.facts import TargetFacts
from harness.traffic import Content


class Embeddings(Unstreamed):
    path = "/embeddings"

    def encode(self, content: Content, facts: TargetFacts, model: str) -> Body:
        return marked({"model": model, **content.fields, "input": list(content.inputs)})

    def read_object(self, answer: dict[str, Any], usage: dict[str, Any] | None) -> Whole:
        rows = answer.get("data")
        if not isinstance(rows, list):
            return Whole(usage, problem="the answer has no list 'data'")
        return _read_rows(rows, usage)


def _read_rows(rows: list[Any], usage: dict[str, Any] | None) -> Whole:
    sizes: set[int] = set()
    seen: set[int] = set()
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            return Whole(usage, problem=f"row {place} of 'data' is no object")
        vector, index = row.get("embedding"), row.get("index", place)
        if not isinstance(vector, list) or not vector:
            return Whole(usage, problem=f"row {place} of 'data' has no vector of numbers")
        if not _are_finite(vector):
            return Whole(usage, problem=f"vector {place} holds what is no finite number")
        if type(index) is not int or index in seen or not 0 <= index < len(rows):
            return Whole(usage, problem=f"the indices of 'data' are not 0 to {len(rows) - 1}")
        seen.add(index)
        sizes.add(len(vector))
    if len(sizes) > 1:
        return Whole(usage, problem="the vectors are not of one length")
    return Whole(usage, num_vectors=len(rows), num_dims=sizes.pop() if sizes else 0)


def _are_finite(vector: list[Any]) -> bool:
    """Numbers all: no null, no text, no truth value, neither NaN nor infinity."""
    try:
        total = sum(vector)  # NaN and infinity survive it
    except (TypeError, OverflowError):
        return False
    return math.isfinite(total) and set(map(type, vector)) <= {int, float}

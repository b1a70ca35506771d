"""/embeddings: texts in, vectors out, in one JSON answer.

A vector is read only to see that it is one: as many finite numbers as its neighbours, as a list or
as little-endian float32 in base64. None is kept.
"""

from __future__ import annotations

import base64
import math
import struct
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
    encodings: set[str] = set()
    seen: set[int] = set()
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            return Whole(usage, problem=f"row {place} of 'data' is no object")
        vector, index = row.get("embedding"), row.get("index", place)
        is_packed = isinstance(vector, str)
        if isinstance(vector, str):
            vector = _unpacked(vector)
        if not isinstance(vector, list) or not vector:
            what = "text that is no base64 of float32" if is_packed else "no vector of numbers"
            return Whole(usage, problem=f"row {place} of 'data' has {what}")
        if not _are_finite(vector):
            return Whole(usage, problem=f"vector {place} holds what is no finite number")
        if type(index) is not int or index in seen or not 0 <= index < len(rows):
            return Whole(usage, problem=f"the indices of 'data' are not 0 to {len(rows) - 1}")
        seen.add(index)
        sizes.add(len(vector))
        encodings.add("base64" if is_packed else "float")
    if len(sizes) > 1:
        return Whole(usage, problem="the vectors are not of one length")
    if len(encodings) > 1:
        return Whole(usage, problem="some vectors are lists, others base64")
    dims, encoding = (found.pop() if found else None for found in (sizes, encodings))
    return Whole(
        usage, num_vectors=len(rows), num_dims=int(dims or 0), encoding=str(encoding or "")
    )


def _unpacked(text: str) -> list[float] | None:
    """Its numbers; None where it is no base64 of them."""
    try:
        raw = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (ValueError, struct.error):
        return None


def _are_finite(vector: list[Any]) -> bool:
    """Numbers all: no null, no text, no truth value, neither NaN nor infinity."""
    try:
        total = sum(vector)  # NaN and infinity survive it
    except (TypeError, OverflowError):
        return False
    return math.isfinite(total) and set(map(type, vector)) <= {int, float}

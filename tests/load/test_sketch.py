"""The sketch keeps every quantile within 1 %, merged or not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.load.sketch import Sketch

VALUES = st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=300)


@given(VALUES, st.floats(0, 1))
def test_quantiles_within_one_percent(values: list[float], p: float) -> None:
    sketch = Sketch()
    sketch.extend(values)
    exact = sorted(values)[int(p * (len(values) - 1))]
    found = sketch.quantile(p)
    assert found is not None
    assert abs(found - exact) <= 0.0101 * exact


@given(VALUES, VALUES)
def test_merge_is_the_same_as_all_at_once(left: list[float], right: list[float]) -> None:
    parts, whole = Sketch(), Sketch()
    parts.extend(left)
    other = Sketch()
    for value in right:
        other.add(value)
    parts.merge(Sketch.from_json(other.to_json()))
    whole.extend(left + right)
    assert parts.buckets == whole.buckets
    assert parts.count == whole.count
    assert parts.largest == whole.largest


def test_empty_and_zero() -> None:
    sketch = Sketch()
    assert sketch.quantile(0.5) is None
    sketch.extend(np.zeros(3))
    assert sketch.quantile(0.5) == 0.0

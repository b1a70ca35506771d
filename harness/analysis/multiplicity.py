"""Several questions asked of the same data: Holm for what gates, Benjamini-Hochberg for the rest.

Holm (1979) bounds the chance of any false alarm among the declared rules; Benjamini and Hochberg
(1995) the share of false ones among the changes a table points at, which gates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p in the order given: reject where it lies below alpha.

    Sorted p_(i) times (m - i + 1), never falling, at most 1: stopping at the first miss.
    """
    m = len(p_values)
    adjusted, highest = [0.0] * m, 0.0
    for rank, index in enumerate(sorted(range(m), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def benjamini_hochberg(p_values: Sequence[float], q: float = 0.10) -> tuple[bool, ...]:
    """Which are discoveries at false discovery rate q: all up to the last p_(i) <= q i / m."""
    m = len(p_values)
    ordered = sorted(range(m), key=p_values.__getitem__)
    last = max((i for i, k in enumerate(ordered, 1) if p_values[k] <= q * i / m), default=0)
    found = set(ordered[:last])
    return tuple(i in found for i in range(m))

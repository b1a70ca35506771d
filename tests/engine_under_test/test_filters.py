"""Each filter against the sentence that defines it, written for one row in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_under_test.filters import filter_min_p, filter_top_k, filter_top_p

INF = math.inf


def softmax(row: list[float]) -> list[float]:
    peak = max(row)
    weights = [math.exp(x - peak) for x in row]
    return [w / sum(weights) for w in weights]


def naive_min_p(row: list[float], min_p: float) -> set[int]:
    p = softmax(row)
    return {i for i, x in enumerate(p) if x >= min_p * max(p) and row[i] > -INF}


def naive_top_k(row: list[float], k: int) -> set[int]:
    kth = sorted(row, reverse=True)[k - 1] if 0 < k <= len(row) else -INF
    return {i for i, x in enumerate(row) if x >= kth and x > -INF}


def naive_top_p(row: list[float], top_p: float) -> set[int]:
    p, mass, least = softmax(row), 0.0, INF
    for i in sorted(range(len(row)), key=lambda i: -p[i]):
        if top_p < 1 and mass >= top_p:
            break
        mass, least = mass + p[i], row[i]
    return {i for i, x in enumerate(row) if x >= least and x > -INF}


# Distinct powers of two apart, so that a mass never lands on a threshold by rounding.
ROWS = st.lists(
    st.lists(st.sampled_from([-3.0, -1.25, -0.5, 0.0, 0.75, 2.0, 3.5]), min_size=9, max_size=9),
    min_size=1,
    max_size=4,
)


def kept(scores: torch.Tensor) -> list[set[int]]:
    return [{i for i, x in enumerate(row) if x > -INF} for row in scores.tolist()]


@given(ROWS, st.data())
@settings(max_examples=150, deadline=None)
def test_filters_agree_with_their_definitions(rows: list[list[float]], data: st.DataObject) -> None:
    def each(strategy: st.SearchStrategy[float]) -> list[float]:
        return [data.draw(strategy) for _ in rows]

    min_p = each(st.sampled_from([0.0, 0.013, 0.21, 0.83]))
    top_k = [int(k) for k in each(st.integers(0, 12))]
    top_p = each(st.sampled_from([0.013, 0.297, 0.613, 0.9391, 1.0]))
    scores = torch.tensor(rows, dtype=torch.float64)

    a, b, c = scores.clone(), scores.clone(), scores.clone()
    filter_min_p(a, torch.tensor(min_p, dtype=torch.float64))
    assert kept(a) == [naive_min_p(r, p) for r, p in zip(rows, min_p, strict=True)]
    filter_top_k(b, torch.tensor(top_k))
    assert kept(b) == [naive_top_k(r, k) for r, k in zip(rows, top_k, strict=True)]
    filter_top_p(c, torch.tensor(top_p, dtype=torch.float64))
    assert kept(c) == [naive_top_p(r, p) for r, p in zip(rows, top_p, strict=True)]
    for filtered in (a, b, c):
        is_kept = filtered > -INF
        assert torch.equal(filtered[is_kept], scores[is_kept])


def test_top_p_counts_the_mass_that_earlier_filters_left() -> None:
    scores = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    filter_top_k(scores, torch.tensor([2]))
    filter_top_p(scores, torch.tensor([0.55]))  # 0.4 / 0.7 = 0.57 suffices
    assert kept(scores) == [{0}]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_is_filtered_the_same_in_any_company(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(5, 1003, generator=generator).to(dtype)
    top_k, top_p = torch.tensor([0, 1, 5, 400, 2000]), torch.tensor([0.3, 1, 0.99, 0.8, 0.05])
    together = rows.clone()
    filter_top_k(together, top_k)
    filter_top_p(together, top_p.to(dtype))
    for i in range(5):
        row = rows[i : i + 1].clone()
        filter_top_k(row, top_k[i : i + 1])
        filter_top_p(row, top_p[i : i + 1].to(dtype))
        assert torch.equal(row[0], together[i])

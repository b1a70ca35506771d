"""Our own product: exact within its rounding at every size; no row minds its neighbours."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_under_test.compiled import lanes
from engine_under_test.models.panels import PanelMatrix, Store

pytestmark = pytest.mark.skipif(not lanes(), reason="this processor has no vectors of 8 floats")
LANES = [n for n in (8, 16) if n <= lanes()]
MAX_ROWS = {8: 6, 16: 14}


def matrix(
    num_out: int, num_in: int, seed: int = 1, num_lanes: int | None = None
) -> tuple[torch.Tensor, PanelMatrix]:
    weight = torch.randn(num_out, num_in, generator=torch.Generator().manual_seed(seed))
    return weight, PanelMatrix(weight, Store([weight.shape]), num_lanes)


def assert_within_rounding(
    found: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, plus: torch.Tensor | None = None
) -> None:
    """|error| <= (n + 1) u sum |x||w| + u |result|: n roundings of a chain, one of the addend.

    Higham, Accuracy and Stability of Numerical Algorithms, 3.1; u = 2^-24 for float32.
    """
    unit = 2.0**-24
    wide_x, wide_w = x.double(), weight.double()
    exact = wide_x @ wide_w.t()
    size = wide_x.abs() @ wide_w.abs().t()
    if plus is not None:
        exact = exact + plus.double()
    bound = (x.shape[1] + 1) * unit * size + 2 * unit * exact.abs()
    assert bool(((found.double() - exact).abs() <= bound).all())


@pytest.mark.parametrize("num_lanes", LANES)
@pytest.mark.parametrize("num_out", [0, 1, 7])  # beyond whole panels
def test_every_number_of_rows(num_lanes: int, num_out: int) -> None:
    """Each tile, and one, two and three tiles: rows 1 .. 3 * the largest tile."""
    weight, panels = matrix(4 * num_lanes + num_out, 37, num_lanes=num_lanes)
    for num_rows in range(1, 3 * MAX_ROWS[num_lanes] + 2):
        x = torch.randn(num_rows, 37, generator=torch.Generator().manual_seed(num_rows))
        assert_within_rounding(panels.product(x), x, weight)


@settings(max_examples=60, deadline=None)
@given(
    num_lanes=st.sampled_from(LANES or [8]),
    beyond=st.integers(0, 70),
    num_in=st.integers(1, 130),
    num_rows=st.integers(0, 40),
    step=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_any_size_any_stride(
    num_lanes: int, beyond: int, num_in: int, num_rows: int, step: int, seed: int
) -> None:
    weight, panels = matrix(2 * num_lanes + beyond, num_in, seed, num_lanes)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_rows, step * num_in, generator=generator)
    x = x[:, :: step if step == 3 else 1][:, :num_in]  # rows apart; columns apart, too
    bias = torch.randn(len(weight), generator=generator)
    total = torch.randn(num_rows, len(weight) + 5, generator=generator)[:, 5:]
    before = total.clone()
    assert_within_rounding(panels.product(x), x, weight)
    assert_within_rounding(panels.product(x, bias), x, weight, bias.expand(num_rows, -1))
    assert_within_rounding(panels.add_product(total, x), x, weight, total)
    assert torch.equal(total, before)
    assert torch.equal(panels.weight, weight)


def test_many_rows_and_depths_are_cut_into_blocks() -> None:
    for num_rows, num_in in ((700, 400), (40, 20_000)):  # more than a megabyte of x each
        weight, panels = matrix(100, num_in)
        x = torch.randn(num_rows, num_in, generator=torch.Generator().manual_seed(3))
        assert_within_rounding(panels.product(x), x, weight)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    """To the bit, whatever the number of rows and the place among them."""
    _, panels = matrix(200, 333)
    x = torch.randn(300, 333, generator=torch.Generator().manual_seed(4))
    whole = panels.product(x)
    total = torch.randn(300, 200, generator=torch.Generator().manual_seed(5))
    added = panels.add_product(total, x)
    for start in range(40):
        for num in (1, 2, 5, 14, 15, 16, 33, 64):
            rows = slice(start, start + num)
            assert torch.equal(panels.product(x[rows]), whole[rows])
            assert torch.equal(panels.add_product(total[rows], x[rows]), added[rows])


def test_infinities_and_nans_go_through() -> None:
    weight, panels = matrix(40, 20)
    x = torch.ones(3, 20)
    x[1, 3], x[2, 4] = torch.inf, torch.nan
    found = panels.product(x)
    assert bool(found[0].isfinite().all())
    assert torch.equal(found[1], torch.sign(weight[:, 3]) * torch.inf)
    assert bool(found[2].isnan().all())


def test_matrices_of_one_store_do_not_meet() -> None:
    shapes = [(33, 7), (100, 3), (32, 1), (65, 11)]
    store = Store(shapes)
    weights = [torch.randn(shape) for shape in shapes]
    packed = [PanelMatrix(w, store) for w in weights]
    for weight, panels in zip(weights, packed, strict=True):
        assert torch.equal(panels.weight, weight)

"""Packing changes how a matrix lies in memory, not what it computes."""

from __future__ import annotations

import pytest
import torch

from engine_under_test.models.matrix import Matrix, PackedMatrix, can_pack


def filled(dtype: torch.dtype, num_out: int = 72, num_in: int = 40) -> Matrix:
    matrix = Matrix(num_out, num_in, dtype)
    values = torch.randn(num_out, num_in, generator=torch.Generator().manual_seed(1))
    matrix.weight.copy_(values * num_in**-0.5)
    return matrix


@pytest.mark.skipif(not can_pack(), reason="this processor multiplies no bfloat16 by oneDNN")
@pytest.mark.parametrize("num_rows", [1, 2, 16, 70])
def test_a_packed_matrix_is_within_a_rounding_of_the_exact_product(num_rows: int) -> None:
    plain = filled(torch.bfloat16)
    packed = plain.packed()
    assert isinstance(packed, PackedMatrix)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(num_rows, 40, generator=generator).bfloat16()
    bias = torch.randn(72, generator=generator).bfloat16()
    total = torch.randn(num_rows, 72, generator=generator).bfloat16()
    exact = x.double() @ plain.weight.double().t()
    half_ulp = 2.0**-8  # of bfloat16, relative to the number
    with torch.inference_mode():
        for got, expected in (
            (packed.product(x), exact),
            (packed.product(x, bias), exact + bias.double()),
            (packed.add_product(total, x), exact + total.double()),
        ):
            # the product may be rounded before the sum is, and float32 sums err a little
            bound = half_ulp * (exact.abs() + expected.abs()) + 1e-5
            assert bool(((got.double() - expected).abs() <= bound).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_types_stay_as_they_are(dtype: torch.dtype) -> None:
    matrix = filled(dtype)
    assert matrix.packed() is matrix
    x = torch.randn(3, 40, dtype=dtype)
    torch.testing.assert_close(matrix.product(x), x @ matrix.weight.t())
    torch.testing.assert_close(matrix.add_product(x @ matrix.weight.t(), x), 2 * matrix.product(x))

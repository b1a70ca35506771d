"""Packing changes how a matrix lies in memory, not what it computes."""

from __future__ import annotations

import pytest
import torch

from engine_under_test.models.matrix import Matrix, PackedMatrix, StreamedMatrix, can_pack


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


@pytest.mark.skipif(not torch._C._has_mkldnn, reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("num_rows", [1, 2, 24, 25, 70])
@pytest.mark.parametrize("is_by_columns", [True, False])
def test_a_matrix_in_two_arrangements_is_one_matrix(num_rows: int, is_by_columns: bool) -> None:
    """Equal to the float64 product within float32's rounding, whichever arrangement is read."""
    generator = torch.Generator().manual_seed(num_rows)
    plain = Matrix(48, 80, torch.float32)
    plain.weight.normal_(generator=generator)
    if not is_by_columns:  # as the embedding that is the head as well
        plain.weight = plain.weight.contiguous()
    streamed = plain.packed(is_streamed=True)
    assert isinstance(streamed, StreamedMatrix)
    x, bias = torch.randn(num_rows, 80, generator=generator), torch.randn(48, generator=generator)
    total = torch.randn(num_rows, 48, generator=generator)
    exact = x.double() @ plain.weight.double().t()
    for found, wanted in (
        (streamed.product(x), exact),
        (streamed.product(x, bias), exact + bias.double()),
        (streamed.add_product(total, x), exact + total.double()),
    ):
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=80 * 2e-6)


def test_small_and_exact_matrices_stay_as_they_are() -> None:
    assert type(Matrix(8, 8, torch.float32).packed()) is Matrix
    assert type(Matrix(8, 8, torch.float64).packed(is_streamed=True)) is Matrix

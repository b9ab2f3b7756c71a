"""Roots that are exactly rounded, and norms that do not depend on where a column lies."""

import math

import numpy as np
import pytest
import torch

from pipeline.numerics.roots import norms, roots, sums_of_squares

SIZES = [*range(1, 20), 63, 64, 65, 200]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_are_exactly_rounded(dtype):
    """torch's own are not, for about one in a hundred: were it otherwise, this file could go."""
    values = torch.arange(1, 30001, dtype=dtype)
    assert roots(values).dtype == dtype
    exact = [math.sqrt(v) for v in range(1, 30001)]
    # A float32 root is the float64 one rounded once more: exact, as float64 has more than twice the
    # digits.
    assert torch.equal(roots(values), torch.tensor(exact, dtype=torch.float64).to(dtype))


def test_the_root_of_one_number_keeps_its_shape():
    assert roots(torch.tensor(8.0, dtype=torch.float64)).item() == math.sqrt(8)
    assert roots(torch.zeros(0)).shape == (0,)


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("dim", [0, 1])
def test_equal_columns_have_equal_norms_wherever_they_lie(count, dim):
    column = torch.from_numpy(np.random.default_rng(count).normal(size=37)).float()
    matrix = column[:, None].expand(37, count).contiguous()
    found = norms(matrix if dim == 0 else matrix.T, dim)
    assert found.dtype == torch.float64 and len(set(found.tolist())) == 1
    # Whatever way the matrix lies in memory.
    assert torch.equal(
        norms(matrix.T.contiguous().T if dim == 0 else matrix.T.contiguous(), dim), found
    )


def test_norms_are_those_of_exact_sums():
    matrix = torch.randn(33, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    for dim, lines in ((0, matrix.T), (1, matrix)):
        exact = [math.sqrt(math.fsum(v * v for v in line)) for line in lines.tolist()]
        assert norms(matrix, dim).tolist() == pytest.approx(exact, rel=1e-15)
        assert sums_of_squares(matrix, dim).shape == (len(exact),)


def test_weights_are_left_as_they_are():
    matrix = torch.full((3, 4), 2.0, dtype=torch.float64)
    assert norms(matrix, 0).tolist() == [math.sqrt(12)] * 4
    assert matrix.eq(2).all()

"""Magnitude pruning: by hand, and what holds for every matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.methods.weights.magnitude import magnitude_mask

WEIGHT = torch.tensor(
    [
        [1.0, -2.0, 3.0, -4.0],
        [-8.0, 7.0, -6.0, 5.0],
        [0.5, -9.0, 10.0, 0.25],
        [12.0, -11.0, 0.75, -13.0],
    ]
)
MATRICES = hn.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.sampled_from([4, 8, 16])),
    elements=st.integers(-4, 4),
)
SHARES = st.floats(0, 1)
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def distinct(seed, outputs=5, inputs=8):
    """A matrix in which no two magnitudes are equal."""
    generator = np.random.default_rng(seed)
    values = generator.permutation(outputs * inputs) + 1.0
    signs = generator.choice([-1.0, 1.0], outputs * inputs)
    return torch.from_numpy((values * signs).reshape(outputs, inputs))


def test_a_quarter_by_hand():
    # The 4 smallest of 16: 0.25, 0.5, 0.75 and 1; the second row keeps everything.
    expected = [[0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]]
    assert magnitude_mask(WEIGHT, 0.25, "unstructured").int().tolist() == expected


def test_two_of_four_by_hand():
    expected = [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    assert magnitude_mask(WEIGHT, 0.5, "2:4").int().tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
@given(MATRICES, SHARES)
def test_the_count_is_exact_in_every_type(dtype, values, share):
    mask = magnitude_mask(torch.from_numpy(values).to(dtype), share, "unstructured")
    assert int((~mask).sum()) == round(share * values.size)


@given(MATRICES, SHARES)
def test_pruning_again_changes_nothing(values, share):
    weight = torch.from_numpy(values)
    for pattern, level in (("unstructured", share), ("2:4", 0.5), ("1:4", 0.75)):
        pruned = weight * magnitude_mask(weight, level, pattern)
        assert torch.equal(pruned * magnitude_mask(pruned, level, pattern), pruned)


@given(MATRICES, st.tuples(SHARES, SHARES))
def test_a_higher_share_removes_a_superset(values, shares):
    weight = torch.from_numpy(values)
    low, high = (magnitude_mask(weight, share, "unstructured") for share in sorted(shares))
    assert (high <= low).all()


@given(st.integers(0, 99), SHARES)
def test_permuted_rows_and_inputs_permute_the_mask(seed, share):
    weight = distinct(seed)
    generator = np.random.default_rng(seed)
    rows, inputs = (torch.from_numpy(generator.permutation(size)) for size in weight.shape)
    mask = magnitude_mask(weight, share, "unstructured")
    moved = magnitude_mask(weight[rows][:, inputs], share, "unstructured")
    assert torch.equal(moved, mask[rows][:, inputs])
    assert torch.equal(
        magnitude_mask(weight[rows], 0.5, "2:4"), magnitude_mask(weight, 0.5, "2:4")[rows]
    )


@given(st.integers(0, 99), SHARES)
def test_signs_and_a_common_factor_do_not_matter(seed, share):
    weight = distinct(seed)
    mask = magnitude_mask(weight, share, "unstructured")
    assert torch.equal(magnitude_mask(-weight / 3, share, "unstructured"), mask)


@pytest.mark.parametrize("dtype", DTYPES)
def test_level_0_is_dense_bit_for_bit(dtype):
    weight = torch.randn(4, 8, dtype=dtype)
    before = weight.clone()
    mask = magnitude_mask(weight, 0, "unstructured")
    assert mask.all() and torch.equal(weight * mask, before) and torch.equal(weight, before)

"""Wanda: by hand, against its definition in loops, and what holds for every matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.methods.weights.magnitude import magnitude_mask
from pipeline.methods.weights.wanda import wanda_mask

WEIGHT = torch.tensor(
    [
        [1.0, -2.0, 3.0, -4.0],
        [-8.0, 7.0, -6.0, 5.0],
        [0.5, -9.0, 10.0, 0.25],
        [12.0, -11.0, 0.75, -13.0],
    ]
)
NORMS = torch.tensor([10.0, 1.0, 2.0, 4.0])
# Scores |W| * norm:  10   2    6    16
#                     80   7    12   20
#                     5    9    20   1
#                     120  11   1.5  52
SHARES = st.floats(0, 1)
SEEDS = st.integers(0, 99)
PATTERNS = [("unstructured", 0.3), ("unstructured", 0.5), ("2:4", 0.5), ("4:8", 0.5), ("1:4", 0.75)]


def draw(seed, outputs=5, inputs=16, dtype=torch.float32):
    generator = np.random.default_rng(seed)
    weight = torch.from_numpy(generator.standard_normal((outputs, inputs))).to(dtype)
    return weight, torch.from_numpy(generator.exponential(size=inputs)).to(torch.float32)


def in_loops(weight, norms, share, pattern):
    """|W_ij| * ||X_j||, the lowest of each row, or of every m consecutive inputs of it."""
    outputs, inputs = weight.shape
    mask = [[True] * inputs for _ in range(outputs)]
    for i in range(outputs):
        scores = [abs(float(weight[i, j])) * float(norms[j]) for j in range(inputs)]
        groups = [(range(inputs), round(share * inputs))]
        if pattern != "unstructured":
            keep, of = map(int, pattern.split(":"))
            groups = [(range(start, start + of), of - keep) for start in range(0, inputs, of)]
        for members, count in groups:
            for _, j in sorted((scores[j], j) for j in members)[:count]:
                mask[i][j] = False
    return torch.tensor(mask)


def test_half_of_each_row_by_hand():
    expected = [[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1]]
    assert wanda_mask(WEIGHT, NORMS, 0.5, "unstructured").int().tolist() == expected
    assert wanda_mask(WEIGHT, NORMS, 0.5, "2:4").int().tolist() == expected


def test_a_quarter_of_each_row_by_hand():
    expected = [[1, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]]
    assert wanda_mask(WEIGHT, NORMS, 0.25, "unstructured").int().tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("pattern, share", PATTERNS)
def test_masks_are_those_of_the_definition(pattern, share, dtype):
    for seed in range(5):
        weight, norms = draw(seed, dtype=dtype)
        mask = wanda_mask(weight, norms, share, pattern)
        assert torch.equal(mask, in_loops(weight, norms, share, pattern))


@given(SEEDS, SHARES)
def test_every_row_loses_exactly_the_share(seed, share):
    weight, norms = draw(seed)
    removed = (~wanda_mask(weight, norms, share, "unstructured")).sum(dim=1)
    assert removed.tolist() == [round(share * 16)] * 5


@given(SEEDS, SHARES)
def test_pruning_again_changes_nothing(seed, share):
    weight, norms = draw(seed)
    for pattern, level in (("unstructured", share), *PATTERNS):
        pruned = weight * wanda_mask(weight, norms, level, pattern)
        assert torch.equal(pruned * wanda_mask(pruned, norms, level, pattern), pruned)


@given(SEEDS, st.tuples(SHARES, SHARES))
def test_a_higher_share_removes_a_superset(seed, shares):
    weight, norms = draw(seed)
    low, high = (wanda_mask(weight, norms, share, "unstructured") for share in sorted(shares))
    assert (high <= low).all()


@given(SEEDS, SHARES)
def test_permuted_rows_and_inputs_permute_the_mask(seed, share):
    weight, norms = draw(seed)
    generator = np.random.default_rng(seed)
    rows, inputs = (torch.from_numpy(generator.permutation(size)) for size in weight.shape)
    moved = wanda_mask(weight[rows][:, inputs], norms[inputs], share, "unstructured")
    mask = wanda_mask(weight, norms, share, "unstructured")
    assert torch.equal(moved, mask[rows][:, inputs])


@given(SEEDS, SHARES)
def test_rows_do_not_depend_on_one_another(seed, share):
    weight, norms = draw(seed)
    mask = wanda_mask(weight, norms, share, "unstructured")
    for row in range(len(weight)):
        alone = wanda_mask(weight[row : row + 1] * 1000, norms, share, "unstructured")
        assert torch.equal(alone[0], mask[row])


@given(SEEDS)
def test_equal_norms_are_the_magnitude_in_each_group_of_a_pattern(seed):
    weight, norms = draw(seed)
    mask = wanda_mask(weight, torch.full_like(norms, 3), 0.5, "2:4")
    assert torch.equal(mask, magnitude_mask(weight, 0.5, "2:4"))


def test_an_input_that_is_always_zero_goes_first():
    weight, norms = draw(0)
    norms[3] = 0
    assert not wanda_mask(weight, norms, 1 / 16, "unstructured")[:, 3].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_level_0_is_dense_bit_for_bit(dtype):
    weight, norms = draw(0, dtype=dtype)
    mask = wanda_mask(weight, norms, 0, "unstructured")
    assert mask.all() and torch.equal(weight * mask, draw(0, dtype=dtype)[0])


def test_norms_are_checked():
    with pytest.raises(ValueError, match=r"weight \(4, 4\) and norms \(3,\)"):
        wanda_mask(WEIGHT, NORMS[:3], 0.5, "unstructured")
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite and at least 0"):
            wanda_mask(WEIGHT, torch.tensor([1.0, bad, 1.0, 1.0]), 0.5, "unstructured")

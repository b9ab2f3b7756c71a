"""SparseGPT: by hand, against optimal brain surgery with inverses made afresh, and what holds for
every matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.methods.weights.magnitude import magnitude_mask
from pipeline.methods.weights.sparsegpt import inverse_factor, sparsegpt_weight
from pipeline.methods.weights.wanda import wanda_mask

# Inputs 0 and 1 are correlated, and so are 2 and 3; H is twice this, and without damping
#     H[0:, 0:]^-1 begins with 1/3 * [[2, -1], [-1, 2]]  ->  U_00^2 = U_22^2 = 2/3
#     H[1:, 1:]^-1 begins with 1/2                       ->  U_11^2 = U_33^2 = 1/2
# so scores are 1.5 w^2 for columns 0 and 2 and 2 w^2 for 1 and 3, and half of what column 0 loses
# goes to column 1 (-1/3 over 2/3), half of what column 2 loses to column 3, nothing else anywhere.
PAIRS = torch.tensor([[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0.5, 1]]).double()
BY_HAND = torch.tensor(
    [
        [4.0, 1.0, 3.0, 2.0],  # scores 24, 2, 13.5, 8
        [1.0, 4.0, 2.0, 3.0],  # 1.5, 32, 6, 18
        [-2.0, 5.0, 6.0, -1.0],  # 6, 50, 54, 2
        [3.0, 2.0, -1.0, 7.0],  # 13.5, 8, 1.5, 98
    ]
)
PATTERNS = [("unstructured", 0.3), ("unstructured", 0.7), ("2:4", 0.5), ("4:8", 0.5), ("1:4", 0.75)]
SEEDS = st.integers(0, 99)


def samples(seed, inputs, tokens=200):
    """Correlated inputs of very different sizes, (tokens, inputs)."""
    generator = np.random.default_rng(seed)
    mixed = generator.standard_normal((tokens, inputs)) @ generator.standard_normal((inputs,) * 2)
    return mixed * generator.exponential(size=inputs)


def draw(seed, outputs=6, inputs=24, tokens=200):
    """(weight, second moment), float64."""
    x = samples(seed, inputs, tokens)
    weight = np.random.default_rng(seed + 1000).standard_normal((outputs, inputs))
    return torch.from_numpy(weight), torch.from_numpy(x.T @ x / len(x))


def by_surgeon(weight, moment, share, pattern, block, damping):
    """Column after column: the inverse of what is left of H is computed anew, a removed weight is
    made up for by all later ones at once, and nothing is factorised or put off."""
    hessian = 2 * moment
    dead = np.diag(hessian) == 0
    hessian = hessian + np.diag(damping * np.diag(hessian).mean() + dead.astype(float))
    weight = np.where(dead, 0.0, weight)
    outputs, inputs = weight.shape
    inverses = [np.linalg.inv(hessian[j:, j:]) for j in range(inputs)]
    removed = np.zeros(weight.shape, dtype=bool)

    def score(i, j):
        return weight[i, j] ** 2 / inverses[j][0, 0]

    for j in range(inputs):
        if pattern == "unstructured" and j % block == 0:
            end = min(j + block, inputs)
            count = round(share * outputs * end) - int(removed.sum())
            places = [(i, k) for i in range(outputs) for k in range(j, end)]
            for i, k in sorted(places, key=lambda place: score(*place))[:count]:
                removed[i, k] = True
        if pattern != "unstructured":
            keep, of = map(int, pattern.split(":"))
            for i in range(outputs if j % of == 0 else 0):
                ranked = sorted(range(j, j + of), key=lambda k: score(i, k))  # noqa: B023
                removed[i, ranked[: of - keep]] = True
        for i in np.flatnonzero(removed[:, j]):
            lost = weight[i, j] / inverses[j][0, 0]
            weight[i, j:] -= lost * inverses[j][0]
            weight[i, j] = 0.0
    return weight


@pytest.mark.parametrize("block", [1, 2, 4, 128])
def test_half_by_hand(block):
    # The 8 lowest of all scores, which are also the 4 lowest of columns 0 and 1 and of 2 and 3 (so
    # for blocks of 2) and the 2 lowest of each row (so for 2:4). Blocks of 1 choose 2 of each
    # column as it is by then: 1 and -2; 1 and 2; 2 and -1; of (2, 4, -1, 6.5) 2 and -1.
    expected = [[4, 0, 3, 0], [0, 4.5, 0, 4], [0, 4, 6, 0], [3, 0, 0, 6.5]]
    pruned = sparsegpt_weight(BY_HAND, PAIRS, 0.5, "unstructured", block=block, damping=0.0)
    torch.testing.assert_close(pruned, torch.tensor(expected, dtype=torch.float32))
    if block % 4 == 0:
        pruned = sparsegpt_weight(BY_HAND, PAIRS, 0.5, "2:4", block=block, damping=0.0)
        torch.testing.assert_close(pruned, torch.tensor(expected, dtype=torch.float32))


def test_a_group_is_chosen_by_weights_as_re_fitted_until_then():
    # 1:2 with inputs 1 and 2 correlated. Columns 0 and 1 have U^2 = 1/2 and 2/3, column 2 has 1/2.
    moment = torch.tensor([[1, 0, 0, 0], [0, 1, 0.5, 0], [0, 0.5, 1, 0], [0, 0, 0, 1]]).double()
    weight = torch.tensor([[9.0, 4.0, -3.0, 2.0], [9.0, -4.0, -3.0, 2.0]]).double()
    # Column 1 goes (1.5 * 16 < 2 * 81) and half of it to column 2: -3 + 2 = -1, which is now less
    # than 2; in the second row -3 - 2 = -5, which stays.
    expected = torch.tensor([[9.0, 0.0, 0.0, 2.0], [9.0, 0.0, -5.0, 0.0]]).double()
    for block in (2, 4):
        pruned = sparsegpt_weight(weight, moment, 0.5, "1:2", block=block, damping=0.0)
        torch.testing.assert_close(pruned, expected)


def test_damping_by_hand():
    # H = [[4, 2], [2, 2]] has mean 3 on its diagonal: [[7, 2], [2, 5]] with all of it. Column 0
    # goes (its score is 1 * (7 - 4/5) = 6.2, below 9 * 5) and 2/5 of it to column 1.
    moment = torch.tensor([[2.0, 1.0], [1.0, 1.0]]).double()
    pruned = sparsegpt_weight(
        torch.tensor([[1.0, 3.0]]).double(), moment, 0.5, "unstructured", damping=1.0
    )
    torch.testing.assert_close(pruned, torch.tensor([[0.0, 3.4]]).double())


@pytest.mark.parametrize("block", [8, 16, 128])
@pytest.mark.parametrize("pattern, share", PATTERNS)
def test_weights_are_those_of_optimal_brain_surgery(pattern, share, block):
    for seed in range(4):
        weight, moment = draw(seed)
        pruned = sparsegpt_weight(weight, moment, share, pattern, block=block)
        expected = by_surgeon(weight.numpy(), moment.numpy(), share, pattern, block, 0.01)
        assert ((pruned == 0).numpy() == (expected == 0)).all()
        np.testing.assert_allclose(pruned.numpy(), expected, rtol=1e-8, atol=1e-10)


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 5), st.integers(1, 17), st.integers(1, 20), st.floats(0, 1))
def test_odd_shapes_and_blocks_are_those_of_optimal_brain_surgery(
    seed, outputs, inputs, block, share
):
    weight, moment = draw(seed, outputs, inputs)
    pruned = sparsegpt_weight(weight, moment, share, "unstructured", block=block)
    expected = by_surgeon(weight.numpy(), moment.numpy(), share, "unstructured", block, 0.01)
    np.testing.assert_allclose(pruned.numpy(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("damping", [0.01, 0.0])
def test_inputs_that_are_always_zero_lose_their_weights_and_change_no_others(damping):
    weight, moment = draw(0, inputs=8)
    moment[[2, 5]] = 0
    moment[:, [2, 5]] = 0
    pruned = sparsegpt_weight(weight, moment, 0.5, "2:4", damping=damping)
    assert (pruned[:, [2, 5]] == 0).all()
    expected = by_surgeon(weight.numpy(), moment.numpy(), 0.5, "2:4", 8, damping)
    np.testing.assert_allclose(pruned.numpy(), expected, rtol=1e-8, atol=1e-10)
    pruned = sparsegpt_weight(weight, moment, 0.5, "unstructured", damping=damping)
    assert (pruned[:, [2, 5]] == 0).all() and int((pruned == 0).sum()) == 24


def test_the_factor_is_that_of_the_inverse():
    _, moment = draw(3, inputs=12)
    factor = inverse_factor(moment, 0.01)
    hessian = 2 * moment + 0.01 * (2 * moment).diagonal().mean() * torch.eye(12).double()
    assert torch.equal(factor, factor.triu()) and (factor.diagonal() > 0).all()
    expected = torch.linalg.inv(hessian)
    torch.testing.assert_close(factor.T @ factor, expected, rtol=1e-9, atol=1e-12)


@given(SEEDS, st.integers(1, 6), st.integers(1, 20), st.integers(1, 9), st.floats(0, 1))
def test_the_matrix_loses_exactly_the_share(seed, outputs, inputs, block, share):
    weight, moment = draw(seed, outputs, inputs)
    pruned = sparsegpt_weight(weight, moment, share, "unstructured", block=block)
    assert int((pruned == 0).sum()) == round(share * outputs * inputs)


@pytest.mark.parametrize("pattern, share", PATTERNS[2:])
@given(SEEDS)
def test_every_group_of_a_pattern_has_its_zeros(pattern, share, seed):
    keep, of = map(int, pattern.split(":"))
    pruned = sparsegpt_weight(*draw(seed), share, pattern)
    assert ((pruned.reshape(6, -1, of) == 0).sum(dim=2) == of - keep).all()


@pytest.mark.parametrize("pattern, share", PATTERNS)
@given(SEEDS)
def test_permuted_rows_permute_the_weight(pattern, share, seed):
    weight, moment = draw(seed)
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(6))
    moved = sparsegpt_weight(weight[rows], moment, share, pattern, block=16)
    pruned = sparsegpt_weight(weight, moment, share, pattern, block=16)
    torch.testing.assert_close(moved, pruned[rows], rtol=1e-12, atol=1e-13)


@given(SEEDS, st.sampled_from([-9, 4]))
def test_another_unit_of_the_inputs_changes_nothing(seed, exponent):
    weight, moment = draw(seed)
    pruned = sparsegpt_weight(weight, moment, 0.5, "2:4")
    # Powers of 4: their roots are exact, so no bit changes.
    scaled = sparsegpt_weight(weight, moment * 4.0**exponent, 0.5, "2:4")
    assert torch.equal(scaled, pruned)


@pytest.mark.parametrize("pattern, share", PATTERNS)
def test_pruning_again_changes_no_zero(pattern, share):
    weight, moment = draw(7)
    once = sparsegpt_weight(weight, moment, share, pattern, block=8)
    twice = sparsegpt_weight(once, moment, share, pattern, block=8)
    # Removed weights are 0, go again, and leave nothing to make up for.
    assert torch.equal(twice, once)


@pytest.mark.parametrize("pattern, share", PATTERNS)
def test_outputs_stay_nearer_than_with_the_smallest_weights_removed(pattern, share):
    for seed in range(5):
        weight, moment = draw(seed, outputs=16, inputs=32, tokens=400)

        def error(pruned, weight=weight, moment=moment):
            """E ||(W - W') x||^2."""
            difference = weight - pruned
            return float((difference @ moment * difference).sum())

        ours = error(sparsegpt_weight(weight, moment, share, pattern, block=16))
        magnitude = weight * magnitude_mask(weight, share, pattern)
        wanda = weight * wanda_mask(weight, moment.diagonal().sqrt(), share, pattern)
        assert ours < error(wanda) < error(magnitude)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pattern, share", PATTERNS)
def test_other_types_are_the_float64_weight_rounded_once(pattern, share, dtype):
    weight, moment = draw(2)
    weight, moment = weight.to(dtype), moment.float()
    pruned = sparsegpt_weight(weight, moment, share, pattern)
    assert pruned.dtype == dtype and torch.equal(weight, draw(2)[0].to(dtype))
    expected = sparsegpt_weight(weight.double(), moment.double(), share, pattern)
    assert torch.equal(pruned, expected.to(dtype))
    assert int((pruned == 0).sum()) == round(share * weight.numel())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_level_0_is_dense_bit_for_bit(dtype):
    weight, moment = draw(0)
    weight = weight.to(dtype)
    moment[3] = moment[:, 3] = 0
    pruned = sparsegpt_weight(weight, moment, 0, "unstructured")
    assert torch.equal(pruned, weight) and pruned.data_ptr() != weight.data_ptr()


def test_level_1_leaves_nothing_and_equal_calls_give_equal_bits():
    weight, moment = draw(0)
    assert not sparsegpt_weight(weight, moment, 1, "unstructured").any()
    first, second = (sparsegpt_weight(weight, moment, 0.4, "unstructured", 8) for _ in range(2))
    assert torch.equal(first, second)


def test_arguments_are_checked():
    weight, moment = draw(0, inputs=8)
    with pytest.raises(ValueError, match=r"weight \(6, 8\) and second moment \(7, 7\)"):
        sparsegpt_weight(weight, moment[:7, :7], 0.5, "2:4")
    for block in (0, 6):
        with pytest.raises(ValueError, match=f"block {block}: needed is"):
            sparsegpt_weight(weight, moment, 0.5, "2:4", block=block)
    with pytest.raises(ValueError, match="has to be finite"):
        sparsegpt_weight(weight, moment * float("nan"), 0.5, "2:4")
    with pytest.raises(ValueError, match="removes 0.5 of the weights"):
        sparsegpt_weight(weight, moment, 0.25, "2:4")
    with pytest.raises(ValueError, match="damping 0.0: the Hessian of 8 inputs is not positive"):
        sparsegpt_weight(weight, torch.ones(8, 8), 0.5, "2:4", damping=0.0)


def test_a_weight_beyond_its_type_is_refused():
    # Equal inputs: nearly all of column 0 goes to column 1.
    moment = torch.full((2, 2), 1.0)
    weight = torch.tensor([[50000.0, 60000.0]], dtype=torch.float16)
    with pytest.raises(ValueError, match=r"is beyond torch\.float16"):
        sparsegpt_weight(weight, moment, 0.5, "unstructured")

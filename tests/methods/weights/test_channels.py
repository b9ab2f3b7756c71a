"""Scores of FFN channels: by hand, and against one channel after another."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.methods.weights.channels import dropped, magnitude_scores, wanda_scores

# d_ff = d_model = 4; a neuron owns a row of GATE and UP and a column of DOWN.
GATE = torch.tensor([[1.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
UP = torch.tensor([[2.0, 0, 0, 0], [0, 0, -4, 0], [0, 0, 0, 0], [-1, 1, -1, 1]])
DOWN = torch.tensor([[2.0, 3, 0, 1], [0, -2, 0, 0], [0, 4, -1, 0], [0, 0, 0, 0]])
TIED = hn.arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 3))
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def test_magnitudes_by_hand():
    # 1 + 4 + 4;  4 + 16 + (9 + 4 + 16);  0 + 0 + 1;  4 + 4 + 1
    assert magnitude_scores([GATE, UP], DOWN).tolist() == [3.0, 7.0, 1.0, 3.0]
    # Without a gate: 4 + 4;  16 + 29;  1;  4 + 1
    expected = [math.sqrt(8), math.sqrt(45), 1.0, math.sqrt(5)]
    assert magnitude_scores([UP], DOWN).tolist() == expected


def test_wanda_by_hand():
    # Sums of |column| are 2, 9, 1 and 1.
    assert wanda_scores(DOWN, torch.tensor([10.0, 1.0, 8.0, 0.5])).tolist() == [20.0, 9.0, 8.0, 0.5]


def test_dropped_by_hand():
    scores = torch.tensor([3.0, 7.0, 1.0, 3.0])
    assert dropped(scores, 0.25).int().tolist() == [0, 0, 1, 0]
    # Neurons 0 and 3 are equal; the first goes.
    assert dropped(scores, 0.5).int().tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_are_those_of_one_channel_after_another(dtype):
    generator = torch.Generator().manual_seed(0)
    gate, up = (torch.randn(7, 5, generator=generator).to(dtype) for _ in range(2))
    down, norms = torch.randn(5, 7, generator=generator).to(dtype), torch.rand(7) * 9
    magnitude, wanda = magnitude_scores([gate, up], down), wanda_scores(down, norms)
    assert magnitude.dtype == wanda.dtype == torch.float64
    for i in range(7):
        owned = [*gate[i].tolist(), *up[i].tolist(), *down[:, i].tolist()]
        assert float(magnitude[i]) == pytest.approx(math.hypot(*owned), rel=1e-14)
        products = [abs(float(down[o, i])) * float(norms[i]) for o in range(5)]
        assert float(wanda[i]) == pytest.approx(math.fsum(products), rel=1e-14)


@given(st.integers(0, 99))
def test_permuted_neurons_permute_the_scores(seed):
    generator = np.random.default_rng(seed)
    up, down = (torch.from_numpy(generator.standard_normal(s)) for s in ((6, 4), (4, 6)))
    norms = torch.from_numpy(generator.exponential(size=6))
    order = torch.from_numpy(generator.permutation(6))
    moved = magnitude_scores([up[order]], down[:, order])
    torch.testing.assert_close(moved, magnitude_scores([up], down)[order], rtol=1e-14, atol=0)
    moved = wanda_scores(down[:, order], norms[order])
    torch.testing.assert_close(moved, wanda_scores(down, norms)[order], rtol=1e-14, atol=0)


@given(TIED, st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_the_count_is_exact_and_a_higher_share_drops_a_superset(values, shares):
    scores = torch.from_numpy(values)
    low, high = (dropped(scores, share) for share in sorted(shares))
    assert (low <= high).all()
    assert [int(low.sum()), int(high.sum())] == [round(s * len(values)) for s in sorted(shares)]
    ranked = sorted(range(len(values)), key=lambda i: values[i])
    assert sorted(ranked[: int(low.sum())]) == low.nonzero().ravel().tolist()


def test_share_0_drops_none_and_1_all():
    assert not dropped(torch.rand(9), 0).any() and dropped(torch.rand(9), 1).all()


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"\[\(4, 3\)\] and down \(4, 4\)"):
        magnitude_scores([UP[:, :3]], DOWN)
    with pytest.raises(ValueError, match=r"down \(4, 4\) and norms \(3,\)"):
        wanda_scores(DOWN, torch.ones(3))
    with pytest.raises(ValueError, match="1 of them NaN"):
        dropped(torch.tensor([1.0, float("nan")]), 0.5)
    with pytest.raises(ValueError, match="share 1.5"):
        dropped(torch.ones(3), 1.5)

"""The CETT threshold against hand-worked examples and a search over all thresholds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from pipeline.models.cett import Tail, curve, fit_threshold


def oracle(inner, down):
    """(eps, cett): the largest contribution whose removal, with all below it, keeps the target.

    Every token and neuron is summed one by one, in float64.
    """
    inner, down = inner.double(), down.double()
    contribution = inner.abs() * down.norm(dim=0)

    def mean_cett(eps):
        ratios = []
        for h, c in zip(inner, contribution, strict=True):
            whole = sum(h[i] * down[:, i] for i in range(len(h)))
            tail = sum(h[i] * down[:, i] * bool(c[i] <= eps) for i in range(len(h)))
            if whole.norm() > 0:
                ratios.append(float(tail.norm() / whole.norm()))
        return sum(ratios) / len(ratios)

    steps = [0.0, *sorted(set(contribution.flatten().tolist()))]
    return [(eps, mean_cett(eps)) for eps in steps], contribution


def test_one_token_with_orthogonal_outputs_by_hand():
    # Contributions 3, 4, 12 along different axes: ||whole|| = 13. Without the first: 3/13 = 0.23;
    # without the first two: 5/13 = 0.38; so a target of 0.3 lets only the first go.
    inner, down = torch.tensor([[3.0, 4.0, 12.0]]), torch.eye(3)
    eps, cett = fit_threshold(Tail(inner, down), 0.3)
    assert 3.0 <= eps < 4.0
    assert cett == pytest.approx(3 / 13)
    assert fit_threshold(Tail(inner, down), 0.39)[1] == pytest.approx(5 / 13)
    # Below the smallest contribution, to the last float32 bit, nothing goes.
    assert fit_threshold(Tail(inner, down), 0.2) == (pytest.approx(3.0, rel=1e-6), 0.0)


def test_the_mean_over_tokens_is_compared_not_the_mean_of_thresholds():
    # Removing contributions up to 1 costs 1/sqrt(2) at the first token and nothing at the second.
    inner, down = torch.tensor([[1.0, 1.0001], [2.0, 2.0]]), torch.eye(2)
    eps, cett = fit_threshold(Tail(inner, down), 0.4)
    assert 1.0 <= eps < 1.0001 and cett == pytest.approx(0.35355, abs=1e-4)


def test_norms_of_the_down_columns_scale_contributions():
    inner, down = torch.tensor([[1.0, 1.0]]), torch.tensor([[10.0, 0.0], [0.0, 1.0]])
    eps, cett = fit_threshold(Tail(inner, down), 0.2)
    assert 1.0 <= eps < 10.0 and cett == pytest.approx(1 / 101**0.5)


def test_signs_of_h_do_not_matter_to_contributions():
    inner, down = torch.tensor([[-3.0, 4.0, -12.0]]), torch.eye(3)
    assert fit_threshold(Tail(inner, down), 0.3)[1] == pytest.approx(3 / 13)


@pytest.mark.parametrize("tokens", [0, 3])
def test_without_any_output_nothing_is_active(tokens):
    assert fit_threshold(Tail(torch.zeros(tokens, 4), torch.eye(4)), 0.2) == (0.0, 0.0)


def test_tokens_without_output_do_not_count():
    inner = torch.tensor([[3.0, 4.0, 12.0]])
    padded = torch.cat([inner, torch.zeros(5, 3)])
    with_them, without = (fit_threshold(Tail(h, torch.eye(3)), 0.3) for h in (padded, inner))
    assert with_them == without


MATRICES = hn.arrays("float32", (4, 4), elements=st.integers(-4, 4).map(float))


@given(MATRICES, st.sampled_from([0.05, 0.2, 0.5, 0.9]))
def test_orthogonal_outputs_give_the_brute_force_threshold(h, target):
    # With orthogonal columns outputs cannot cancel, so CETT is monotone and its crossing is unique.
    inner, down = torch.from_numpy(h), torch.diag(torch.tensor([1.0, 2.0, 3.0, 5.0]))
    if not inner.any():
        return
    curve, _ = oracle(inner, down)
    eps, cett = fit_threshold(Tail(inner, down), target)
    allowed = [(e, c) for e, c in curve if c <= target - 1e-6]
    refused = [e for e, c in curve if c > target + 1e-6]
    assert cett <= target
    assert eps >= allowed[-1][0] * (1 - 1e-6) - 1e-6
    assert not refused or eps < refused[0]


@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.2, 0.4]))
def test_the_reported_cett_is_that_of_the_reported_threshold(seed, target):
    generator = torch.Generator().manual_seed(seed)
    inner, down = torch.randn(4, 4, generator=generator), torch.randn(4, 4, generator=generator)
    eps, cett = fit_threshold(Tail(inner, down), target)
    curve, contribution = oracle(inner, down)
    # The threshold ends within rounding below the contribution that costs too much.
    at_eps = [c for e, c in curve if e <= eps * (1 - 1e-6)][-1]
    assert cett == pytest.approx(at_eps, abs=1e-4) and cett <= target
    assert 0 <= eps <= float(contribution.max()) * (1 + 1e-6)


@pytest.mark.parametrize("tokens", [600, 3000])
@pytest.mark.parametrize("target", [0.05, 0.2, 0.6])
def test_many_tokens_are_fitted_by_a_few_and_then_by_all(tokens, target):
    """Tokens in the second half are ten times as large, so that the first guess is a rough one."""
    generator = torch.Generator().manual_seed(tokens)
    inner = torch.randn(tokens, 24, generator=generator) ** 3
    inner[tokens // 2 :] *= 10
    down = torch.randn(16, 24, generator=generator)
    tail = Tail(inner, down)
    eps, cett = fit_threshold(tail, target)
    assert cett == pytest.approx(tail.mean(eps)) and cett <= target
    assert tail.mean(eps * 1.002) > target


@pytest.mark.parametrize("target", [0.05, 0.2, 0.6])
def test_a_fit_computes_few_outputs_of_all_tokens(target, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    tail = Tail(torch.randn(3000, 24, generator=generator) ** 3, torch.eye(24))
    points = curve(tail, np.arange(0.05, 1, 0.05))
    known = list(zip(points["threshold"], points["cett"], strict=True))
    asked, each = [], Tail.each
    monkeypatch.setattr(Tail, "each", lambda self, eps: asked.append(self) or each(self, eps))
    eps, cett = fit_threshold(tail, target, known)
    assert sum(of is tail for of in asked) <= 6
    assert cett == pytest.approx(each(tail, eps).mean().item()) and cett <= target
    assert each(tail, eps * 1.002).mean() > target


def test_points_of_the_curve_change_no_threshold_of_few_tokens():
    generator = torch.Generator().manual_seed(0)
    tail = Tail(torch.randn(100, 24, generator=generator), torch.eye(24))
    points = curve(tail, np.arange(0.05, 1, 0.05))
    known = list(zip(points["threshold"], points["cett"], strict=True))
    assert fit_threshold(tail, 0.3, known) == fit_threshold(tail, 0.3)


def test_a_threshold_far_below_the_largest_contribution_is_found():
    # One neuron outweighs all others at one token of a thousand.
    inner = torch.rand(1000, 24, generator=torch.Generator().manual_seed(0)) * 1e-3
    inner[0, 0] = 1e3
    tail = Tail(inner, torch.eye(24))
    eps, cett = fit_threshold(tail, 0.2)
    assert 0 < eps < 1e-3 and cett <= 0.2 < tail.mean(eps * 1.002)


def test_a_curve_by_hand():
    # Contributions 1, 2, 2, 4 along different axes, ||whole|| = 5.
    made = curve(Tail(torch.tensor([[1.0, 2.0, 2.0, 4.0]]), torch.eye(4)), np.array([0.25, 0.5, 1]))
    assert made["threshold"].tolist() == [0.0, 1.0, 2.0, 4.0]
    assert made["sparsity"].tolist() == [0.0, 0.25, 0.75, 1.0]
    assert made["cett"].tolist() == pytest.approx([0.0, 1 / 5, 3 / 5, 1.0])


def test_a_curve_begins_where_the_zeros_end():
    made = curve(Tail(torch.tensor([[0.0, 0.0, 3.0, 4.0]]), torch.eye(4)), np.array([0.5, 1]))
    assert made["sparsity"].tolist() == [0.5, 0.75, 1.0]
    assert made["cett"].tolist() == pytest.approx([0.0, 0.6, 1.0])


def test_tokens_whose_output_is_not_finite_do_not_count():
    rows = [[3.0, 4.0], [float("nan"), 1.0], [3e38, 3e38], [0.0, 0.0]]
    tail = Tail(torch.tensor(rows), torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    assert tail.kept.tolist() == [True, False, False, False]
    assert tail.nonfinite == 2

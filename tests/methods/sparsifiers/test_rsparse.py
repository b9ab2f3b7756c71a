"""R-Sparse: budget, low rank and division by hand, and linear layers against plain numpy."""

import math
from contextlib import ExitStack
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.methods.sparsifiers.rsparse import Options, budget, divide, low_rank
from pipeline.models.views import linear_layers, matrix


@pytest.mark.parametrize(
    ("share", "alpha", "outputs", "inputs", "wanted"),
    [
        # 8 of 16 weights are left; a rank costs 8.
        (0.5, 1.0, 4, 4, (0.5, 0)),
        (0.5, 0.5, 4, 4, (0.5, 0)),
        (0.5, 0.0, 4, 4, (0.0, 1)),
        # 288 of 384; half of them are 3.6 ranks of 40, and what 3 leave are 168.
        (0.25, 0.5, 16, 24, (0.4375, 3)),
        # A narrow key projection: 32 of 64 weights, a rank costs 20 and not 32.
        (0.5, 0.3, 4, 16, (0.1875, 1)),
        (1.0, 0.5, 16, 24, (0.0, 0)),
        (0.0, 1.0, 16, 24, (1.0, 0)),
        # A tenth of 800 is one rank of 80, though in floats it is a little less.
        (0.5, 0.9, 40, 40, (0.45, 1)),
    ],
)
def test_budgets_by_hand(share, alpha, outputs, inputs, wanted):
    assert budget(share, alpha, outputs, inputs) == wanted


@given(
    share=st.floats(0, 1), alpha=st.floats(0, 1), outputs=st.integers(1, 300),
    inputs=st.integers(1, 300),
)  # fmt: skip
def test_a_budget_is_spent_to_the_last_weight(share, alpha, outputs, inputs):
    read, rank = budget(share, alpha, outputs, inputs)
    spent = read * outputs * inputs + rank * (outputs + inputs)
    assert spent == pytest.approx((1 - share) * outputs * inputs, abs=1e-6)
    assert 0 <= read <= 1 and 0 <= rank <= min(outputs, inputs)
    for_rank = (1 - Fraction(str(alpha))) * (1 - Fraction(str(share))) * outputs * inputs
    assert rank * (outputs + inputs) <= for_rank < (rank + 1) * (outputs + inputs)


def test_low_ranks_by_hand():
    # Singular values 3, 2, 1 and 1/2; one of the vectors has a minus.
    weight = torch.diag(torch.tensor([0.5, 3.0, -2.0, 1.0]))
    for rank, kept in ((0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [0, 1, 2, 3])):
        left, right = low_rank(weight, rank)
        assert left.shape == (4, rank) and right.shape == (rank, 4)
        wanted = torch.zeros(4, 4)
        wanted[kept, kept] = weight[kept, kept]
        torch.testing.assert_close(left @ right, wanted)
    torch.testing.assert_close(left.norm(dim=0), torch.tensor([3.0, 2.0, 1.0, 0.5]))


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_a_low_rank_is_the_nearest_and_begins_with_the_lower_ones(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = np.linalg.svd(weight.numpy(), compute_uv=False)
    left, right = low_rank(weight, 6)
    for rank in range(7):
        own = low_rank(weight, rank)
        torch.testing.assert_close(own[0] @ own[1], left[:, :rank] @ right[:rank])
        rest = float((weight - own[0] @ own[1]).norm())
        # Eckart and Young: the root of the sum of squares of what is left out.
        assert rest == pytest.approx(math.sqrt((values[rank:] ** 2).sum()), abs=1e-5)


def test_a_division_by_hand():
    weight = torch.diag(torch.tensor([1.0, 2.0, 1.0, 4.0]))
    inputs = torch.tensor([[4.0, 1, 1, 1], [1, 3, 2, 0]])
    # Scores 4 2 1 4 and 1 6 2 0; half of them are at most 2.
    found = divide(weight, low_rank(weight, 0), inputs, 0.5, (1.0,))
    assert found == {"threshold": 2.0, "alpha": 1.0}
    # With all of the budget for the rank it is 1, the last channel, exact: no score is above.
    found = divide(weight, low_rank(weight, 1), inputs, 0.5, (0.0,))
    assert (found["threshold"], found["alpha"]) == (math.inf, 0.0)
    torch.testing.assert_close(found["left"] @ found["right"], np.diag([0, 0, 0, 4.0]).astype("f"))
    # Errors: roots of 5 and 5 by channels; of 16 + 4 + 1 and 1 + 36 + 4 by the rank.
    found = divide(weight, low_rank(weight, 1), inputs, 0.5, (0.0, 1.0))
    assert (found["threshold"], found["alpha"]) == (2.0, 1.0)


@pytest.mark.parametrize("alphas", [(0.5,), (0.5, 0.9), (1.0,)])
def test_a_share_of_0_has_no_rank_and_reads_all(alphas):
    generator = torch.Generator().manual_seed(0)
    weight, inputs = (torch.randn(size, generator=generator) for size in ((8, 12), (20, 12)))
    found = divide(weight, low_rank(weight, 4), inputs, 0.0, alphas)
    assert found == {"threshold": 0.0, "alpha": 1.0}


def test_a_share_of_1_reads_nothing_of_any_text():
    weight = torch.eye(4)
    found = divide(weight, low_rank(weight, 1), torch.ones(2, 4), 1.0, (0.5, 1.0))
    assert found["threshold"] == math.inf and "left" not in found


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_the_error_of_the_chosen_alpha_is_the_least(share, decay):
    """Against numpy's own decomposition; with a fast decay of singular values ranks pay."""
    generator = np.random.default_rng(1)
    left, right = (np.linalg.qr(generator.normal(size=(n, 20)))[0] for n in (20, 30))
    weight = (left * np.exp(-decay * np.arange(20))) @ right.T
    x = generator.normal(size=(40, 30))
    alphas, errors = (1.0, 0.9, 0.7, 0.4, 0.0), []
    u, s, v = np.linalg.svd(weight)
    for alpha in alphas:
        rank = math.floor((1 - alpha) * (1 - share) * 600 / 50 + 1e-9)
        number = round((share + rank * 50 / 600) * x.size)
        scores = np.abs(x) * np.linalg.norm(weight, axis=0)
        small = np.where(scores <= np.sort(scores, axis=None)[number - 1], x, 0)
        near = (u[:, :rank] * s[:rank]) @ v[:rank]
        errors.append(np.linalg.norm(small @ (weight - near).T, axis=1).mean())
    tensors = torch.from_numpy(weight).float(), torch.from_numpy(x).float()
    found = divide(tensors[0], low_rank(tensors[0], 12), tensors[1], share, alphas)
    assert found["alpha"] == alphas[int(np.argmin(errors))]
    assert (float(found["alpha"]) < 1) is bool(decay)


def test_alphas_outside_0_to_1_are_refused():
    for alphas in ((1.1,), (0.5, -0.1), ()):
        with pytest.raises(ValidationError):
            Options(alphas=alphas)


def one_layer(module, x, left, right, threshold):
    """W s(x) + U V (x - s(x)) in plain numpy, float64."""
    weight = matrix(module).detach().double().numpy()
    large = np.where(np.abs(x) * np.linalg.norm(weight, axis=0) > threshold, x, 0)
    return large @ weight.T + (x - large) @ (left @ right).T


@pytest.mark.parametrize("kind", ["gated-silu", "opt", "neox", "gpt2"])
def test_every_linear_layer_is_the_sum_of_both_parts(sparsifier, logits, kind):
    """Of the very input that reached it in the sparse model."""
    made = sparsifier("rsparse", kind, alphas=(0.6,))
    arrays, layout = made.at(0.4), made.evidence.layout
    modules = {
        f"{layer}/{name}": module
        for layer, block in enumerate(layout.blocks)
        for name, module in linear_layers(block)
    }
    given, got = {}, {}
    with ExitStack() as ends:
        # Hooks run in their order: these before the masks, the others after them.
        for module in modules.values():
            hook = module.register_forward_pre_hook(lambda m, x: given.update({m: x[0]}))
            ends.callback(hook.remove)
        with made.attached(0.4):
            for module in modules.values():
                hook = module.register_forward_hook(lambda m, _x, y: got.update({m: y}))
                ends.callback(hook.remove)
            logits(made.evidence.model)
    assert len(got) == len(modules)
    for place, module in modules.items():
        parts = [arrays[f"{place}/{key}"] for key in ("left", "right", "threshold")]
        wanted = one_layer(module, given[module].double().numpy(), *parts)
        if module.bias is not None:
            wanted += module.bias.detach().double().numpy()
        np.testing.assert_allclose(got[module].numpy(), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_block_as_plain_numpy_has_it(sparsifier, passed, plain, layer, share):
    made = sparsifier("rsparse", "gated-silu", alphas=(0.6,))
    arrays, block = made.at(share), made.evidence.layout.blocks[layer]
    with made.attached(share):
        seen = passed(made.evidence.model, layer)

    def of(name, x):
        parts = [arrays[f"{layer}/{name}/{key}"] for key in ("left", "right", "threshold")]
        return one_layer(block.get_submodule(name), x, *parts)

    h = plain(made.evidence.model, layer).act(of("mlp.gate_proj", seen.x))
    output = of("mlp.down_proj", h * of("mlp.up_proj", seen.x))
    np.testing.assert_allclose(seen.output, output, rtol=1e-3, atol=1e-5)
    query = of("self_attn.q_proj", seen.normed)
    np.testing.assert_allclose(seen.query, query, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["gated-silu", "gated-relu", "opt", "neox", "gpt2"])
def test_nothing_is_lost_with_the_full_rank(sparsifier, logits, kind):
    """However much is skipped, the rest goes through a matrix that is the same."""
    made = sparsifier("rsparse", kind)
    full = {}
    for layer, block in enumerate(made.evidence.layout.blocks):
        for name, module in linear_layers(block):
            weight = matrix(module).detach()
            left, right = low_rank(weight, min(weight.shape))
            full[f"{layer}/{name}/left"] = left.numpy()
            full[f"{layer}/{name}/right"] = right.numpy()
            full[f"{layer}/{name}/threshold"] = made.at(0.6)[f"{layer}/{name}/threshold"]
    made.entry.at = lambda *_: full
    dense = logits(made.evidence.model)
    with made.attached(0.6) as forward:
        close = logits(made.evidence.model)
        assert all(not bool(mask.all()) for mask in forward.kept.values())
    torch.testing.assert_close(close, dense, rtol=1e-3, atol=1e-3)


def test_extra_weights_are_those_of_the_factors(sparsifier, logits):
    made = sparsifier("rsparse", "gated-silu", alphas=(0.5,))
    with made.attached(0.5) as forward:
        logits(made.evidence.model)
    block = made.evidence.layout.blocks[1]
    # 256 * 0.25 / 32 = 2 ranks of 32; 128 * 0.25 / 24 = 1 of 24; 384 * 0.25 / 40 = 2 of 40.
    assert forward.extra[block.self_attn.q_proj] == 64
    assert forward.extra[block.self_attn.k_proj] == 24
    assert forward.extra[block.mlp.up_proj] == forward.extra[block.mlp.down_proj] == 80


def test_decompositions_are_made_once_for_all_shares(sparsifier, monkeypatch):
    made = sparsifier("rsparse", "gated-silu")
    first, again = made.at(0.5), []
    monkeypatch.setattr("pipeline.methods.sparsifiers.rsparse.low_rank", lambda *_: again.append(1))
    assert all((made.at(0.5)[key] == first[key]).all() for key in first)
    made.at(0.2)
    assert not again

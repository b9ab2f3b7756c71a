"""How a block's share is divided among its linear layers: the greedy path and places along it."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.methods.masks import Masks
from pipeline.methods.sparsifiers.by_input import (
    STEP,
    Options,
    along,
    column_norms,
    greedy,
    largest,
)
from pipeline.methods.sparsifiers.teal import Teal
from pipeline.methods.sparsifiers.wina import Wina
from pipeline.models.forward import Forward
from pipeline.models.views import linear_layers
from tests.methods.evidence import evidence_of, random_text


def test_a_path_by_hand():
    """Two layers of 100 and 300 weights, steps of 100: all of the first, or a third of the other.
    Errors are 3 a share of the first and 9 times the square of the other's."""
    path = greedy(np.array([100, 300]), lambda s: 3 * s[0] + 9 * s[1] ** 2, step=0.25)
    # 3 or 1; then 4 or 4, of which the first is taken; then 3 + 4, and the rest.
    np.testing.assert_allclose(path, [[0, 0], [0, 1 / 3], [1, 1 / 3], [1, 2 / 3], [1, 1]])


def test_what_is_left_of_a_layer_is_a_shorter_step():
    path = greedy(np.array([30, 70]), lambda s: s[1], step=0.2)
    np.testing.assert_allclose(
        path, [[0, 0], [2 / 3, 0], [1, 0], [1, 2 / 7], [1, 4 / 7], [1, 6 / 7], [1, 1]]
    )


@pytest.mark.parametrize("steps", [3, 5, 7, 10, 11, 40, 49])
def test_steps_that_divide_a_layer_are_as_many_as_they_should_be(steps):
    """Ten times 0.1 is below 1 in floats."""
    path = greedy(np.array([64]), lambda s: s[0], step=1 / steps)
    assert len(path) == steps + 1 and path[-1, 0] == 1


SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=4).map(np.array)
COSTS = st.lists(st.floats(0.01, 9), min_size=4, max_size=4).map(np.array)
POWERS = st.lists(st.floats(0.5, 3), min_size=4, max_size=4).map(np.array)


@given(SIZES, COSTS, POWERS)
def test_every_step_is_the_cheapest_there_is(sizes, costs, powers):
    """Against a search of all ways to go on, written down anew, with an error that adds up."""

    def error(shares):
        return sum(c * s**p for c, s, p in zip(costs, shares, powers, strict=False))

    path = greedy(sizes, error, step=0.1)
    assert (path[0] == 0).all() and (path[-1] == 1).all()
    whole = sizes.sum()
    for before, after in zip(path, path[1:], strict=False):
        assert (after >= before).all()
        (moved,) = np.flatnonzero(after != before)
        spared = (after - before) @ sizes
        # The same of all weights whatever the layer's size, but for its last step.
        assert spared == pytest.approx(0.1 * whole) or after[moved] == 1
        assert spared <= 0.1 * whole * (1 + 1e-6)
        costs_of = []
        for layer in range(len(sizes)):
            if before[layer] < 1:
                other = list(before)
                other[layer] = min(1, other[layer] + 0.1 * whole / sizes[layer])
                costs_of.append(error(other))
        assert error(after) == pytest.approx(min(costs_of))


@given(SIZES, COSTS, POWERS, st.floats(0, 1))
def test_the_layers_together_spare_the_share_asked_for(sizes, costs, powers, share):
    path = greedy(sizes, lambda s: (costs[: len(s)] * s ** powers[: len(s)]).sum(), step=0.1)
    found = along(path, sizes, share)
    assert found @ sizes / sizes.sum() == pytest.approx(share, abs=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


@given(SIZES, COSTS, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_share_lowers_that_of_no_layer(sizes, costs, one, other):
    path = greedy(sizes, lambda s: (costs[: len(s)] * s).sum(), step=0.1)
    low, high = (along(path, sizes, share) for share in sorted((one, other)))
    assert (low <= high + 1e-12).all()


def test_places_on_a_path_by_hand():
    path, sizes = np.array([[0, 0], [0, 1 / 3], [1, 1 / 3], [1, 1]]), np.array([100, 300])
    # Spared are 0, a quarter, a half, and all.
    for share, wanted in (
        (0.0, [0, 0]), (0.125, [0, 1 / 6]), (0.25, [0, 1 / 3]), (0.4, [0.6, 1 / 3]),
        (0.75, [1, 2 / 3]), (1.0, [1, 1]),
    ):  # fmt: skip
        np.testing.assert_allclose(along(path, sizes, share), wanted)
    assert along(path, sizes, 0.0).tolist() == [0, 0]


def test_norms_of_columns_by_hand():
    weight = torch.tensor([[3.0, 0, 5, 1], [4, 0, 12, 1]])
    assert column_norms(weight).tolist() == pytest.approx([5, 0, 13, 2**0.5])
    assert column_norms(weight.half()).dtype == torch.float32
    assert column_norms(weight.half())[3] == pytest.approx(2**0.5, rel=1e-7)


def test_the_largest_by_hand():
    scores = torch.tensor([[[1.0, 4, 3, 2]], [[0, -1, 7, 5]]])
    assert largest(scores, 2).int().tolist() == [[[0, 1, 1, 0]], [[0, 0, 1, 1]]]
    assert not largest(scores, 0).any() and largest(scores, 4).all()
    assert largest(torch.ones(3, 4), 3).sum(1).tolist() == [3, 3, 3]


@pytest.fixture(scope="module")
def evidence(make_model):
    """Of a gated model with narrow key and value projections: 32 of 64 weights a head."""
    model = make_model(hidden_act="silu", num_key_value_heads=1)
    return evidence_of(model, random_text(8), batch_size=4)


@pytest.fixture(scope="module", params=[Teal, Wina])
def fitted(request, evidence):
    """(the sparsifier, its greedy options, its path)."""
    options = Options(allocation="greedy")
    entry = request.param()
    prepared, curve = entry.prepare(evidence, options)
    assert curve == []
    return entry, options, prepared


def sizes_of(evidence):
    return np.array([m.weight.numel() for _, m in linear_layers(evidence.layout.blocks[0])])


def test_a_path_of_a_model_goes_from_dense_to_nothing_in_equal_steps(evidence, fitted):
    sizes = sizes_of(evidence)
    assert sizes.tolist() == [256, 128, 128, 256, 384, 384, 384]
    assert set(fitted[2]) == {"0/path", "1/path"}
    for path in fitted[2].values():
        spared = path @ sizes / sizes.sum()
        assert (path[0] == 0).all() and (path[-1] == 1).all()
        steps = np.diff(spared)
        last = (path[1:] == 1) & (path[:-1] < 1)
        assert np.allclose(steps[~last.any(axis=1)], STEP) and (steps <= STEP + 1e-9).all()
        assert (steps > 1e-6).all() and (np.diff(path, axis=0) >= 0).all()


def outputs(evidence, layer, entry, shares):
    """What a block of the model gives, at the tokens that count, with the other blocks dense; by a
    pass over the whole model."""
    names = [name for name, _ in linear_layers(evidence.layout.blocks[layer])]
    settings = np.zeros((2, len(names)))
    for place, (name, share) in enumerate(zip(names, shares, strict=True)):
        settings[layer, place] = entry.setting(evidence, layer, name, share) if share else 0
    seen, found = [], []
    with ExitStack() as ends, torch.inference_mode():
        masks = Masks(evidence.layout, Forward(), ends)
        entry.attach(masks, {"settings": settings}, None)
        hook = evidence.layout.blocks[layer].register_forward_hook(
            lambda _m, _i, y: seen.append(y[0] if isinstance(y, tuple) else y)
        )
        ends.callback(hook.remove)
        for batch in evidence.batched(1024):
            evidence.model(batch.tokens, attention_mask=batch.attention)
            found.append(seen.pop()[batch.counted])
    return torch.cat(found).double()


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("place", [0, 7, 20, 35])
def test_every_step_of_a_model_is_the_cheapest_for_its_blocks_output(
    evidence, fitted, layer, place
):
    entry, _, prepared = fitted
    path, sizes = prepared[f"{layer}/path"], sizes_of(evidence)
    whole = outputs(evidence, layer, entry, np.zeros(7))
    errors = {}
    for number in np.flatnonzero(path[place] < 1):
        shares = path[place].copy()
        shares[number] = min(1.0, shares[number] + STEP * sizes.sum() / sizes[number])
        off = outputs(evidence, layer, entry, shares) - whole
        errors[number] = float(np.mean([np.linalg.norm(row) for row in off.numpy()]))
    (moved,) = np.flatnonzero(path[place + 1] != path[place])
    assert errors[moved] == pytest.approx(min(errors.values()), rel=1e-6)


def test_levels_lie_on_the_path_and_settings_belong_to_their_shares(evidence, fitted):
    entry, options, prepared = fitted
    sizes = sizes_of(evidence)
    for share in (0.0, 0.3, 0.62, 1.0):
        arrays = entry.at(evidence, prepared, options, share)
        np.testing.assert_allclose(arrays["shares"] @ sizes / sizes.sum(), share, atol=1e-9)
        names = [name for name, _ in linear_layers(evidence.layout.blocks[0])]
        for layer in range(2):
            for name, one, found in zip(
                names, arrays["shares"][layer], arrays["settings"][layer], strict=True
            ):
                wanted = entry.setting(evidence, layer, name, float(one)) if one > 0 else 0
                assert found == wanted
    uneven = entry.at(evidence, prepared, options, 0.5)["shares"]
    assert np.ptp(uneven) > 0.1


def test_only_a_greedy_path_is_work_of_its_own(evidence):
    assert Teal.prepares({"allocation": "greedy"}) is True
    assert Teal.prepares({"allocation": "uniform"}) is False
    assert Teal().prepare(evidence, Options()) == ({}, [])
    arrays = Teal().at(evidence, {}, Options(), 0.4)
    assert arrays["shares"].tolist() == [[0.4] * 7] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("number", [0, 1, 5, 11, 12])
def test_the_largest_are_so_many_in_every_row_and_none_left_out_is_larger(dtype, number):
    torch.manual_seed(number)
    drawn = torch.randn(3, 4, 12).to(dtype)
    # Ones with many equals, and rows of equals alone.
    for scores in (drawn, drawn.round(), torch.zeros_like(drawn)):
        kept = largest(scores, number)
        assert kept.dtype == torch.bool and bool((kept.sum(-1) == number).all())
        least = scores.masked_fill(~kept, float("inf")).amin(-1)
        most = scores.masked_fill(kept, -float("inf")).amax(-1)
        assert bool((least >= most).all())

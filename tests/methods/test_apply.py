"""Neurons removed from a model: zeroing and slicing agree, and remove what they should."""

import copy

import numpy as np
import pytest
import torch

from pipeline.methods.apply import remove
from pipeline.models.views import view
from tests.small import ONE_A_VIEW

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2], [1, 40, 41, 42, 10, 11, 12, 13]])


def logits(model):
    with torch.inference_mode():
        return model(TOKENS).logits


def applied(model, dropped, how):
    pruned = copy.deepcopy(model)
    remove(dropped, view(pruned), how)
    return pruned


def masks():
    generator = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.5, 0.8, 0.97):
        yield f"{share} of all", generator.random((2, 24)) < share
    none, all_of_one, every = (np.zeros((2, 24), dtype=bool) for _ in range(3))
    all_of_one[0] = True
    every[:] = True
    yield "none", none
    yield "all of one layer", all_of_one
    yield "every neuron", every


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("dropped", [pytest.param(mask, id=name) for name, mask in masks()])
def test_slicing_equals_zeroing(make_model, architecture, dropped):
    activation = "silu" if dropped.sum() % 2 else "relu"
    model = make_model(architecture, hidden_act=activation)
    zeroed, sliced = (applied(model, dropped, how) for how in ("zero", "slice"))
    torch.testing.assert_close(logits(zeroed), logits(sliced), rtol=1e-4, atol=1e-4)
    # transformers' Conv1D refuses to have no inputs.
    least = 1 if architecture == "GPT2LMHeadModel" else 0
    wanted = np.maximum((~dropped).sum(axis=1), least).tolist()
    assert [ffn.d_ff for ffn in view(sliced).ffns] == wanted
    assert torch.equal(logits(zeroed), logits(model)) is not dropped.any()


@pytest.mark.parametrize("how", ["zero", "slice"])
def test_biases_of_removed_neurons_go_with_them(make_model, how):
    model = make_model(mlp_bias=True)
    with torch.no_grad():
        for ffn in view(model).ffns:
            for linear in (*ffn.inner, ffn.down):
                linear.bias.uniform_(0.5, 1.0)
    dropped = np.zeros((2, 24), dtype=bool)
    dropped[0, :] = True
    seen = []
    pruned = applied(model, dropped, how)
    ffn = view(pruned).ffns[0]
    ffn.owner.register_forward_hook(lambda _m, _i, output: seen.append(output))
    logits(pruned)
    # What is left of the block is the bias of its down projection.
    torch.testing.assert_close(seen[0], ffn.down.bias.expand_as(seen[0]))


@pytest.mark.parametrize("how", ["zero", "slice"])
def test_every_other_neuron_keeps_its_weights(make_model, how):
    model = make_model()
    dropped = np.zeros((2, 24), dtype=bool)
    dropped[1, [0, 7, 23]] = True
    kept = torch.from_numpy(~dropped[1])
    pruned = applied(model, dropped, how)
    before, after = view(model).ffns[1], view(pruned).ffns[1]
    for old, new in zip(before.inner, after.inner, strict=True):
        rows = new.weight if how == "slice" else new.weight[kept]
        assert torch.equal(rows, old.weight[kept])
    columns = after.down.weight if how == "slice" else after.down.weight[:, kept]
    assert torch.equal(columns, before.down.weight[:, kept])


def test_neurons_of_another_number_of_layers_are_an_error(make_model):
    with pytest.raises(ValueError, match="argument"):
        applied(make_model(), np.zeros((3, 24), dtype=bool), "zero")

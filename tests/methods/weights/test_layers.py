"""Pruning block by block, against passes of the partly pruned model and plain numpy."""

import copy

import numpy as np
import pytest
import torch

from pipeline.methods.apply import remove
from pipeline.methods.weights import layers, written
from pipeline.models.forward import Forward
from pipeline.models.sparsity import Meter, figures
from pipeline.models.views import linear_layers, matrix, view
from pipeline.registry import WEIGHTS
from tests.methods.evidence import SPECIAL_IDS, evidence_of, random_text
from tests.small import ONE_A_VIEW

TEXT = random_text(12, seed=3)


def pruner_of(name, **options):
    """A registered pruner and its options."""
    entry = WEIGHTS.load(name)()
    return entry, entry.Options(**options)


def pruned(model, name, share=0.5, text=TEXT, **options):
    """(arrays, the pruned copy) of a model."""
    own = copy.deepcopy(model)
    arrays = layers.prune(evidence_of(own, text, batch_size=5), *pruner_of(name, **options), share)
    return arrays, own


def read_in_a_pass(model, layer):
    """What every linear layer of a block reads in plain passes of the model as it is, sequence by
    sequence without padding: module -> (tokens, inputs) float64, special tokens left out."""
    modules = [module for _, module in linear_layers(view(model).blocks[layer])]
    found = {module: [] for module in modules}
    hooks = [
        module.register_forward_pre_hook(lambda which, given: found[which].append(given[0]))
        for module in modules
    ]
    keep = []
    for row in TEXT:
        keep += [token not in SPECIAL_IDS for token in row]
        with torch.inference_mode():
            model(torch.tensor([row]))
    for hook in hooks:
        hook.remove()
    rows = {m: torch.cat([x.reshape(-1, x.shape[-1]) for x in read]) for m, read in found.items()}
    return {module: read[keep].double().numpy() for module, read in rows.items()}


def removed_of(scores, count):
    """The `count` lowest along the last axis, of equal ones the first."""
    places = np.argsort(scores, axis=-1, kind="stable")[..., :count]
    found = np.zeros(scores.shape, bool)
    np.put_along_axis(found, places, True, axis=-1)
    return found


def magnitude(weight, x, pattern):
    if pattern == "2:4":
        groups = np.abs(weight).reshape(len(weight), -1, 4)
        return np.where(removed_of(groups, 2).reshape(weight.shape), 0, weight)
    flat = removed_of(np.abs(weight).reshape(-1), round(0.5 * weight.size))
    return np.where(flat.reshape(weight.shape), 0, weight)


def wanda(weight, x, pattern):
    scores = np.abs(weight) * np.sqrt((x**2).sum(0))
    if pattern == "2:4":
        gone = removed_of(scores.reshape(len(weight), -1, 4), 2).reshape(weight.shape)
    else:
        gone = removed_of(scores, round(0.5 * weight.shape[1]))
    return np.where(gone, 0, weight)


def sparsegpt(weight, x, pattern):
    """Column by column, with the inverse of what is left of the Hessian written out."""
    outputs, inputs = weight.shape
    hessian = 2 * x.T @ x / len(x)
    hessian += 0.01 * np.diag(hessian).mean() * np.eye(inputs)
    inverses = [np.linalg.inv(hessian[j:, j:]) for j in range(inputs)]
    scale = np.array([inverse[0, 0] for inverse in inverses])
    current, gone = weight.copy(), np.zeros(weight.shape, bool)
    if pattern == "unstructured":
        # All columns are one block.
        scores = (current**2 / scale).reshape(-1)
        gone = removed_of(scores, round(0.5 * weight.size)).reshape(weight.shape)
    for j in range(inputs):
        if pattern == "2:4" and j % 4 == 0:
            gone[:, j : j + 4] = removed_of(current[:, j : j + 4] ** 2 / scale[j : j + 4], 2)
        lost = np.where(gone[:, j], current[:, j], 0.0) / scale[j]
        current[:, j:] -= np.outer(lost, inverses[j][0])
    return np.where(gone, 0, current)


ORACLES = {"magnitude": magnitude, "wanda": wanda, "sparsegpt": sparsegpt}


def by_hand(model, name, pattern):
    """A copy whose blocks are pruned one after the other, on what the copy hands them."""
    own = copy.deepcopy(model)
    for layer, block in enumerate(view(own).blocks):
        read = read_in_a_pass(own, layer)
        for _, module in linear_layers(block):
            new = ORACLES[name](matrix(module).detach().double().numpy(), read[module], pattern)
            matrix(module).data.copy_(torch.from_numpy(new))
    return own


def weights(model):
    """(layer, name) -> (outputs, inputs) of all linear layers of the blocks."""
    return {
        (layer, name): matrix(module).detach()
        for layer, block in enumerate(view(model).blocks)
        for name, module in linear_layers(block)
    }


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
@pytest.mark.parametrize("name", ORACLES)
def test_every_block_is_pruned_on_what_the_pruned_ones_before_it_hand_on(make_model, name, pattern):
    model = make_model(hidden_act="silu", num_key_value_heads=1)
    _, found = pruned(model, name, pattern=pattern)
    wanted = weights(by_hand(model, name, pattern))
    for place, weight in weights(found).items():
        assert torch.equal(weight == 0, wanted[place] == 0), place
        torch.testing.assert_close(weight, wanted[place], rtol=2e-3, atol=2e-4)
    if name == "magnitude":
        return
    # On what the dense blocks hand on, other weights of the second block would go.
    alone = copy.deepcopy(model)
    read = read_in_a_pass(model, 1)
    for (_, own), (_, module) in zip(
        linear_layers(view(alone).blocks[1]), linear_layers(view(model).blocks[1]), strict=True
    ):
        new = ORACLES[name](matrix(module).detach().double().numpy(), read[module], pattern)
        matrix(own).data.copy_(torch.from_numpy(new))
    others = weights(alone)
    second = [(layer, name) for layer, name in wanted if layer]
    assert not all(torch.equal(others[p] == 0, wanted[p] == 0) for p in second)
    first = [(layer, name) for layer, name in wanted if not layer]
    assert all(torch.equal(others[p], weights(model)[p]) for p in first)


@pytest.mark.parametrize("name", ["magnitude", "wanda"])
def test_neurons_go_block_by_block_too(make_model, name):
    model = make_model(hidden_act="silu")
    arrays, found = pruned(model, name, 0.25, pattern="channels")
    own = copy.deepcopy(model)
    wanted = np.zeros((2, 24), bool)
    for layer, ffn in enumerate(view(own).ffns):
        h = read_in_a_pass(own, layer)[ffn.down.module]
        gate, up, down = (part.weight.detach().double().numpy() for part in (*ffn.inner, ffn.down))
        scores = np.abs(down).sum(0) * np.sqrt((h**2).sum(0))
        if name == "magnitude":
            scores = np.sqrt((gate**2).sum(1) + (up**2).sum(1) + (down**2).sum(0))
        wanted[layer] = removed_of(scores, 6)
        ffn.zero(torch.from_numpy(wanted[layer]))
    assert list(arrays) == ["dropped"] and arrays["dropped"].dtype == np.uint8
    assert np.array_equal(arrays["dropped"].astype(bool), wanted)
    assert all(torch.equal(w, weights(own)[p]) for p, w in weights(found).items())
    fresh = copy.deepcopy(model)
    written.apply(arrays, view(fresh))
    assert all(torch.equal(w, weights(model)[p]) for p, w in weights(fresh).items())
    remove(wanted, view(fresh))
    assert all(torch.equal(w, weights(own)[p]) for p, w in weights(fresh).items())
    assert written.pruned(arrays, view(fresh)) == {}


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_arrays_make_the_same_weights_bit_for_bit(make_model, architecture, name, dtype):
    # Twenty bits are no whole number of bytes.
    sizes = {"hidden_size": 20, "word_embed_proj_dim": 20, "head_dim": 10}
    model = make_model(architecture, hidden_act="silu", **sizes).to(dtype)
    arrays, found = pruned(model, name, 0.3)
    fresh = copy.deepcopy(model)
    written.apply(arrays, view(fresh))
    for (place, one), two in zip(
        found.state_dict().items(), fresh.state_dict().values(), strict=True
    ):
        # Of zeros, the signs too.
        kind = torch.int16 if dtype == torch.bfloat16 else torch.int32
        same = one.view(kind) if one.dtype == dtype else one
        assert torch.equal(same, two.view(kind) if two.dtype == dtype else two), place
    kinds = {"values"} if name == "sparsegpt" else {"mask"}
    wanted = {f"{layer}/{place}/{kind}" for layer, place in weights(model) for kind in kinds}
    assert set(arrays) == wanted


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("name", WEIGHTS)
def test_only_the_matrices_of_the_blocks_are_pruned_and_by_exactly_the_share(
    make_model, architecture, name
):
    model = make_model(architecture, hidden_act="silu")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                parameter.uniform_(-0.3, 0.3)
    arrays, found = pruned(model, name, 0.3)
    layout = view(found)
    left = written.pruned(arrays, layout)
    matrices = {m.weight for block in layout.blocks for _, m in linear_layers(block)}
    for (key, before), (_, after) in zip(
        model.named_parameters(), found.named_parameters(), strict=True
    ):
        if any(after is weight for weight in matrices):
            # Wanda removes as many of every row, SparseGPT and magnitude of the whole.
            inputs = after.shape[0 if architecture == "GPT2LMHeadModel" else 1]
            wanted = round(0.3 * after.numel())
            if name == "wanda":
                wanted = after.numel() // inputs * round(0.3 * inputs)
            assert int((after == 0).sum()) == wanted, key
        else:
            assert torch.equal(before, after), key
    assert len(left) == len(matrices) == len(arrays)
    for module, mask in left.items():
        assert mask.dtype == torch.bool and torch.equal(mask, matrix(module) != 0)
    # What is measured is what was asked for.
    forward = Forward(pruned=left)
    meter = Meter(layout, forward)
    with torch.inference_mode(), meter.watching(found):
        found(torch.tensor([[1, 5, 9]]))
    measured = figures(meter.counts())["imposed"]
    gone = sum(int((~mask).sum()) for mask in left.values())
    assert measured["model_weight_sparsity"] == gone / layout.linear_weights
    assert measured["neuron_sparsity"] == 0


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_share_and_a_pattern_that_do_not_fit_are_refused(make_model, name):
    model = make_model(hidden_size=18, head_dim=8)
    with pytest.raises(ValueError, match="2:4"):
        pruned(model, name, 0.4, pattern="2:4")
    with pytest.raises(ValueError, match="4"):
        pruned(model, name, 0.5, pattern="2:4")


def test_a_weight_that_was_zero_before_stays_so_and_counts_as_removed(make_model):
    model = make_model()
    with torch.no_grad():
        view(model).ffns[0].down.weight[:, :3] = 0
    arrays, found = pruned(model, "magnitude", 0.05)
    mask = written.pruned(arrays, view(found))[view(found).ffns[0].down.module]
    assert not mask[:, :3].any() and int((~mask).sum()) == 3 * 16


def test_special_tokens_and_padding_are_not_what_weights_are_chosen_by(make_model):
    """A matrix is pruned on the same tokens, whatever stands beside them."""
    model = make_model(hidden_act="silu", num_hidden_layers=1)
    plain, _ = pruned(model, "wanda", 0.5, text=[TEXT[0]])
    longer = [TEXT[0], [1] * 40]
    beside, _ = pruned(model, "wanda", 0.5, text=longer)
    assert all(np.array_equal(plain[name], beside[name]) for name in plain)


@pytest.mark.parametrize(
    ("name", "asked"), [("wanda", [0, 1, 2, 0, 0, 1, 1, 2]), ("magnitude", [])]
)
def test_a_pass_over_the_text_and_two_of_each_block_or_none_where_text_is_not_weighed(
    make_model, name, asked
):
    """The last block is not run again: nothing reads it."""
    model = make_model(num_hidden_layers=3)
    calls = []
    for layer, block in enumerate(view(model).blocks):
        block.register_forward_hook(lambda *_, n=layer: calls.append(n))
    layers.prune(evidence_of(model, TEXT, batch_size=64), *pruner_of(name), 0.5)
    assert calls == asked

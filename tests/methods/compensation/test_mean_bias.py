"""The mean bias: by hand, against a loop over tokens, and what is left once it is folded."""

import copy
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from transformers import LlamaConfig

from pipeline.config.level import WHOLE
from pipeline.errors import UserError
from pipeline.methods.compensation.mean_bias import MeanBias
from pipeline.methods.compensation.sites import Repair, fold, modules
from pipeline.methods.fitting import fit
from pipeline.methods.masks import Masks
from pipeline.methods.plan import Asked
from pipeline.methods.sparsifiers.teal import Teal
from pipeline.models.forward import Forward
from pipeline.models.views import FFNView, ModelView, Projection, linear_layers, matrix, view
from tests.methods.evidence import SPECIAL_IDS, evidence_of, random_text
from tests.small import ONE_A_VIEW

TEXT = random_text(12, seed=5)
START, PADDING = 1, 0


class OneLinear(torch.nn.Module):
    """A model whose only layer reads the rows of a table; special tokens have large ones."""

    def __init__(self, weight, bias=None):
        super().__init__()
        rows = torch.full((7, 4), 99.0)
        rows[4:] = torch.tensor([[1, -2, 0.5, 4], [0.25, 3, -1, 0], [-2, 0.5, 1, -0.5]])
        self.table = torch.nn.Embedding.from_pretrained(rows)
        self.block = torch.nn.Module()
        self.block.down = torch.nn.Linear(4, 4, bias=bias is not None)
        self.block.down.weight = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float32))
        if bias is not None:
            self.block.down.bias = torch.nn.Parameter(torch.tensor(bias))
        ffn = FFNView((), Projection(self.block.down), "relu", self.block, None)
        self.layout = ModelView([ffn], [self.block])
        sizes = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1}
        self.config = LlamaConfig(**sizes, num_attention_heads=1)

    @property
    def base_model(self):
        return self

    def forward(self, input_ids, attention_mask=None, use_cache=False):
        return self.block.down(self.table(input_ids))


def repair_of(student, original, rows, forward, batch_size=16):
    """A repair, of models that have a view of their own or the usual one."""
    evidence = evidence_of(student, rows, batch_size=batch_size)
    repair = Repair(evidence, forward, lambda: original)
    if isinstance(student, OneLinear):
        vars(evidence)["layout"] = student.layout
        vars(repair)["original_layout"] = original.layout
    return repair


def mean_bias(repair, sites="down"):
    found, curve = MeanBias().fit(repair, MeanBias.Options(sites=sites))
    assert curve == []
    return found


WEIGHT = [[12, 0, 0, 0], [0, 6, 6, 0], [3, 0, -6, 0], [0, 0, 3, 12]]
THREE_TOKENS = [[START, 4, 5], [START, 6]]


@pytest.mark.parametrize("bias", [None, [7.0, -3.0, 0.5, 2.0]])
def test_what_a_threshold_left_out_by_hand(bias):
    # Above 1 in magnitude are -2 and 4, 3, and -2. What is left out of the three tokens is
    # (1, 0, .5, 0), (.25, 0, -1, 0) and (0, .5, 1, -.5), in the mean (1.25, .5, .5, -.5) / 3, and
    # W makes (5, 2, .25, -1.5) of that. A bias is in both outputs.
    student, original = OneLinear(WEIGHT, bias), OneLinear(WEIGHT, bias)
    with ExitStack() as ends:
        forward = Forward()
        masks = Masks(student.layout, forward, ends)
        Teal().attach(masks, {"settings": np.array([[1.0]])}, None)
        found = mean_bias(repair_of(student, original, THREE_TOKENS, forward))
    assert found["0/down"].tolist() == pytest.approx([5, 2, 0.25, -1.5])
    assert found["0/down"].dtype == np.float32


def test_what_pruned_weights_left_out_by_hand():
    # The mean of the tokens is (-.25, .5, 1/6, 7/6), of which the two weights of 12 that are gone
    # made -3 and 14.
    student, original = OneLinear(WEIGHT), OneLinear(WEIGHT)
    with torch.no_grad():
        student.block.down.weight[0, 0] = student.block.down.weight[3, 3] = 0
    found = mean_bias(repair_of(student, original, THREE_TOKENS, Forward()))
    assert found["0/down"].tolist() == pytest.approx([-3, 0, 0, 14])


def test_text_of_special_tokens_is_refused():
    model = OneLinear(WEIGHT)
    with pytest.raises(UserError, match="no token of the calibration text counts"):
        mean_bias(repair_of(model, model, [[START, START]], Forward()))


def pruned(model):
    """A copy without the smaller half of every matrix of the blocks."""
    student = copy.deepcopy(model)
    with torch.no_grad():
        for block in view(student).blocks:
            for _, module in linear_layers(block):
                matrix(module).mul_(matrix(module).abs() > matrix(module).abs().median())
    return student


def watched(student, forward, rows):
    """LAYER/LINEAR -> (what it reads before any mask, what it gives), (tokens, channels) float64,
    at the words of every sequence, one by one."""
    read, given = {}, {}
    with ExitStack() as ends, torch.inference_mode():
        for place, module in modules(view(student), "all").items():
            hook = module.register_forward_pre_hook(
                lambda _m, x, p=place: read.setdefault(p, []).append(x[0]), prepend=True
            )
            ends.callback(hook.remove)
            hook = module.register_forward_hook(
                lambda _m, _x, y, p=place: given.setdefault(p, []).append(y)
            )
            ends.callback(hook.remove)
        ends.enter_context(forward.watching(student))
        for row in rows:
            student(input_ids=torch.tensor([row]))
    words = [np.array([token not in SPECIAL_IDS for token in row]) for row in rows]

    def counted(found):
        return np.concatenate(
            [
                x.reshape(-1, x.shape[-1]).double().numpy()[w]
                for x, w in zip(found, words, strict=True)
            ]
        )

    return {place: (counted(read[place]), counted(given[place])) for place in read}


def numbers(model):
    """LAYER/LINEAR -> (weight (outputs, inputs), bias), float64."""
    return {
        place: (
            matrix(module).detach().double().numpy(),
            0.0 if module.bias is None else module.bias.detach().double().numpy(),
        )
        for place, module in modules(view(model), "all").items()
    }


def masked(student, ends, threshold=0.4):
    """TEAL at one threshold everywhere."""
    forward, layout = Forward(), view(student)
    settings = np.full((len(layout.blocks), len(list(linear_layers(layout.blocks[0])))), threshold)
    Teal().attach(Masks(layout, forward, ends), {"settings": settings}, None)
    return forward


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("sites", ["down", "all"])
def test_a_loop_over_the_tokens_finds_the_same(make_model, architecture, sites):
    """Weights pruned and inputs masked: once through the text for W x, once for W' s(x)."""
    original = make_model(architecture, hidden_act="silu", mlp_bias=True)
    student = pruned(original)
    with ExitStack() as ends:
        forward = masked(student, ends)
        found = mean_bias(repair_of(student, original, TEXT, forward, batch_size=5), sites)
        seen = watched(student, forward, TEXT)
    whole, left = numbers(original), numbers(student)
    names = modules(view(original), sites)
    assert found.keys() == names.keys()
    for place in names:
        (weight, bias), (pruned_weight, _) = whole[place], left[place]
        dense = sparse = 0.0
        for x in seen[place][0]:
            dense = dense + weight @ x + bias
        for x in seen[place][0]:
            sparse = sparse + pruned_weight @ np.where(np.abs(x) > 0.4, x, 0) + bias
        wanted = (dense - sparse) / len(seen[place][0])
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(found[place], wanted, atol=2e-6)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_pruning_alone_leaves_the_mean_of_what_its_weights_made(make_model, architecture):
    """b = E[W x - W' x], with x what reaches the layer in the pruned model."""
    original = make_model(architecture, hidden_act="silu")
    parts = {
        "weights": {"name": "wanda", "options": {"share": 0.5, "pattern": "unstructured"}},
        "compensation": {"name": "mean_bias", "options": {"sites": "down"}},
    }
    evidence = evidence_of(copy.deepcopy(original), TEXT)
    plan, _ = fit(Asked(parts, WHOLE), evidence, {}, lambda: original)
    alone = evidence_of(copy.deepcopy(original), TEXT)
    fit(Asked({"weights": parts["weights"]}, WHOLE), alone, {}, pytest.fail)
    seen = watched(alone.model, Forward(), TEXT)
    for place, found in plan.of("compensation").items():
        gone = numbers(original)[place][0] - numbers(alone.model)[place][0]
        wanted = gone @ seen[place][0].mean(0)
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_and_padding_change_nothing(make_model, batch_size):
    original = make_model("OPTForCausalLM", hidden_act="silu")
    student = pruned(original)
    with ExitStack() as ends:
        forward = masked(student, ends)
        one = mean_bias(repair_of(student, original, TEXT, forward, batch_size=1), "all")
        other = mean_bias(repair_of(student, original, TEXT, forward, batch_size), "all")
    for place, values in one.items():
        np.testing.assert_allclose(other[place], values, atol=1e-6)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_once_folded_a_layer_gives_its_mean_output_again(make_model, architecture):
    """In a model of one layer, at the down projection and, of all sites, at those that no other
    site's bias reaches: what they read is as it was."""
    sizes = {"num_hidden_layers": 1, "hidden_act": "silu"}
    original = make_model(architecture, **sizes)
    for sites in ("down", "all"):
        student = pruned(original)
        with ExitStack() as ends:
            forward = masked(student, ends)
            before = watched(student, forward, TEXT)
            found = mean_bias(repair_of(student, original, TEXT, forward), sites)
            fold(found, view(student))
            after = watched(student, forward, TEXT)
        # The first that is called, whatever the order of definition.
        place = next(iter(before if sites == "all" else modules(view(original), "down")))
        weight, bias = numbers(original)[place]
        for seen, near in ((before, False), (after, True)):
            x, y = seen[place]
            error = np.abs((x @ weight.T + bias - y).mean(0)).max()
            assert error < 1e-6 if near else error > 1e-3


def test_nothing_is_left_behind(make_model):
    original = make_model()
    student = pruned(original)
    weights = copy.deepcopy(student.state_dict())
    with ExitStack() as ends:
        forward = masked(student, ends)
        hooks = _hooks(student)
        mean_bias(repair_of(student, original, TEXT, forward), "all")
        assert _hooks(student) == hooks and forward.counted is None
    assert not any(_hooks(student)) and not any(_hooks(original))
    assert all(torch.equal(weights[name], values) for name, values in student.state_dict().items())


def _hooks(model):
    return [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()]

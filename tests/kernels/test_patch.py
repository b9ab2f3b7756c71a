"""Patched models against models that are masked by hooks of the tests' own."""

import copy
from dataclasses import dataclass

import pytest
import torch

from pipeline.kernels import patch
from pipeline.kernels.patch import PREFILL_ROWS, crossover
from pipeline.kernels.rules import Chosen, LayerRules, Threshold
from pipeline.models.views import linear_layers, view
from pipeline.registry import ARCHITECTURES

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2], [1, 40, 41, 42, 10, 11, 12, 13]])


@dataclass
class Told:
    """Rules as they are, one for all blocks."""

    rules: LayerRules

    def for_kernels(self, shape):
        return [self.rules for _ in shape.ffns]


def logits(model, tokens=TOKENS):
    with torch.inference_mode():
        return model(tokens).logits


def masked(model, change):
    """A copy whose h is what `change(ffn, x, h)` makes of it; x is what the FFN reads."""
    own = copy.deepcopy(model)
    for ffn in view(own).ffns:
        held = {}
        ffn.inner[0].module.register_forward_pre_hook(
            lambda _m, given, held=held: held.__setitem__("x", given[0])
        )
        ffn.replace(lambda h, ffn=ffn, held=held: change(ffn, held["x"], h))
    return own


def first(ffn, x):
    """act(gate x), or h without a gate."""
    matrix = ffn.inner[0]
    return ffn.act(torch.nn.functional.linear(x, matrix.weight, matrix.bias))


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def random_biases(model):
    """Where an architecture has some, they are zeros."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.endswith("bias"):
                values.uniform_(-0.3, 0.3)
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu_pytorch_tanh"])
def test_a_threshold_of_every_architecture(make_model, architecture, activation):
    model = random_biases(make_model(architecture, hidden_act=activation))
    value = 0.05
    wanted = logits(
        masked(model, lambda ffn, x, h: h * (first(ffn, x).abs() > value).reshape(h.shape))
    )
    assert not torch.allclose(wanted, logits(model), atol=1e-3)
    patched = patch(model, Told(LayerRules(neurons=Threshold(value))), prefill="sparse")
    close(logits(model), wanted)
    assert [each.part for each in patched.decisions] == ["ffn", "ffn"]
    assert all(each.kernel and 0 <= each.crossover <= 1 for each in patched.decisions)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_removing_a_patch_gives_the_dense_model(make_model, architecture):
    model = random_biases(make_model(architecture, hidden_act="silu"))
    before = logits(model)
    patched = patch(model, Told(LayerRules(neurons=Threshold(0.5))), prefill="sparse")
    assert not torch.allclose(logits(model), before, atol=1e-3)
    patched.remove()
    close(logits(model), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neurons_that_are_dropped_are_cut_out(make_model, architecture):
    model = random_biases(make_model(architecture, hidden_act="relu"))
    dropped = torch.rand(24, generator=torch.Generator().manual_seed(0)) < 0.5
    wanted = logits(masked(model, lambda _ffn, _x, h: h * ~dropped))
    patch(model, Told(LayerRules(dropped=dropped, neurons=Threshold(0.0))), prefill="sparse")
    close(logits(model), wanted)
    assert [ffn.d_ff for ffn in view(model).ffns] == [int((~dropped).sum())] * 2


def test_a_model_without_neurons_still_runs(make_model):
    model = make_model(hidden_act="relu")
    everything = torch.ones(24, dtype=torch.bool)
    wanted = logits(masked(model, lambda _ffn, _x, h: h * 0))
    patched = patch(model, Told(LayerRules(dropped=everything, neurons=Threshold(0.0))))
    close(logits(model), wanted)
    assert not patched.decisions


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "OPTForCausalLM", "Phi3ForCausalLM"])
@pytest.mark.parametrize("fall_back", [True, False])
def test_chosen_neurons_see_the_residual_stream(make_model, architecture, fall_back):
    """Those whose place, with the sign of the stream's first channel, is even or odd."""
    model = random_biases(make_model(architecture, hidden_act="silu"))

    def choose(residual):
        assert residual.shape[1] == 16
        return (torch.arange(24) + (residual[:, :1] > 0)) % 2 == 0

    streams = {}
    own = copy.deepcopy(model)
    for ffn in view(own).ffns:
        ffn.before.register_forward_pre_hook(
            lambda _m, given: streams.__setitem__("now", given[0].reshape(-1, 16))
        )
        ffn.replace(lambda h: h * choose(streams["now"]).reshape(h.shape))
    wanted = logits(own)
    # An expectation of nothing lies below any crossover, unless kernels always win.
    patched = patch(
        model, Told(LayerRules(neurons=Chosen(choose))), prefill="sparse", expected=-1.0,
        fall_back=fall_back,
    )  # fmt: skip
    assert all(each.kernel is not fall_back for each in patched.decisions)
    close(logits(model), wanted)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("fall_back", [True, False])
def test_channels_of_every_linear_layer(make_model, architecture, fall_back):
    model = random_biases(make_model(architecture, hidden_act="silu"))
    own = copy.deepcopy(model)
    thresholds = {}
    for block in view(own).blocks:
        for place, (name, module) in enumerate(linear_layers(block)):
            thresholds[name] = 0.02 * (place + 1)
            module.register_forward_pre_hook(
                lambda _m, given, t=thresholds[name]: given[0] * (given[0].abs() > t)
            )
    wanted = logits(own)
    patched = patch(
        model, Told(LayerRules(channels=thresholds)), prefill="sparse", expected={0: -1.0, 1: -1.0},
        fall_back=fall_back,
    )  # fmt: skip
    close(logits(model), wanted)
    assert [each.part for each in patched.decisions] == 2 * list(thresholds)


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_a_layer_that_would_lose_stays_dense_and_masked(make_model, activation):
    model = make_model(hidden_act=activation)
    value = 0.05
    wanted = logits(masked(model, lambda ffn, x, h: h * (first(ffn, x).abs() > value)))
    rules = Told(LayerRules(neurons=Threshold(value)))
    patched = patch(model, rules, prefill="sparse", expected=-1.0)
    assert not any(each.kernel for each in patched.decisions)
    close(logits(model), wanted)
    assert patched.report()[0]["expected"] == -1.0


def test_prefill_is_dense_and_decoding_sparse(make_model):
    model = make_model(hidden_act="silu")
    dense = copy.deepcopy(model)
    value = 0.05
    sparse = masked(model, lambda ffn, x, h: h * (first(ffn, x).abs() > value))
    patch(model, Told(LayerRules(neurons=Threshold(value))))
    tokens = torch.arange(PREFILL_ROWS)[None] + 4
    close(logits(model, tokens), logits(dense, tokens))
    close(logits(model, tokens[:, :-1]), logits(sparse, tokens[:, :-1]))
    # A step after a dense prompt, with what is kept of it.
    with torch.inference_mode():
        kept = [each(tokens, use_cache=True).past_key_values for each in (model, dense)]
        step = torch.tensor([[9]])
        found, wanted = (
            each(step, past_key_values=past).logits
            for each, past in zip((model, sparse), kept, strict=True)
        )
    close(found, wanted)


def test_weights_are_views_of_what_is_packed(make_model):
    """Memory does not grow, and the model is still one that can be saved."""
    model = make_model(hidden_act="silu")
    before = {name: values.clone() for name, values in model.state_dict().items()}
    patch(model, Told(LayerRules(neurons=Threshold(0.1))))
    for ffn in view(model).ffns:
        memory = {p.weight.untyped_storage().data_ptr() for p in (*ffn.inner, ffn.down)}
        assert len(memory) == 1
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])


def test_greedy_decoding_gives_the_same_tokens(make_model):
    model = make_model(hidden_act="relu")
    wanted = model.generate(TOKENS[:, :3], max_new_tokens=12, do_sample=False)
    patch(model, Told(LayerRules(neurons=Threshold(0.0))))
    assert torch.equal(model.generate(TOKENS[:, :3], max_new_tokens=12, do_sample=False), wanted)


def test_another_prefill_is_refused(make_model):
    with pytest.raises(ValueError, match="prefill is 'both'"):
        patch(make_model(), Told(LayerRules()), prefill="both")


@pytest.mark.parametrize(
    "dense, sparse, share",
    [
        (2.0, [1.0, 0.5, 0.1], 0.0),
        (1.0, [1.0, 0.5, 0.1], 0.0),
        (1.0, [2.0, 1.5, 1.2], 1.0),
        (1.0, [2.0, 0.0, 0.0], 0.25),
        (1.0, [3.0, 2.0, 0.0], 0.7),
    ],
)
def test_the_crossover_lies_on_the_line_between_measurements(dense, sparse, share):
    assert crossover(dense, sparse) == pytest.approx(share)

"""A model that decodes through the kernels computes what the same plan's masks compute."""

import copy
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from transformers.activations import ACT2FN

from pipeline.decoding import patch
from pipeline.decoding.of_plan import for_kernels
from pipeline.errors import UserError
from pipeline.methods.apply import apply, entry_of
from pipeline.methods.plan import Plan, Refused
from pipeline.models.forward import CONTINUATION
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, linear_layers, view
from pipeline.registry import SPARSIFIERS

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2], [1, 40, 41, 42, 10, 11, 12, 13]])
LAYERS, WIDTH, NEURONS = 2, 16, 24


def arrays_of(name, model):
    """What the sparsifier would be fitted to, drawn; None where the kernels have no form of it."""
    draw = np.random.default_rng(0)
    if entry_of("sparsifier", name).static:
        return {"dropped": (draw.random((LAYERS, NEURONS)) < 0.4).astype(np.uint8)}
    if name == "cats":
        return {"thresholds": np.array([0.02, 0.05])}
    if name == "teal":
        linear = len(list(linear_layers(view(model).blocks[0])))
        size = (LAYERS, linear)
        return {"settings": draw.uniform(0.01, 0.1, size), "shares": draw.uniform(0, 1, size)}
    if name == "predicted":
        layers = {
            f"{layer}/{part}": draw.standard_normal(shape).astype("f")
            for layer in range(LAYERS)
            for part, shape in (("first", (4, WIDTH)), ("second", (NEURONS, 4)))
        }
        allowed = (draw.random((LAYERS, NEURONS)) < 0.8).astype(np.uint8)
        return {**layers, "thresholds": np.array([-0.1, 0.2]), "allowed": allowed}
    return None


def plan_of(name, arrays, parts=None, more=None, **facts):
    needed = {"distractor": "prose"} if name == "selective" else {}
    options = entry_of("sparsifier", name).Options(**needed).model_dump()
    held = {f"sparsifier/{key}": values for key, values in arrays.items()}
    parts = {**(parts or {}), "sparsifier": {"name": name, "options": options}}
    return Plan(parts, "0.5", 0, {**held, **(more or {})}, **facts)


def logits(model):
    with torch.inference_mode():
        return model(TOKENS).logits


def steps(model, past=None):
    """The same, one token after the other."""
    found = []
    with torch.inference_mode():
        for place in range(TOKENS.shape[1]):
            step = model(TOKENS[:, place : place + 1], past_key_values=past, use_cache=True)
            past = step.past_key_values
            found.append(step.logits)
    return torch.cat(found, dim=1)


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def masked(model, plan):
    own = copy.deepcopy(model)
    with ExitStack() as ends:
        forward = apply(plan, view(own), ends)
        ends.enter_context(forward.watching(own))
        return logits(own)


@pytest.mark.parametrize("name", SPARSIFIERS)
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_every_sparsifier_decodes_as_it_masks_or_is_refused(make_model, name, activation):
    model = make_model(hidden_act=activation)
    arrays = arrays_of(name, model)
    if arrays is None:
        with pytest.raises(Refused, match="has no form in the kernels"):
            patch(model, for_kernels(plan_of(name, {})))
        return
    plan = plan_of(name, arrays)
    wanted = masked(model, plan)
    assert not torch.allclose(wanted, logits(model), atol=1e-3)
    patched = patch(model, for_kernels(plan), fall_back=False)
    close(steps(model), wanted)
    close(logits(model), wanted)
    # What is zero by itself is skipped too, where nothing goes by the FFN's channels.
    of_ffn = any(each.part == "ffn" for each in patched.decisions)
    assert of_ffn is (name != "teal" and (activation == "relu" or "dropped" not in arrays))


def test_neurons_that_are_there_for_a_start_are_masked_and_not_cut_out(make_model):
    model = make_model(hidden_act="silu")
    plan = plan_of("drop_cold", arrays_of("drop_cold", model))
    wanted = masked(model, plan)
    before = logits(model)
    later = plan_of("drop_cold", arrays_of("drop_cold", model), sparse_from=CONTINUATION)
    patch(model, for_kernels(later), fall_back=False)
    close(logits(model), before)
    close(steps(model), wanted)
    assert [ffn.d_ff for ffn in view(model).ffns] == [NEURONS] * LAYERS


def test_the_other_parts_of_a_method_are_applied(make_model):
    model = make_model(hidden_act="silu")
    bias = np.linspace(-1, 1, WIDTH, dtype=np.float32)
    options = entry_of("quantization", "int4").Options().model_dump()
    parts = {
        "quantization": {"name": "int4", "options": options},
        "compensation": {"name": "mean_bias", "options": {}},
    }  # fmt: skip
    biases = {"compensation/1/mlp.down_proj": bias}
    plan = plan_of("cats", arrays_of("cats", model), parts, biases)
    wanted = masked(model, plan)
    alone = masked(model, plan_of("cats", arrays_of("cats", model)))
    assert not torch.allclose(wanted, alone, atol=1e-3)
    patch(model, for_kernels(plan), fall_back=False)
    close(steps(model), wanted)
    close(logits(model), wanted)


def test_a_plan_without_a_sparsifier_skips_what_is_zero_by_itself(make_model):
    model = make_model(hidden_act="relu")
    before = logits(model)
    patched = patch(model, for_kernels(Plan({}, "0.0", 0)), fall_back=False)
    close(logits(model), before)
    close(steps(model), before)
    assert [each.part for each in patched.decisions] == ["ffn", "ffn"]
    assert not patch(make_model(hidden_act="silu"), for_kernels(Plan({}, "0.0", 0))).decisions


def test_a_refused_plan_is_refused(make_model):
    plan = Plan({}, "0.5", 0, refused="makes no sense")
    with pytest.raises(Refused, match="makes no sense"):
        patch(make_model(), for_kernels(plan))


def test_neurons_that_weight_pruning_removed_are_cut_out(make_model):
    model = make_model(hidden_act="silu")
    dropped = arrays_of("drop_cold", model)["dropped"]
    plan = plan_of("cats", arrays_of("cats", model), more={"weights/dropped": dropped})
    wanted = masked(model, plan)
    patch(model, for_kernels(plan), fall_back=False)
    assert [ffn.d_ff for ffn in view(model).ffns] == (NEURONS - dropped.sum(axis=1)).tolist()
    close(steps(model), wanted)
    close(logits(model), wanted)


def test_what_a_plan_achieved_is_what_is_expected(make_model):
    measures = {"neuron_sparsity": 0.4, "ffn_weight_sparsity": 0.3, "model_weight_sparsity": 0.2}
    achieved = {"imposed": measures, "total": {n: v + 0.1 for n, v in measures.items()}}
    model = make_model(hidden_act="silu")
    patched = patch(
        model, for_kernels(plan_of("cats", arrays_of("cats", model), achieved=achieved))
    )
    assert {each.expected for each in patched.decisions} == {0.5}
    # Every linear layer skips a share of its own.
    model = make_model(hidden_act="silu")
    arrays = arrays_of("teal", model)
    patched = patch(model, for_kernels(plan_of("teal", arrays, achieved=achieved)))
    found = [each.expected for each in patched.decisions]
    assert found == pytest.approx(arrays["shares"].flatten().tolist())


def test_of_neurons_that_are_cut_out_only_the_rest_can_be_skipped(make_model):
    """On a ReLU model, by hand: half removed, three quarters of all zero, so half of the rest."""
    measures = {"neuron_sparsity": 0.5}
    achieved = {"imposed": measures, "total": {"neuron_sparsity": 0.75}}
    model = make_model(hidden_act="relu")
    arrays = arrays_of("drop_cold", model)
    arrays["dropped"] = np.tile(np.arange(NEURONS) % 2 == 0, (LAYERS, 1))
    patched = patch(model, for_kernels(plan_of("drop_cold", arrays, achieved=achieved)))
    assert [each.expected for each in patched.decisions] == pytest.approx([0.5] * LAYERS)


def test_of_a_chosen_set_what_comes_out_zero_is_not_expected(make_model):
    achieved = {"imposed": {"neuron_sparsity": 0.3}, "total": {"neuron_sparsity": 0.8}}
    model = make_model(hidden_act="relu")
    patched = patch(
        model, for_kernels(plan_of("predicted", arrays_of("predicted", model), achieved=achieved))
    )
    assert {each.expected for each in patched.decisions} == {0.3}


@pytest.mark.parametrize("name", ["drop_cold", "teal"])
def test_a_plan_of_a_model_of_another_shape_is_refused(make_model, name):
    model = make_model(hidden_act="silu")
    plan = plan_of(name, arrays_of(name, model), neurons=LAYERS * NEURONS)
    other = make_model(hidden_act="silu", intermediate_size=32)
    with pytest.raises(UserError, match="a model with 48 FFN neurons; this one has 64"):
        patch(other, for_kernels(plan))
    ungated = make_model("OPTForCausalLM")
    if name == "teal":
        with pytest.raises(UserError, match="2 blocks of 7 linear layers; this one has 2 of 6"):
            patch(ungated, for_kernels(plan))


def test_a_plan_that_starts_at_a_token_is_refused(make_model):
    model = make_model(hidden_act="silu")
    plan = plan_of("cats", arrays_of("cats", model), sparse_from=4)
    with pytest.raises(Refused, match="not 4 tokens in"):
        patch(model, for_kernels(plan))


@pytest.mark.parametrize("activation", sorted(EXACT_ZERO_ACTIVATIONS & set(ACT2FN)))
def test_every_activation_with_exact_zeros_is_one_the_kernels_have(make_model, activation):
    model = make_model(hidden_act=activation)
    before = logits(model)
    patched = patch(model, for_kernels(Plan({}, "0.0", 0)), fall_back=False)
    assert len(patched.decisions) == LAYERS
    close(steps(model), before)

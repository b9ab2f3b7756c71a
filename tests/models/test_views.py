"""What an FFN view says of its model, its norms by hand, and what it refuses; what it computes is
in test_contracts.py."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.models.views import FFNView, Projection, supported, view
from pipeline.registry import ARCHITECTURES


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_views_facts_are_those_of_the_model(make_model, architecture):
    model = make_model(architecture)
    layout = view(model)
    assert len(layout.ffns) == len(layout.blocks) == model.config.num_hidden_layers
    for ffn in layout.ffns:
        assert ffn.d_ff == 24 and ffn.down.out_features == 16
        assert ffn.gated is (len(ffn.inner) == 2)
        assert all(m.weight.shape == (24, 16) for m in ffn.inner)
    assert layout.ffn_weights == sum(24 * 16 * (len(ffn.inner) + 1) for ffn in layout.ffns)
    assert layout.ffn_weights < layout.linear_weights <= sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    "architecture", ["LlamaForCausalLM", "Gemma2ForCausalLM", "Phi3ForCausalLM"]
)
def test_the_module_of_the_activation_function_is_the_one_that_is_called(make_model, architecture):
    model = make_model(architecture)
    for ffn in view(model).ffns:
        seen = []

        def keep(_module, given, made, seen=seen):
            seen.append((given, made))

        hook = ffn.act_module.register_forward_hook(keep)
        with torch.inference_mode():
            model(torch.tensor([[1, 5, 9]]))
        hook.remove()
        (((gate,), made),) = seen
        assert gate.shape == (1, 3, ffn.d_ff) and made.equal(ffn.act(gate))


def test_a_block_with_two_activation_functions_names_none_of_them(make_model):
    model = make_model()
    model.model.layers[0].mlp.second = type(view(model).ffns[0].act)()
    first, second = view(model).ffns
    assert first.act_module is None and second.act_module is not None


def test_linear_weights_of_a_llama_by_hand(make_model):
    # A block: q, k, v, o of 16 x 16, and three FFN matrices of 16 x 24.
    assert view(make_model()).linear_weights == 2 * (4 * 256 + 3 * 384)
    assert view(make_model(mlp_bias=True)).ffn_weights == 2 * 3 * 384


def linear(rows):
    matrix = torch.tensor(rows, dtype=torch.float32)
    made = torch.nn.Linear(matrix.shape[1], matrix.shape[0])
    made.weight = torch.nn.Parameter(matrix)
    return Projection(made)


GATE, UP = [[1, 2], [0, 0], [3, 0], [1, 1]], [[2, 0], [0, 0], [0, 4], [1, 1]]
DOWN = [[3, 0, 5, 1], [4, 0, 12, 1]]


def test_norms_by_hand():
    ffn = FFNView(
        (linear(GATE), linear(UP)), linear(DOWN), "relu", torch.nn.Identity(), torch.nn.Identity()
    )
    assert ffn.down_norms().tolist() == pytest.approx([5, 0, 13, 2**0.5])
    # Squares: 5 + 4 + 25, nothing, 9 + 16 + 169, and six ones. The biases of Linear do not count.
    assert ffn.weight_norms().tolist() == pytest.approx([34**0.5, 0, 194**0.5, 6**0.5])
    assert ffn.weight_norms().dtype == ffn.down_norms().dtype == torch.float64


def test_norms_without_a_gate_by_hand():
    ffn = FFNView((linear(GATE),), linear(DOWN), "relu", torch.nn.Identity(), torch.nn.Identity())
    assert not ffn.gated
    assert ffn.weight_norms().tolist() == pytest.approx([30**0.5, 0, 178**0.5, 2])


def test_norms_of_half_precision_weights_are_summed_in_double():
    ffn = FFNView(
        (linear(GATE),), Projection(linear(DOWN).module.half()), "relu", *[torch.nn.Identity()] * 2
    )
    assert ffn.down_norms().tolist() == [5.0, 0.0, 13.0, pytest.approx(2**0.5, rel=1e-15)]


def test_an_architecture_without_a_view_is_refused_with_those_that_have_one():
    with pytest.raises(UserError) as refused:
        supported("MambaForCausalLM")
    message = str(refused.value)
    assert "'MambaForCausalLM' has no FFN view" in message
    assert all(name in message for name in ARCHITECTURES)


def test_a_block_of_another_form_is_refused_by_what_is_missing(make_model):
    model = make_model()
    del model.model.layers[1].mlp.up_proj
    with pytest.raises(
        UserError, match="block 1 has no up_proj.*it has: act_fn, down_proj, gate_proj"
    ):
        view(model)


@pytest.mark.parametrize(
    ("architecture", "take", "missing"),
    [
        ("OPTForCausalLM", lambda m: m.model.decoder.layers[1], "fc1"),
        ("GPTNeoXForCausalLM", lambda m: m.gpt_neox.layers[1].mlp, "dense_4h_to_h"),
    ],
)
def test_an_ungated_block_of_another_form_is_refused_too(make_model, architecture, take, missing):
    model = make_model(architecture)
    delattr(take(model), missing)
    with pytest.raises(UserError, match=f"block 1 has no {missing}"):
        view(model)

"""Contract of every architecture's FFN view, and its norms by hand."""

import copy

import pytest
import torch

from pipeline.errors import UserError
from pipeline.models.batches import marked
from pipeline.models.views import FFNView, Projection, supported, view
from pipeline.registry import ARCHITECTURES

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2]])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu_pytorch_tanh"])
def test_a_view_reproduces_every_ffn_from_its_matrices(make_model, architecture, activation):
    model = make_model(architecture, hidden_act=activation)
    layout = view(model)
    seen = []
    for ffn in layout.ffns:
        ffn.inner[0].module.register_forward_pre_hook(lambda _m, i: seen.append(i[0]))
        ffn.down.module.register_forward_hook(lambda _m, i, o: seen.extend((i[0], o)))
    with torch.inference_mode():
        model(TOKENS)
    assert len(seen) == 3 * model.config.num_hidden_layers
    for ffn, x, inner, output in zip(layout.ffns, *(seen[n::3] for n in range(3)), strict=True):
        assert ffn.activation == activation
        with torch.inference_mode():
            torch.testing.assert_close(ffn.hidden(x), inner)
            torch.testing.assert_close(ffn.output(inner), output)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_view_takes_the_ffns_whole_part_of_the_block(make_model, architecture):
    """Without its FFNs a model is what it is with all of their neurons removed and no bias after
    them: nothing else of the block passes through the view's matrices."""
    model = make_model(architecture)
    without = copy.deepcopy(model)
    for ffn in view(model).ffns:
        ffn.zero(torch.ones(24, dtype=torch.bool))
    for ffn in view(without).ffns:
        bias = 0.0 if ffn.down.bias is None else ffn.down.bias.detach()
        ffn.down.module.forward = lambda x, b=bias: x.new_zeros(*x.shape[:-1], 16) + b
    with torch.inference_mode():
        torch.testing.assert_close(model(TOKENS).logits, without(TOKENS).logits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_counted_tokens_are_the_masks_whatever_shape_h_has(make_model, architecture):
    model = make_model(architecture)
    tokens = TOKENS.repeat(2, 1)
    tokens[1, 4] = 11
    mask = torch.ones_like(tokens).bool()
    mask[0, 5:] = False
    seen = []
    view(model).ffns[0].watch(seen.append)
    with torch.inference_mode():
        model(tokens)
        model(tokens[:1, :5])
        model(tokens[1:])
    both, first, second = seen
    wanted = torch.cat([first.reshape(-1, 24), second.reshape(-1, 24)])
    torch.testing.assert_close(marked(both, mask), wanted)


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_norm_before_an_ffn_reads_the_residual_stream(make_model, architecture):
    """Its output is what the FFN reads; where there is none, the FFN reads the stream itself. What
    the block adds to the stream is the FFN's output, behind a norm or scaled in some models."""
    model = make_model(architecture)
    layout = view(model)
    seen = {}
    for n, (block, ffn) in enumerate(zip(layout.blocks, layout.ffns, strict=True)):

        def note(_module, given, made, n=n):
            seen[n, "before"], seen[n, "normed"] = given[0], made

        def end(_module, _given, made, n=n):
            seen[n, "block"] = made[0] if isinstance(made, tuple) else made

        assert (ffn.before is None) == (architecture in WITHOUT_A_NORM)
        if ffn.before is not None:
            ffn.before.register_forward_hook(note)
        ffn.inner[0].module.register_forward_pre_hook(
            lambda _m, i, n=n: seen.update({(n, "x"): i[0]})
        )
        ffn.down.module.register_forward_hook(lambda _m, _i, o, n=n: seen.update({(n, "ffn"): o}))
        block.register_forward_hook(end)
    with torch.inference_mode():
        model(TOKENS)
    for n, block in enumerate(layout.blocks):
        x, made = seen[n, "x"], seen[n, "block"]
        if layout.ffns[n].before is not None:
            torch.testing.assert_close(x.reshape(-1), seen[n, "normed"].reshape(-1))
        if architecture != "GPTNeoXForCausalLM":
            behind = BEHIND.get(architecture, lambda block, output: output)
            stream = seen.get((n, "before"), x).reshape(made.shape)
            with torch.inference_mode():
                added = behind(block, seen[n, "ffn"].reshape(made.shape))
            torch.testing.assert_close(stream + added, made)


WITHOUT_A_NORM = {"Olmo2ForCausalLM"}


def behind_a_norm(block, output):
    return block.post_feedforward_layernorm(output)


#: What becomes of an FFN's output before it is added to the stream.
BEHIND = {
    **dict.fromkeys(("Gemma2ForCausalLM", "Gemma3ForCausalLM", "Olmo2ForCausalLM"), behind_a_norm),
    "GraniteForCausalLM": lambda block, output: block.residual_multiplier * output,
}


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("norms", [False, True])
def test_a_stablelm_with_its_ffn_beside_the_attention(make_model, parallel, norms):
    """The FFN then reads the attention's norm, and both are added to the stream."""
    model = make_model("StableLmForCausalLM", use_parallel_residual=parallel, qk_layernorm=norms)
    block, ffn = model.model.layers[0], view(model).ffns[0]
    assert ffn.before is (block.input_layernorm if parallel else block.post_attention_layernorm)
    seen = {}
    block.self_attn.register_forward_hook(lambda _m, _i, o: seen.update(attention=o[0]))
    block.register_forward_hook(
        lambda _m, i, o: seen.update(stream=i[0], made=o[0] if isinstance(o, tuple) else o)
    )
    with torch.inference_mode():
        model(TOKENS)
        stream = seen["stream"] if parallel else seen["stream"] + seen["attention"]
        normed = ffn.before(stream)
        made = seen["stream"] + seen["attention"] + ffn.output(ffn.hidden(normed))
    torch.testing.assert_close(made, seen["made"])

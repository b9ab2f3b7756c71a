"""Patched models against models that are masked by hooks of the tests' own."""

import copy
from dataclasses import dataclass

import pytest
import torch

from pipeline.decoding import patch
from pipeline.decoding.crossover import MOST_ROWS, most_rows
from pipeline.errors import UserError
from pipeline.kernels import sparse_ffn
from pipeline.models.skips import Chosen, Fixed, LayerRules, Threshold
from pipeline.models.views import linear_layers, view
from tests.small import ONE_A_VIEW

TOKENS = torch.tensor([[1, 5, 9, 20, 33, 4, 7, 2], [1, 40, 41, 42, 10, 11, 12, 13]])
#: Kernels take every step, whatever would be faster for so small a model; or none.
KERNELS, NO_KERNELS = {"fall_back": False}, {"expected": -1.0}


@dataclass
class Told:
    """Rules as they are, one for all blocks."""

    rules: LayerRules
    prefill: str = "sparse"

    def for_kernels(self, layout):
        return [self.rules for _ in layout.ffns]


def told(prefill="sparse", **rules):
    return Told(LayerRules(**rules), prefill)


def logits(model, tokens=TOKENS):
    """All at once, as a prompt is read."""
    with torch.inference_mode():
        return model(tokens).logits


def steps(model, tokens=TOKENS):
    """The same, one token after the other."""
    past, found = None, []
    with torch.inference_mode():
        for place in range(tokens.shape[1]):
            step = model(tokens[:, place : place + 1], past_key_values=past, use_cache=True)
            past = step.past_key_values
            found.append(step.logits)
    return torch.cat(found, dim=1)


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


def below(value):
    """A change: neurons whose |act(gate x)| is at most `value` are zero."""

    def change(ffn, x, h):
        matrix = ffn.inner[0]
        first = ffn.act(torch.nn.functional.linear(x, matrix.weight, matrix.bias))
        return h * (first.abs() > value).reshape(h.shape)

    return change


def close(found, wanted, error=1e-4):
    torch.testing.assert_close(found, wanted, rtol=error, atol=error)


def random_biases(model):
    """Where an architecture has some, they are zeros."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.endswith("bias"):
                values.uniform_(-0.3, 0.3)
    return model


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize(
    ("activation", "how"),
    [("relu", KERNELS), ("silu", NO_KERNELS), ("gelu_pytorch_tanh", KERNELS)],
    ids=["relu-kernels", "silu-dense", "gelu-kernels"],
)
def test_a_threshold_of_every_architecture(make_model, architecture, activation, how):
    model = random_biases(make_model(architecture, hidden_act=activation))
    wanted = logits(masked(model, below(0.05)))
    assert not torch.allclose(wanted, logits(model), atol=1e-3)
    patched = patch(model, told(neurons=Threshold(0.05)), **how)
    assert [each.part for each in patched.decisions] == ["ffn", "ffn"]
    rows = MOST_ROWS if how is KERNELS else 0
    assert all(each.rows == rows for each in patched.decisions)
    assert all(0 <= x <= 1 for each in patched.decisions for x in each.crossovers.values())
    close(steps(model), wanted)
    close(logits(model), wanted)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_removing_a_patch_gives_the_dense_model(make_model, architecture, tmp_path):
    model = random_biases(make_model(architecture, hidden_act="silu"))
    before = logits(model)
    patched = patch(model, told(neurons=Threshold(0.5)), **KERNELS)
    assert not torch.allclose(steps(model), before, atol=1e-3)
    patched.remove()
    close(logits(model), before)
    close(steps(model), before)
    # Weights are in memory of their own again.
    model.save_pretrained(tmp_path)
    close(logits(type(model).from_pretrained(tmp_path).eval()), before)
    close(logits(copy.deepcopy(model)), before)
    # Nothing is left that would be in a second patch's way.
    patch(model, told(neurons=Threshold(0.0)), **KERNELS).remove()
    close(steps(model), before)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
def test_neurons_that_are_dropped_are_cut_out(make_model, architecture):
    model = random_biases(make_model(architecture, hidden_act="relu"))
    dropped = torch.rand(24, generator=torch.Generator().manual_seed(0)) < 0.5
    wanted = logits(masked(model, lambda _ffn, _x, h: h * ~dropped))
    patch(model, told(dropped=dropped, neurons=Threshold(0.0)), **KERNELS)
    close(steps(model), wanted)
    assert [ffn.d_ff for ffn in view(model).ffns] == [int((~dropped).sum())] * 2


def test_a_model_without_neurons_still_runs(make_model):
    model = make_model(hidden_act="relu")
    everything = torch.ones(24, dtype=torch.bool)
    wanted = logits(masked(model, lambda _ffn, _x, h: h * 0))
    patched = patch(model, told(dropped=everything, neurons=Threshold(0.0)))
    close(steps(model), wanted)
    assert not patched.decisions


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "OPTForCausalLM", "Phi3ForCausalLM"])
@pytest.mark.parametrize("how", [KERNELS, NO_KERNELS], ids=["kernels", "dense"])
def test_chosen_neurons_see_the_residual_stream(make_model, architecture, how):
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
    patch(model, told(neurons=Chosen(choose)), **how)
    close(steps(model), wanted)
    close(logits(model), wanted)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("how", [KERNELS, NO_KERNELS], ids=["kernels", "dense"])
def test_fixed_neurons_need_no_residual_stream(make_model, architecture, how):
    more = {"do_layer_norm_before": False} if architecture == "OPTForCausalLM" else {}
    model = random_biases(make_model(architecture, hidden_act="silu", **more))
    kept = torch.rand(24, generator=torch.Generator().manual_seed(1)) < 0.5
    wanted = logits(masked(model, lambda _ffn, _x, h: h * kept))
    patch(model, told(neurons=Fixed(kept)), **how)
    close(steps(model), wanted)
    close(logits(model), wanted)


@pytest.mark.parametrize("architecture", ONE_A_VIEW)
@pytest.mark.parametrize("how", [KERNELS, NO_KERNELS], ids=["kernels", "dense"])
def test_channels_of_every_linear_layer(make_model, architecture, how):
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
    patched = patch(model, told(channels=thresholds), **how)
    close(steps(model), wanted)
    close(logits(model), wanted)
    assert [each.part for each in patched.decisions] == 2 * list(thresholds)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_models_of_16_bits(make_model, dtype):
    model = make_model(hidden_act="silu").to(dtype)
    wanted = logits(masked(model, below(0.05)))
    patch(model, told(neurons=Threshold(0.05)), **KERNELS)
    # A step's sums are float32 where the model's own are rounded between.
    close(steps(model), wanted, 0.05)


@pytest.mark.parametrize("length", [2, 8, 40])
def test_prefill_is_told_by_what_a_pass_reads(make_model, length):
    """A plan that starts after the prompt leaves prompts alone, long and short."""
    model = make_model(hidden_act="silu")
    dense, sparse = copy.deepcopy(model), masked(model, below(0.05))
    patch(model, told("dense", neurons=Threshold(0.05)), **KERNELS)
    tokens = torch.arange(4, 4 + length)[None]
    close(logits(model, tokens), logits(dense, tokens))
    with torch.inference_mode():
        kept = [each(tokens, use_cache=True).past_key_values for each in (model, dense)]
        step = torch.tensor([[9]])
        found, wanted = (
            each(step, past_key_values=past).logits
            for each, past in zip((model, sparse), kept, strict=True)
        )
    close(found, wanted)


@pytest.mark.parametrize("sequences", [1, MOST_ROWS, MOST_ROWS + 1, 40])
def test_any_number_of_sequences_decodes_alike(make_model, sequences):
    model = make_model(hidden_act="silu")
    tokens = torch.randint(4, 60, (sequences, 3), generator=torch.Generator().manual_seed(0))
    wanted = logits(masked(model, below(0.05)), tokens)
    patch(model, told(neurons=Threshold(0.05)), **KERNELS)
    close(steps(model, tokens), wanted)
    # Step by step a prompt that a plan leaves alone is no prompt.
    close(logits(model, tokens), wanted)


def test_an_argument_overrides_the_plans_prefill(make_model):
    model = make_model(hidden_act="silu")
    dense = logits(model)
    patched = patch(model, told("sparse", neurons=Threshold(0.05)), prefill="dense")
    close(logits(model), dense)
    patched.remove()
    patch(model, told("dense", neurons=Threshold(0.05)), prefill="sparse")
    assert not torch.allclose(logits(model), dense, atol=1e-3)


def test_weights_are_views_of_what_is_packed(make_model):
    """Memory does not grow."""
    model = make_model(hidden_act="silu")
    before = {name: values.clone() for name, values in model.state_dict().items()}
    patch(model, told(neurons=Threshold(0.1)), **KERNELS)
    for ffn in view(model).ffns:
        memory = {p.weight.untyped_storage().data_ptr() for p in (*ffn.inner, ffn.down)}
        assert len(memory) == 1
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])


def test_greedy_decoding_gives_the_masked_models_tokens(make_model):
    model = make_model(hidden_act="silu")
    sparse = masked(model, below(0.1))
    prompt = TOKENS[:, :3]
    dense, wanted = (
        each.generate(prompt, max_new_tokens=12, do_sample=False) for each in (model, sparse)
    )
    assert not torch.equal(dense, wanted)
    patch(model, told(neurons=Threshold(0.1)), **KERNELS)
    assert torch.equal(model.generate(prompt, max_new_tokens=12, do_sample=False), wanted)


@pytest.mark.parametrize("how", [KERNELS, NO_KERNELS], ids=["kernels", "dense"])
def test_what_is_skipped_may_be_infinite(make_model, how):
    model = make_model(hidden_act="silu")
    kept = torch.arange(24) % 2 == 0
    wanted = logits(masked(model, lambda _ffn, _x, h: h * kept))
    with torch.no_grad():
        for ffn in view(model).ffns:
            ffn.inner[1].weight[~kept] = float("inf")
    patch(model, told(neurons=Fixed(kept)), **how)
    close(steps(model), wanted)
    close(logits(model), wanted)


def test_without_an_expectation_only_what_never_wins_stays_dense(make_model):
    patched = patch(make_model(hidden_act="silu"), told(neurons=Threshold(0.1)))
    assert all(each.rows == most_rows(each.crossovers, None) for each in patched.decisions)
    assert all(each.expected is None for each in patched.decisions)


def test_more_sequences_than_a_kernel_wins_for_decode_densely_and_masked(make_model, monkeypatch):
    """For 4 sequences the kernel computes, for 5 it is not called."""
    monkeypatch.setattr("pipeline.decoding.modules.most_rows", lambda *_: 4)
    model = make_model(hidden_act="silu")
    tokens = torch.randint(4, 60, (5, 3), generator=torch.Generator().manual_seed(0))
    wanted = logits(masked(model, below(0.05)), tokens)
    patch(model, told(neurons=Threshold(0.05)))
    calls = []
    monkeypatch.setattr(
        "pipeline.decoding.modules.sparse_ffn",
        lambda *args, **more: calls.append(len(args[0])) or sparse_ffn(*args, **more),
    )
    close(steps(model, tokens), wanted)
    assert not calls
    close(steps(model, tokens[:4]), wanted[:4])
    assert set(calls) == {4}


def test_expectations_come_from_rules_and_arguments(make_model):
    rules = told(neurons=Threshold(0.1), expected=0.25)
    model = make_model(hidden_act="silu")
    patched = patch(model, rules)
    assert [each["expected"] for each in patched.report()] == [0.25, 0.25]
    patched.remove()
    patched = patch(model, rules, expected={1: 0.5})
    assert [each["expected"] for each in patched.report()] == [0.25, 0.5]


def test_an_error_within_a_step_leaves_nothing_behind(make_model):
    model = make_model(hidden_act="silu")
    dense = copy.deepcopy(model)
    patch(model, told("dense", neurons=Threshold(0.05)), **KERNELS)
    act = model.model.layers[0].mlp.act_fn
    model.model.layers[0].mlp.act_fn = torch.nn.Bilinear(2, 2, 2)
    with pytest.raises(TypeError):
        steps(model)
    model.model.layers[0].mlp.act_fn = act
    close(logits(model), logits(dense))


def test_a_prompt_leaves_no_tensors_behind(make_model):
    """The residual streams of a long prompt would be gigabytes."""
    model = make_model(hidden_act="silu")
    patch(model, told("dense", neurons=Chosen(lambda x: x.new_ones(len(x), 24).bool())), **KERNELS)
    logits(model)
    for module in model.modules():
        if "forward" in vars(module):
            of_ffn = module.forward._call.func.__self__
            assert of_ffn.x is of_ffn.first is of_ffn.residual is None


def test_a_forward_of_the_modules_own_is_given_back(make_model):
    """As accelerate's hooks put one there."""
    model = make_model(hidden_act="silu")
    down = view(model).ffns[0].down.module
    calls = []
    own = down.forward

    def counted(x):
        calls.append(1)
        return own(x)

    down.forward = counted
    patched = patch(model, told(neurons=Threshold(0.05)), **KERNELS)
    steps(model)
    patched.remove()
    assert down.forward is counted
    before = len(calls)
    logits(model)
    assert len(calls) == before + 1


def test_wrong_rules_are_errors_and_change_nothing(make_model):
    model = make_model(hidden_act="silu")
    before = logits(model)

    class Short(Told):
        def for_kernels(self, layout):
            return [self.rules]

    both = told(neurons=Threshold(0.1), channels={"mlp.down_proj": 0.1})
    for wrong, reason in (
        (told(channels={"nope": 0.1}), "block 0 has no linear layer nope: self_attn.q_proj"),
        (both, "block 0: rules for its neurons and for channels of mlp.down_proj"),
        (Short(LayerRules()), "rules for 1 blocks; the model has 2"),
    ):
        with pytest.raises(ValueError, match=reason):
            patch(model, wrong)
    with pytest.raises(ValueError, match="prefill is 'both'"):
        patch(model, told(), prefill="both")
    with pytest.raises(UserError, match="unknown kernel backend"):
        patch(model, told(neurons=Threshold(0.1)), backend="nope")
    assert torch.equal(logits(model), before) and torch.equal(steps(model), steps(model))
    with pytest.raises(ValueError, match="passes no norm"):
        patch(
            make_model("OPTForCausalLM", do_layer_norm_before=False),
            told(neurons=Chosen(lambda x: x > 0)),
        )


def test_an_interpreter_is_not_timed(make_model, monkeypatch):
    """Its crossovers would say nothing, and it would not end."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    model = make_model(hidden_act="silu")
    with pytest.raises(ValueError, match="triton is Triton's interpreter.*; it is not timed"):
        patch(model, told(neurons=Threshold(0.1)), backend="triton")


def test_a_patched_model_is_not_patched_copied_saved_or_watched(make_model, tmp_path):
    model = make_model(hidden_act="silu")
    patched = patch(model, told(neurons=Threshold(0.1)), **KERNELS)
    with pytest.raises(ValueError, match="patched already"):
        patch(model, told())
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy(model)
    with pytest.raises(TypeError, match="remove the patch first, or,"):
        model.save_pretrained(tmp_path)
    for act in ("watch", "replace"):
        with pytest.raises(TypeError, match="has no h"):
            getattr(view(model).ffns[0], act)(lambda h: h)
    patched.remove()
    view(copy.deepcopy(model)).ffns[0].watch(lambda h: None)


def test_a_kernel_that_fails_leaves_the_model_as_it_was(make_model, monkeypatch):
    model = make_model(hidden_act="silu")
    before = logits(model)

    def fails(*_args, **_more):
        raise RuntimeError("no")

    monkeypatch.setattr("pipeline.decoding.modules.pack_linear", fails)
    with pytest.raises(RuntimeError, match="no"):
        patch(model, told(neurons=Threshold(0.1), channels={"self_attn.q_proj": 0.1}), **KERNELS)
    close(logits(model), before)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize(
    "rules", [{"neurons": Threshold(0.1)}, {"channels": {"mlp.down_proj": 0.1}}]
)
def test_where_no_kernel_is_used_weights_stay_where_they_are(make_model, rules):
    model = make_model(hidden_act="silu")
    before = {name: p.data_ptr() for name, p in model.named_parameters()}
    patch(model, told(**rules), **NO_KERNELS)
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == before


def test_after_a_patch_weights_can_be_trained_again(make_model):
    model = make_model(hidden_act="silu")
    model.requires_grad_(True)
    view(model).ffns[0].down.module.weight.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    patched = patch(model, told(neurons=Threshold(0.1)), **KERNELS)
    patched.remove()
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_a_model_whose_neurons_were_cut_out_is_not_saved(make_model, tmp_path):
    """Its configuration tells of other sizes: from_pretrained could not read it."""
    model = make_model(hidden_act="silu")
    patch(model, told(dropped=torch.arange(24) < 5)).remove()
    with pytest.raises(TypeError, match="pipeline apply"):
        model.save_pretrained(tmp_path)


def test_what_is_no_rules_is_refused(make_model):
    with pytest.raises(ValueError, match="for_kernels"):
        patch(make_model(hidden_act="silu"), {"threshold": 0.1})


def test_masks_and_kernels_skip_the_same_in_half_precision(make_model):
    """torch would round a threshold to bfloat16, and skip what lies just above it."""
    model = make_model(hidden_act="silu").bfloat16()
    down = view(model).ffns[0].down.module
    value = 0.10009765625
    x = torch.full((1, 1, 24), value, dtype=torch.bfloat16)
    rules = {"channels": {"mlp.down_proj": value - 1e-4}}
    assert float(torch.tensor(value - 1e-4).bfloat16()) == value
    wanted = down(x).detach()
    assert wanted.abs().max() > 0
    for how in (KERNELS, NO_KERNELS):
        patched = patch(model, told(**rules), **how)
        with torch.no_grad():
            model(TOKENS[:, :1])  # a pass of one token: what follows is decoding
            torch.testing.assert_close(down(x), wanted, rtol=0.02, atol=1e-4)
        patched.remove()

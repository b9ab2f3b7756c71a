"""Residual samples against what single sequences give."""

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.models.memory import Room
from pipeline.models.views import view
from pipeline.profiling.collect import residual_sample

SEQUENCES = [[1, *(4 + (7 * i + j * j) % 55 for j in range(3 + i % 9))] for i in range(23)]


def seen_by(model, module, sequences):
    """What a module reads, all tokens but the special first ones."""
    found = []
    hook = module.register_forward_pre_hook(
        lambda _m, i: found.append(i[0].reshape(-1, i[0].shape[-1])[1:])
    )
    with torch.inference_mode():
        for row in sequences:
            model.base_model(input_ids=torch.tensor([row]))
    hook.remove()
    return torch.cat(found).double().numpy()


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "GPTNeoXForCausalLM"])
def test_residuals_and_the_neurons_they_make_active(make_model, architecture, activation):
    model = make_model(architecture, hidden_act=activation)
    above = [np.full(24, 0.05), np.linspace(0.01, 0.2, 24)]
    found = residual_sample(model, SEQUENCES, [1], above, tokens=10_000, room=Room(64))
    order = sorted(range(len(SEQUENCES)), key=lambda i: (-len(SEQUENCES[i]), i))
    rows = [SEQUENCES[i] for i in order]
    places = [(i, j) for i in order for j in range(1, len(SEQUENCES[i]))]
    assert list(zip(found["sequence"], found["position"], strict=True)) == places
    for layer, (ffn, least) in enumerate(zip(view(model).ffns, above, strict=True)):
        z = seen_by(model, ffn.before, rows)
        np.testing.assert_allclose(found[f"{layer}/residual"], z, rtol=1e-3, atol=1e-4)
        h = seen_by(model, ffn.down.module, rows)
        bits = np.unpackbits(found[f"{layer}/active"], axis=1)[:, :24].astype(bool)
        wanted = h != 0 if activation == "relu" else np.abs(h) > least
        sure = np.abs(np.abs(h) - (0 if activation == "relu" else least)) > 1e-5
        assert (bits == wanted)[sure].all() and bits.shape == h.shape
        with torch.inference_mode():
            x = ffn.before(torch.from_numpy(found[f"{layer}/residual"]))
            np.testing.assert_allclose(ffn.hidden(x).numpy(), h, rtol=1e-3, atol=1e-3)


def test_no_more_tokens_are_kept_than_asked_for(make_model):
    found = residual_sample(make_model(), SEQUENCES, [1], [np.zeros(24)] * 2, 60, Room(4))
    assert 0 < len(found["0/residual"]) <= 60


def test_sequences_are_kept_whole_and_the_only_one_is_cut(make_model):
    model, above = make_model(), [np.zeros(24)] * 2
    found = residual_sample(model, SEQUENCES, [1], above, 60, Room(4))
    for sequence in np.unique(found["sequence"]):
        places = found["position"][found["sequence"] == sequence]
        assert sorted(places) == list(range(1, len(SEQUENCES[sequence])))
    cut = residual_sample(model, [[1, *range(4, 54)]], [1], above, 20, Room(4))
    assert cut["position"].tolist() == list(range(1, 20))


def test_a_model_without_a_norm_before_its_ffns_has_no_such_stream(make_model):
    model = make_model("OPTForCausalLM", do_layer_norm_before=False)
    with pytest.raises(UserError, match="no norm stands before this model's FFNs"):
        residual_sample(model, SEQUENCES, [1], [np.zeros(24)] * 2, 60, Room(4))

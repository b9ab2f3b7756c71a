"""What removal costs, against a model whose weights are zeroed."""

import copy

import numpy as np
import pytest
import torch

from pipeline.classification.loss import Removal
from pipeline.errors import UserError
from pipeline.models.views import view
from pipeline.registry import ARCHITECTURES

SEQUENCES = [[1, *(4 + (7 * i + j * j) % 55 for j in range(3 + i % 9))] for i in range(23)]


def by_hand(model):
    """Mean loss, one sequence at a time; a special token is never predicted."""
    losses = []
    with torch.inference_mode():
        for row in SEQUENCES:
            logits = model(torch.tensor([row])).logits[0, :-1].double()
            losses.append(-logits.log_softmax(-1)[torch.arange(len(row) - 1), row[1:]])
    return float(torch.cat(losses).mean())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_is_that_of_the_model_with_the_neurons_zeroed(make_model, architecture):
    model = make_model(architecture, hidden_act="silu")
    removal = Removal(model, SEQUENCES, special=[1])
    whole = by_hand(model)
    assert removal.loss(np.zeros(48, dtype=bool)) == pytest.approx(whole, abs=1e-5)
    removed = np.random.default_rng(0).random(48) < 0.4
    zeroed = copy.deepcopy(model)
    for ffn, mask in zip(view(zeroed).ffns, np.split(removed, 2), strict=True):
        ffn.zero(torch.from_numpy(mask))
    assert removal.rise(removed) == pytest.approx(by_hand(zeroed) - whole, abs=1e-5)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_text_without_a_token_to_predict_is_refused(make_model):
    with pytest.raises(UserError, match="no token to predict"):
        Removal(make_model(), [[1]], special=[1]).loss(np.zeros(48, dtype=bool))
